#include "node/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "base/status.h"
#include "node/config_keys.h"

namespace mokv {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kGossipKey = "AAAAAAAAAAAAAAAAAAAAAA==";

void WriteFile(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path);
  file << text;
  ASSERT_TRUE(file.good()) << path;
}

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// A home directory of its own, with every file that a configuration may name.
class ConfigTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "mokv-config-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    home_ = pattern;
    environment_ = {{"HOME", home_.string()}, {"PATH", "/bin"}};
    for (const char* name : {"ca.pem", "server.pem", "server-key.pem", "peer.pem", "peer-key.pem",
                             "model.conf", "policy.csv", "keyring.json", "crl.pem"}) {
      WriteFile(home_ / ".mokv" / name, "");
    }
  }
  void TearDown() override { std::filesystem::remove_all(home_); }

  absl::StatusOr<ParsedCommandLine> Parse(std::vector<std::string> arguments) {
    std::vector<const char*> argv = {"mokv"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    return ParseCommandLine(static_cast<int>(argv.size()), argv.data(), environment_);
  }

  // With `insecure`, so that a test need only give what it is about.
  Config ParseInsecure(std::vector<std::string> arguments) {
    arguments.push_back("--insecure");
    absl::StatusOr<ParsedCommandLine> parsed = Parse(std::move(arguments));
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    return parsed.ok() ? parsed->config : Config();
  }

  std::string Message(std::vector<std::string> arguments) {
    return std::string(MessageOf(Parse(std::move(arguments)).status()));
  }

  // The one line that a refused command line is answered with.
  std::string Refusal(std::vector<std::string> arguments) {
    const absl::Status status = Parse(std::move(arguments)).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    std::string message(MessageOf(status));
    EXPECT_THAT(message, Not(HasSubstr("\n")));
    return message;
  }

  // Writes a configuration file and returns the flags that name it.
  std::vector<std::string> File(std::string_view text) {
    WriteFile(path(), text);
    return {"--config-file", path()};
  }
  std::string FileRefusal(std::string_view text) { return Refusal(File(text)); }
  std::string path() const { return home_ / "config.yaml"; }

  std::filesystem::path home_;
  Environment environment_;
};

TEST_F(ConfigTest, HasTheDocumentedDefaults) {
  const Config config = ParseInsecure({});
  char host[256] = {};
  ASSERT_EQ(gethostname(host, sizeof(host) - 1), 0);
  EXPECT_EQ(config.config_file, "");
  EXPECT_EQ(config.data_dir, (home_ / ".mokv/data").string());
  EXPECT_EQ(config.node_name, host);
  EXPECT_EQ(config.bind_addr, (net::HostPort{"127.0.0.1", 8401}));
  EXPECT_EQ(config.advertise_addr, config.bind_addr);
  EXPECT_EQ(config.rpc_port, 8400);
  EXPECT_EQ(config.metrics_port, 4000);
  EXPECT_FALSE(config.bootstrap);
  EXPECT_EQ(config.acl_object, AclObject::kKey);
  EXPECT_EQ(config.log_level, LogLevel::kInfo);
  EXPECT_EQ(config.log_format, isatty(2) ? LogFormat::kText : LogFormat::kJson);
  EXPECT_EQ(config.request_log, telemetry::RequestLogMode::kErrors);
  EXPECT_GE(config.io_threads, 1u);
  EXPECT_EQ(config.heartbeat_interval, std::chrono::milliseconds(50));
  EXPECT_EQ(config.election_timeout, std::chrono::milliseconds(500));
  EXPECT_FALSE(config.read_lease);
  EXPECT_EQ(config.snapshot_log_bytes, uint64_t{256} << 20);
  EXPECT_EQ(config.max_value_bytes, uint64_t{1} << 20);
  EXPECT_EQ(config.max_memory_bytes, 0u);
  EXPECT_EQ(config.left_node_timeout, std::chrono::minutes(10));
  EXPECT_EQ(config.dead_node_timeout, Duration::zero());
  EXPECT_THAT(config.warnings, IsEmpty());
}

