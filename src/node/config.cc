#include "node/config.h"

#include <absl/strings/str_split.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <thread>

#include <CLI/CLI.hpp>

#include "base/json.h"
#include "base/status.h"
#include "node/config_keys.h"

extern char** environ;

namespace mokv {
namespace {

constexpr std::string_view kVariablePrefix = "MOKV_";

// Flags and variables hold a list in one text.
GivenValue FromText(const ConfigKey& key, const std::string& text, std::string where) {
  GivenValue given{.key = &key, .texts = {text}, .where = std::move(where)};
  if (key.type.shape == KeyType::Shape::kList) {
    given.texts = text.empty() ? std::vector<std::string>()
                               : std::vector<std::string>(absl::StrSplit(text, ','));
  }
  return given;
}

// ---- Flags.

struct Flags {
  bool help = false;
  bool version = false;
  bool check_config = false;
  std::vector<GivenValue> values;
  std::string help_text;
};

std::string DefaultText(const ConfigKey& key) {
  return std::string(key.default_note.empty() ? key.default_value : key.default_note);
}

std::string FlagHelp(const ConfigKey& key) {
  const bool is_choice = key.type.label == "WORD";
  return fmt::format("{} ({}default: {})", key.meaning, is_choice ? key.type.expected + "; " : "",
                     DefaultText(key));
}

// CLI11 takes `--key=` followed by `x` for `--key x`. Here an empty value is a value: with it a
// flag replaces what the file says by "none".
std::vector<std::string> SplitEmptyValues(int argc, const char* const* argv) {
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) {
    std::string argument = argv[i];
    const bool is_empty_value = argument.starts_with("--") && argument.ends_with('=');
    if (is_empty_value) argument.pop_back();
    const ConfigKey* key = is_empty_value ? FindConfigKey(argument.substr(2)) : nullptr;
    if (key == nullptr || key->type.shape == KeyType::Shape::kSwitch) {
      arguments.emplace_back(argv[i]);
      continue;
    }
    arguments.push_back(std::move(argument));
    arguments.emplace_back();
  }
  return arguments;
}

absl::Status UnknownArgument(const std::string& argument) {
  if (!argument.starts_with("-")) {
    return InvalidArgument("unexpected argument {}; see --help", JsonString(argument));
  }
  const std::string flag = argument.substr(0, argument.find('='));
  const std::string name = flag.substr(std::min(flag.find_first_not_of('-'), flag.size()));
  return InvalidArgument("unknown flag {}{}; see --help", JsonString(flag), Suggestion(name, "--"));
}

absl::StatusOr<Flags> ReadOptions(
    const std::vector<std::pair<const ConfigKey*, CLI::Option*>>& all) {
  Flags flags;
  for (const auto& [key, option] : all) {
    const std::vector<std::string>& results = option->results();
    if (results.empty()) continue;
    const std::string name = FlagName(*key);
    if (results.size() > 1) return InvalidArgument("{} was given {} times", name, results.size());
    if (results[0].starts_with("--")) {
      return InvalidArgument("{} is {}, which is a flag, expected {}", name, JsonString(results[0]),
                             key->type.expected);
    }
    flags.values.push_back(FromText(*key, results[0], name));
  }
  return flags;
}

absl::StatusOr<Flags> ReadFlags(int argc, const char* const* argv) try {
  CLI::App app(
      "mokv: one node of a distributed in-memory key-value store.\n"
      "Flags with a default are keys of the configuration file too, and environment variables: "
      "--rpc-port is `rpc-port:` and MOKV_RPC_PORT. A flag beats a variable, a variable the file.",
      "mokv");
  app.set_help_flag();
  app.allow_extras();
  app.get_formatter()->column_width(38);
  bool help = false;
  bool version = false;
  bool check_config = false;
  app.add_flag("-h,--help", help, "print this and stop");
  app.add_flag("--version", version, "print the version and stop");
  app.add_flag("--check-config", check_config, "check the configuration and stop");
  std::vector<std::pair<const ConfigKey*, CLI::Option*>> options;
  for (const ConfigKey& key : ConfigKeys()) {
    const bool is_switch = key.type.shape == KeyType::Shape::kSwitch;
    CLI::Option* option =
        is_switch ? app.add_flag(FlagName(key)) : app.add_option(FlagName(key))->expected(1);
    option->type_name(is_switch ? "" : key.type.label)->description(FlagHelp(key));
    option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    options.emplace_back(&key, option);
  }
  std::vector<std::string> arguments = SplitEmptyValues(argc, argv);
  std::reverse(arguments.begin(), arguments.end());  // As CLI11 wants them.
  app.parse(std::move(arguments));

  // Help is for those whose command line is wrong.
  if (help) {
    Flags flags;
    flags.help = true;
    flags.help_text = app.help();
    return flags;
  }
  const std::vector<std::string> extras = app.remaining();
  if (!extras.empty()) return UnknownArgument(extras[0]);
  MOKV_ASSIGN_OR_RETURN(Flags flags, ReadOptions(options));
  flags.version = version;
  flags.check_config = check_config;
  return flags;
} catch (const CLI::Error& error) {
  return InvalidArgument("{}; see --help", error.what());
}

// ---- Variables.

std::vector<GivenValue> ReadVariables(const Environment& environment,
                                      std::vector<std::string>& warnings) {
  std::vector<GivenValue> values;
  for (const auto& [name, text] : environment) {
    if (!name.starts_with(kVariablePrefix)) continue;
    // An empty variable is how compose files and unit files say "not set".
    if (text.empty()) continue;
    std::string key_name = name.substr(kVariablePrefix.size());
    for (char& c : key_name) {
      c = c == '_' ? '-' : static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    const ConfigKey* key = FindConfigKey(key_name);
    if (key == nullptr || VariableName(*key) != name) {
      warnings.push_back(
          fmt::format("{}: unknown variable, ignored{}", name, Suggestion(key_name)));
      continue;
    }
    values.push_back(FromText(*key, text, name));
  }
  return values;
}

// ---- Putting it together.

absl::Status StoreAll(std::vector<GivenValue> values, Config& config, GivenValues& winners) {
  for (GivenValue& given : values) {
    // Also a value that a stronger source overrides is checked: if wrong, it is somebody's mistake.
    MOKV_RETURN_IF_ERROR(StoreValue(given, config));
    winners.insert_or_assign(given.key->name, std::move(given));
  }
  return absl::OkStatus();
}

std::string HostName() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "";
  return name.data();
}

absl::Status StoreDefaults(const Environment& environment, const GivenValues& winners,
                           Config& config) {
  for (const ConfigKey& key : ConfigKeys()) {
    if (winners.contains(key.name)) continue;
    GivenValue value{.key = &key, .texts = {std::string(key.default_value)}, .where = "default"};
    if (key.name == "node-name") {
      value.texts[0] = HostName();
    } else if (key.default_value.empty()) {
      continue;
    }
    absl::StatusOr<std::string> text = ExpandVariables(value.texts[0], environment);
    if (!text.ok()) return ValueError(value, MessageOf(text.status()));
    value.texts[0] = *std::move(text);
    MOKV_RETURN_IF_ERROR(StoreValue(value, config));
  }
  if (!winners.contains("advertise-addr")) config.advertise_addr = config.bind_addr;
  if (!winners.contains("io-threads")) {
    config.io_threads = std::max(1u, std::thread::hardware_concurrency());
  }
  if (!winners.contains("log-format")) {
    config.log_format = isatty(STDERR_FILENO) == 1 ? LogFormat::kText : LogFormat::kJson;
  }
  return absl::OkStatus();
}

absl::StatusOr<Config> MakeConfig(Flags flags, const Environment& environment) {
  Config config;
  std::vector<GivenValue> variables = ReadVariables(environment, config.warnings);
  std::string config_file;
  for (const std::vector<GivenValue>& values : {variables, flags.values}) {
    for (const GivenValue& given : values) {
      if (given.key->name != "config-file") continue;
      MOKV_RETURN_IF_ERROR(StoreValue(given, config));
      config_file = given.texts[0];
    }
  }
  GivenValues winners;
  if (!config_file.empty()) {
    MOKV_ASSIGN_OR_RETURN(std::vector<GivenValue> values, ReadConfigFile(config_file, environment));
    MOKV_RETURN_IF_ERROR(StoreAll(std::move(values), config, winners));
  }
  MOKV_RETURN_IF_ERROR(StoreAll(std::move(variables), config, winners));
  MOKV_RETURN_IF_ERROR(StoreAll(std::move(flags.values), config, winners));
  MOKV_RETURN_IF_ERROR(StoreDefaults(environment, winners, config));
  MOKV_RETURN_IF_ERROR(CheckConfig(config, winners));
  for (const auto& [name, given] : winners) {
    if (given.key->not_yet.empty()) continue;
    config.warnings.push_back(
        fmt::format("{}: {} has no effect: {}", given.where, name, given.key->not_yet));
  }
  return config;
}

}  // namespace