// Method: an impossible value from each source; the error shows that it reached its key.
TEST_F(ConfigTest, EveryKeyIsAFlagAVariableAndAFileKey) {
  for (const ConfigKey& key : ConfigKeys()) {
    if (key.name == "config-file") continue;
    Config config;
    const GivenValue given{.key = &key, .texts = {"?!"}, .where = "here"};
    const bool takes_any = StoreValue(given, config).ok();
    const auto expected = [&](const std::string& where) {
      return takes_any ? Not(HasSubstr("unknown"))
                       : ::testing::Matcher<std::string>(
                             StartsWith(fmt::format("{}: {} is ", where, key.name)));
    };
    const bool is_list = key.type.shape == KeyType::Shape::kList;
    EXPECT_THAT(Message({FlagName(key) + "=?!"}), expected(FlagName(key)));
    EXPECT_THAT(Message(File(fmt::format("{}: {}", key.name, is_list ? "[\"?!\"]" : "\"?!\""))),
                expected(path() + ":1"));
    environment_[VariableName(key)] = "?!";
    EXPECT_THAT(Message({}), expected(VariableName(key)));
    environment_.erase(VariableName(key));
  }
}

TEST_F(ConfigTest, FlagBeatsVariableBeatsFileBeatsDefault) {
  const std::vector<std::string> file = File("rpc-port: 9001\nmetrics-port: 9002\nnode-name: f\n");
  environment_["MOKV_RPC_PORT"] = "9101";
  environment_["MOKV_METRICS_PORT"] = "9102";
  const Config config = ParseInsecure({file[0], file[1], "--rpc-port", "9201"});
  EXPECT_EQ(config.rpc_port, 9201);
  EXPECT_EQ(config.metrics_port, 9102);
  EXPECT_EQ(config.node_name, "f");
  EXPECT_EQ(config.bind_addr.port, 8401);
}

TEST_F(ConfigTest, FlagTakesItsValueEitherWay) {
  EXPECT_EQ(ParseInsecure({"--rpc-port=9001"}).rpc_port, 9001);
  EXPECT_EQ(ParseInsecure({"--rpc-port", "9001"}).rpc_port, 9001);
}

TEST_F(ConfigTest, SwitchNeedsNoValueButTakesOne) {
  EXPECT_TRUE(ParseInsecure({"--bootstrap"}).bootstrap);
  EXPECT_TRUE(ParseInsecure({"--bootstrap=true"}).bootstrap);
  const std::vector<std::string> file = File("bootstrap: true\n");
  EXPECT_TRUE(ParseInsecure({file[0], file[1]}).bootstrap);
  EXPECT_FALSE(ParseInsecure({file[0], file[1], "--bootstrap=false"}).bootstrap);
  EXPECT_THAT(Refusal({"--bootstrap=maybe"}),
              "--bootstrap: bootstrap is \"maybe\", expected true or false");
}

TEST_F(ConfigTest, EmptyFlagClearsWhatTheFileSays) {
  const std::vector<std::string> file = File("acl-model-file: $HOME/.mokv/model.conf\n");
  EXPECT_EQ(ParseInsecure({file[0], file[1], "--acl-model-file="}).acl_model_file, "");
}

TEST_F(ConfigTest, EmptyVariableCountsAsNotSet) {
  environment_["MOKV_RPC_PORT"] = "";
  EXPECT_EQ(ParseInsecure({}).rpc_port, 8400);
}

TEST_F(ConfigTest, ListsAreCommasInFlagsAndVariablesAndSequencesInFiles) {
  const auto two = ElementsAre("a:1", "[::1]:2");
  EXPECT_THAT(ParseInsecure({"--start-join-addrs=a:1,[::1]:2"}).start_join_addrs, two);
  EXPECT_THAT(ParseInsecure(File("start-join-addrs: [\"a:1\", \"[::1]:2\"]\n")).start_join_addrs,
              two);
  EXPECT_THAT(ParseInsecure(File("start-join-addrs: []\n")).start_join_addrs, IsEmpty());
  environment_["MOKV_START_JOIN_ADDRS"] = "a:1,[::1]:2";
  EXPECT_THAT(ParseInsecure({}).start_join_addrs, two);
  EXPECT_THAT(ParseInsecure({"--start-join-addrs="}).start_join_addrs, IsEmpty());
  EXPECT_THAT(Refusal({"--start-join-addrs=a:1,b"}),
              "--start-join-addrs: start-join-addrs is [\"a:1\", \"b\"], expected a list of "
              "host:port");
}

TEST_F(ConfigTest, ConfigFileMayComeFromAVariable) {
  File("rpc-port: 9001\n");
  environment_["MOKV_CONFIG_FILE"] = path();
  const Config config = ParseInsecure({});
  EXPECT_EQ(config.rpc_port, 9001);
  EXPECT_EQ(config.config_file, path());
}

TEST_F(ConfigTest, ExpandsVariablesInFileValues) {
  environment_["WHERE"] = "/var/mokv";
  EXPECT_EQ(ParseInsecure(File("data-dir: ${WHERE}/1\n")).data_dir, "/var/mokv/1");
  EXPECT_EQ(ParseInsecure(File("data-dir: ~/x\n")).data_dir, (home_ / "x").string());
  EXPECT_EQ(FileRefusal("\ndata-dir: $NOWHERE/1\n"),
            path() + ":2: data-dir is \"$NOWHERE/1\", the environment variable NOWHERE is not set");
}

TEST_F(ConfigTest, DefaultDataDirectoryNeedsAHome) {
  environment_.erase("HOME");
  EXPECT_THAT(Refusal({"--insecure"}), AllOf(StartsWith("default: data-dir"), HasSubstr("HOME")));
  EXPECT_EQ(ParseInsecure({"--data-dir=/x"}).data_dir, "/x");
}

TEST_F(ConfigTest, UnknownNamesAreRefusedWithTheNearest) {
  EXPECT_EQ(FileRefusal("# ports\nrpc_port: 1\n"),
            path() + ":2: unknown key \"rpc_port\" (did you mean rpc-port?)");
  EXPECT_EQ(FileRefusal("colour: red\n"), path() + ":1: unknown key \"colour\"");
  EXPECT_EQ(Refusal({"--rpc-prot=1"}),
            "unknown flag \"--rpc-prot\" (did you mean --rpc-port?); see --help");
  EXPECT_EQ(Refusal({"--zzz"}), "unknown flag \"--zzz\"; see --help");
  EXPECT_EQ(Refusal({"start"}), "unexpected argument \"start\"; see --help");
}

TEST_F(ConfigTest, UnknownVariablesAreOnlyWarnedAbout) {
  environment_["MOKV_RPC_PROT"] = "1";
  environment_["MOKVCTL_ENDPOINTS"] = "a:1";
  environment_["MOKV_rpc_port"] = "1";
  const Config config = ParseInsecure({});
  EXPECT_THAT(config.warnings,
              ElementsAre("MOKV_RPC_PROT: unknown variable, ignored (did you mean rpc-port?)",
                          "MOKV_rpc_port: unknown variable, ignored (did you mean rpc-port?)"));
  EXPECT_EQ(config.rpc_port, 8400);
}

TEST_F(ConfigTest, GivenTwiceIsRefused) {
  EXPECT_EQ(FileRefusal("rpc-port: 1\nnode-name: a\nrpc-port: 2\n"),
            path() + ":3: rpc-port was given before, at " + path() + ":1");
  EXPECT_EQ(Refusal({"--rpc-port=1", "--rpc-port=2"}), "--rpc-port was given 2 times");
}

TEST_F(ConfigTest, WrongValuesNameKeyValueAndPlace) {
  EXPECT_EQ(FileRefusal("\n\nrpc-port: abc\n"),
            path() + ":3: rpc-port is \"abc\", expected a number from 1 to 65535");
  EXPECT_EQ(Refusal({"--rpc-port", "0"}),
            "--rpc-port: rpc-port is \"0\", expected a number from 1 to 65535");
  EXPECT_EQ(Refusal({"--rpc-port", "-1"}),
            "--rpc-port: rpc-port is \"-1\", expected a number from 1 to 65535");
  environment_["MOKV_RPC_PORT"] = "70000";
  EXPECT_EQ(Refusal({}), "MOKV_RPC_PORT: rpc-port is \"70000\", expected a number from 1 to 65535");
}

TEST_F(ConfigTest, ImpossibleValuesAreRefused) {
  for (const char* flag : {"--metrics-port=65536",
                           "--bind-addr=localhost",
                           "--bind-addr=:8401",
                           "--advertise-addr=0.0.0.0:1",
                           "--advertise-addr=",
                           "--data-dir=",
                           "--node-name=",
                           "--node-name=a b",
                           "--node-name=a/b",
                           "--acl-object=all",
                           "--log-level=TRACE",
                           "--log-format=xml",
                           "--request-log=some",
                           "--io-threads=0",
                           "--io-threads=257",
                           "--heartbeat-interval=0",
                           "--heartbeat-interval=50",
                           "--election-timeout=1h",
                           "--max-value-bytes=0",
                           "--max-value-bytes=1MB",
                           "--max-value-bytes=1GiB",
                           "--snapshot-log-bytes=1",
                           "--left-node-timeout=-1s",
                           "--dead-node-timeout=soon",
                           "--peer-allowed-names=a,,b",
                           "--config-file="}) {
    const std::string name(flag, std::string_view(flag).find('='));
    EXPECT_THAT(Refusal({flag, "--insecure"}), StartsWith(name + ": ")) << flag;
  }
  EXPECT_THAT(Refusal({"--node-name=" + std::string(129, 'a'), "--insecure"}),
              HasSubstr("1 to 128 letters"));
  EXPECT_EQ(ParseInsecure({"--node-name=" + std::string(128, 'a')}).node_name.size(), 128u);
}