absl::StatusOr<ParsedCommandLine> ParseCommandLine(int argc, const char* const* argv,
                                                   const Environment& environment) {
  MOKV_ASSIGN_OR_RETURN(Flags flags, ReadFlags(argc, argv));
  ParsedCommandLine parsed;
  if (flags.help || flags.version) {
    parsed.action = ParsedCommandLine::Action::kShowText;
    parsed.text = flags.help ? flags.help_text : fmt::format("mokv {}\n", MOKV_VERSION);
    return parsed;
  }
  if (flags.check_config) parsed.action = ParsedCommandLine::Action::kCheckConfig;
  MOKV_ASSIGN_OR_RETURN(parsed.config, MakeConfig(std::move(flags), environment));
  return parsed;
}

Environment CurrentEnvironment() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

std::string ConfigReferenceMarkdown() {
  std::string table = "| key | value | default | meaning |\n| --- | --- | --- | --- |\n";
  for (const ConfigKey& key : ConfigKeys()) {
    const std::string default_text =
        key.default_note.empty() ? fmt::format("`{}`", key.default_value) : DefaultText(key);
    const std::string remark =
        key.not_yet.empty() ? "" : fmt::format(". *No effect: {}.*", key.not_yet);
    table += fmt::format("| `{}` | {} | {} | {}{} |\n", key.name, key.type.expected, default_text,
                         key.meaning, remark);
  }
  return table;
}

}  // namespace mokv