TEST_F(ConfigTest, AValueThatIsOverriddenMustStillBePossible) {
  const std::vector<std::string> file = File("rpc-port: abc\n");
  EXPECT_THAT(Refusal({file[0], file[1], "--rpc-port=1", "--insecure"}), HasSubstr("yaml:1"));
}

TEST_F(ConfigTest, FlagWithoutItsValueIsRefused) {
  EXPECT_THAT(Refusal({"--rpc-port"}), HasSubstr("--rpc-port"));
  EXPECT_THAT(Refusal({"--data-dir", "--insecure"}),
              AllOf(HasSubstr("--data-dir"), HasSubstr("--insecure")));
}

TEST_F(ConfigTest, FilesOfTheWrongShapeAreRefused) {
  EXPECT_THAT(FileRefusal("- a\n- b\n"), StartsWith(path() + ":1: the file is a list"));
  EXPECT_THAT(FileRefusal("rpc-port: [1]\n"),
              path() + ":1: rpc-port is a list, expected a number from 1 to 65535");
  EXPECT_THAT(FileRefusal("rpc-port: {a: 1}\n"), HasSubstr("is a map"));
  EXPECT_THAT(FileRefusal("node-name:\nrpc-port:\n"), HasSubstr(":1: node-name is empty"));
  EXPECT_THAT(FileRefusal("start-join-addrs: a:1\n"), HasSubstr(":1: start-join-addrs is \"a:1\""));
  EXPECT_THAT(FileRefusal("start-join-addrs:\n- a:1\n- [b]\n"), HasSubstr(":3: an element"));
  EXPECT_THAT(FileRefusal("[a]: 1\n"), HasSubstr(":1: a key is a list"));
  EXPECT_THAT(FileRefusal("config-file: x\n"), HasSubstr(":1: config-file cannot"));
  EXPECT_THAT(FileRefusal("a: 1\n---\nb: 2\n"), HasSubstr("follows the first document"));
  EXPECT_THAT(FileRefusal(",a"), HasSubstr("follows the first document"));
  EXPECT_THAT(FileRefusal("rpc-port: 1\nx: [\n"), HasSubstr("not valid YAML"));
  EXPECT_THAT(FileRefusal("rpc-port: 1\n\tnode-name: a\n"), HasSubstr(":2: not valid YAML"));
  EXPECT_THAT(FileRefusal("a: 1\n\x04"), HasSubstr(":2: not valid YAML: control character 0x04"));
  EXPECT_THAT(FileRefusal("node-name: \xff\n"), HasSubstr("not UTF-8"));
  EXPECT_THAT(FileRefusal(std::string(1 << 21, '#')), HasSubstr("2097152 bytes"));
}

TEST_F(ConfigTest, EmptyFileIsFine) {
  for (const char* text : {"", "# nothing\n", "---\n", "{}\n"}) ParseInsecure(File(text));
}

TEST_F(ConfigTest, FileThatCannotBeReadIsRefused) {
  EXPECT_THAT(Refusal({"--config-file", home_ / "none.yaml"}),
              AllOf(StartsWith("config-file: "), HasSubstr("none.yaml")));
  EXPECT_THAT(Refusal({"--config-file", home_}), StartsWith("config-file: "));
}

TEST_F(ConfigTest, AnyFileIsReadOrRefusedInOneLine) {
  const auto is_answered = [this](const std::string& text) {
    const auto status = Parse(File(text)).status();
    RC_ASSERT(status.ok() || absl::IsInvalidArgument(status));
    RC_ASSERT(MessageOf(status).find('\n') == std::string_view::npos);
  };
  EXPECT_TRUE(rc::check("any bytes", is_answered));
  EXPECT_TRUE(rc::check("YAML's own characters", [&] {
    static const std::string kCharacters = " \n\t-?:,[]{}#&*!|>'\"%@`~$.a0";
    is_answered(*rc::gen::container<std::string>(rc::gen::elementOf(kCharacters)));
  }));
}

TEST_F(ConfigTest, WildcardNeedsAnAddressToAdvertise) {
  EXPECT_THAT(
      Refusal({"--bind-addr=0.0.0.0:8401", "--insecure"}),
      AllOf(StartsWith("--bind-addr: bind-addr is \"0.0.0.0:8401\""), HasSubstr("advertise-addr")));
  EXPECT_THAT(Refusal({"--bind-addr=[::]:8401", "--insecure"}), HasSubstr("\"[::]:8401\""));
  const Config config = ParseInsecure({"--bind-addr=0.0.0.0:8401", "--advertise-addr=n1:8401"});
  EXPECT_EQ(config.advertise_addr, (net::HostPort{"n1", 8401}));
}

TEST_F(ConfigTest, PortsMustDiffer) {
  EXPECT_EQ(Refusal({"--rpc-port=8401", "--insecure"}),
            "--rpc-port: rpc-port uses port 8401, which bind-addr (default) uses too; give each "
            "its own");
  EXPECT_THAT(Refusal({"--metrics-port=8400", "--insecure"}), HasSubstr("rpc-port (default)"));
  EXPECT_THAT(Refusal({"--metrics-port=8401", "--insecure"}), HasSubstr("bind-addr (default)"));
}

TEST_F(ConfigTest, MissingTlsFilesAreRefusedUnlessInsecure) {
  EXPECT_THAT(Refusal({}),
              AllOf(HasSubstr("server-tls-cert-file, server-tls-key-file, server-tls-ca-file"),
                    HasSubstr("make gencert"), HasSubstr("insecure: true")));
  EXPECT_THAT(FileRefusal("server-tls-cert-file: ~/.mokv/server.pem\n"),
              AllOf(HasSubstr("config.yaml:1: server-tls-key-file, server-tls-ca-file"),
                    Not(HasSubstr("cert-file"))));
  EXPECT_TRUE(ParseInsecure({}).insecure);
}

TEST_F(ConfigTest, CompleteTlsIsTaken) {
  const std::string text =
      "server-tls-cert-file: ~/.mokv/server.pem\nserver-tls-key-file: ~/.mokv/server-key.pem\n"
      "server-tls-ca-file: ~/.mokv/ca.pem\n";
  const absl::StatusOr<ParsedCommandLine> parsed = Parse(File(text));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_FALSE(parsed->config.insecure);
  EXPECT_EQ(parsed->config.server_tls_cert_file, (home_ / ".mokv/server.pem").string());
  EXPECT_THAT(FileRefusal(text + "insecure: true\n"),
              AllOf(HasSubstr(":1: server-tls-cert-file"), HasSubstr("config.yaml:4")));
  EXPECT_THAT(FileRefusal(text + "peer-tls-key-file: ~/.mokv/peer-key.pem\n"),
              AllOf(HasSubstr(":4: peer-tls-key-file is set"),
                    HasSubstr("peer-tls-cert-file, peer-tls-ca-file must")));
  std::filesystem::remove(home_ / ".mokv/server-key.pem");
  EXPECT_THAT(FileRefusal(text), AllOf(HasSubstr("config.yaml:2: server-tls-key-file is"),
                                       HasSubstr("No such file"), HasSubstr("make gencert")));
}

TEST_F(ConfigTest, AclFilesComeInPairsAndNeedTls) {
  const std::string tls =
      "server-tls-cert-file: ~/.mokv/server.pem\nserver-tls-key-file: ~/.mokv/server-key.pem\n"
      "server-tls-ca-file: ~/.mokv/ca.pem\n";
  const std::string model = "acl-model-file: ~/.mokv/model.conf\n";
  const std::string policy = "acl-policy-file: ~/.mokv/policy.csv\n";
  EXPECT_TRUE(Parse(File(tls + model + policy)).ok());
  EXPECT_THAT(FileRefusal(tls + model), HasSubstr(":4: acl-model-file is set, so acl-policy-file"));
  EXPECT_THAT(FileRefusal(tls + policy),
              HasSubstr(":4: acl-policy-file is set, so acl-model-file"));
  EXPECT_THAT(FileRefusal("insecure: true\n" + model + policy),
              AllOf(HasSubstr(":2: acl-model-file"), HasSubstr("insecure")));
}

TEST_F(ConfigTest, GossipKeyIsCheckedAndKeptSecret) {
  EXPECT_EQ(ParseInsecure({"--serf-encrypt-key", kGossipKey}).serf_encrypt_key, kGossipKey);
  EXPECT_THAT(Refusal({"--insecure", "--serf-encrypt-key=c2VjcmV0"}),
              AllOf(HasSubstr("16, 24 or 32 bytes"), Not(HasSubstr("c2VjcmV0"))));
  EXPECT_THAT(Refusal({"--insecure", "--serf-encrypt-key", kGossipKey, "--serf-keyring-file",
                       home_ / ".mokv/keyring.json"}),
              AllOf(HasSubstr("serf-keyring-file"), HasSubstr("serf-encrypt-key"),
                    Not(HasSubstr(kGossipKey))));
}

TEST_F(ConfigTest, ElectionsNeedMoreThanTwoHeartbeats) {
  EXPECT_THAT(Refusal({"--insecure", "--heartbeat-interval=250ms"}),
              AllOf(HasSubstr("election-timeout is 500ms"), HasSubstr("250ms")));
  ParseInsecure({"--heartbeat-interval=249ms"});
}

TEST_F(ConfigTest, WarnsOnceForEachKeyWithoutEffect) {
  environment_["MOKV_HISTORY_AGE"] = "1m";
  const Config config = ParseInsecure({"--history-age=2m", "--read-lease", "--bootstrap"});
  EXPECT_THAT(config.warnings, ElementsAre(StartsWith("--history-age: history-age has no effect")));
}

TEST_F(ConfigTest, HelpNamesEveryKeyAndItsDefault) {
  const absl::StatusOr<ParsedCommandLine> parsed = Parse({"--help", "--nonsense"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->action, ParsedCommandLine::Action::kShowText);
  for (const ConfigKey& key : ConfigKeys()) {
    EXPECT_THAT(parsed->text, HasSubstr(FlagName(key) + " "));
    EXPECT_THAT(parsed->text,
                HasSubstr(fmt::format("default: {}", key.default_note.empty() ? key.default_value
                                                                              : key.default_note)));
  }
  for (const char* flag : {"--help", "--version", "--check-config"}) {
    EXPECT_THAT(parsed->text, HasSubstr(flag));
  }
}

TEST_F(ConfigTest, VersionNeedsNoConfiguration) {
  const absl::StatusOr<ParsedCommandLine> parsed = Parse({"--version"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->action, ParsedCommandLine::Action::kShowText);
  EXPECT_THAT(parsed->text, ::testing::MatchesRegex("mokv [0-9.]+\n"));
}

TEST_F(ConfigTest, CheckConfigAsksForTheCheckOnly) {
  const absl::StatusOr<ParsedCommandLine> parsed = Parse({"--check-config", "--insecure"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->action, ParsedCommandLine::Action::kCheckConfig);
  EXPECT_FALSE(Parse({"--check-config"}).ok());
}

TEST_F(ConfigTest, ShippedExamplesAreFine) {
  std::vector<Config> configs;
  for (const char* name : {"config.yaml", "config2.yaml", "config3.yaml"}) {
    const std::filesystem::path file = std::filesystem::path(MOKV_SOURCE_DIR) / "example" / name;
    const absl::StatusOr<ParsedCommandLine> parsed =
        Parse({"--check-config", "--config-file", file});
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    configs.push_back(parsed->config);
  }
  // One cluster on one machine: nothing may collide.
  std::set<uint16_t> ports;
  std::set<std::string> directories;
  for (const Config& config : configs) {
    ports.insert({config.rpc_port, config.bind_addr.port, config.metrics_port});
    directories.insert(config.data_dir);
  }
  EXPECT_EQ(ports.size(), 9u);
  EXPECT_EQ(directories.size(), 3u);
  EXPECT_TRUE(configs[0].bootstrap);
  EXPECT_THAT(configs[0].warnings, IsEmpty());
  EXPECT_FALSE(configs[1].bootstrap);
  EXPECT_FALSE(configs[2].bootstrap);
}

TEST(ConfigReference, IsWhatTheDocumentSays) {
  const std::string table = ConfigReferenceMarkdown();
  const std::string page = ReadFile(std::filesystem::path(MOKV_SOURCE_DIR) / "docs/reference.md");
  EXPECT_TRUE(page.find(table) != std::string::npos)
      << "docs/reference.md must contain this table:\n"
      << table;
}

}  // namespace
}  // namespace mokv
