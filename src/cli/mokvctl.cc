// mokvctl: the tool for people. This file is its command line; ctl_commands.h is what it does.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>

#include <CLI/CLI.hpp>

#include "base/standard_streams.h"
#include "cli/ctl_access.h"
#include "cli/ctl_commands.h"
#include "cli/ctl_rebuild.h"
#include "cli/ctl_snapshot.h"
#include "cli/log_dump.h"
#include "cli/snapshot_files.h"
#include "cli/verify_directory.h"

namespace {

using mokv::CtlConnection;
using mokv::CtlFormat;

// Everything that the command line can set.
struct CommandLine {
  CtlConnection connection;
  double timeout_seconds = 5;
  CtlFormat format = CtlFormat::kText;
  std::string key;
  std::string value;
  std::string prefix;
  bool stale = false;
  bool null_separated = false;
  uint64_t expect = 0;
  std::string directory;
  std::string file;
  std::string data_dir;
  bool force = false;
  std::string name;
  std::string address;
  std::vector<std::string> hosts;
  std::string model_file;
  std::string policy_file;
  mokv::AccessQuestion access;
  std::function<int()> run;
};

std::string DefaultDirectory() {
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr ? home : ".") + "/.mokv";
}

void AddGlobalOptions(CLI::App& app, CommandLine& line) {
  const std::string directory = DefaultDirectory();
  CtlConnection& connection = line.connection;
  connection.endpoints = {"127.0.0.1:8400"};
  connection.ca_file = directory + "/ca.pem";
  connection.certificate_file = directory + "/root-client.pem";
  connection.key_file = directory + "/root-client-key.pem";
  app.add_option("--endpoints", connection.endpoints, "Nodes to ask, HOST:PORT,..")
      ->delimiter(',')
      ->envname("MOKVCTL_ENDPOINTS")
      ->capture_default_str();
  app.add_option("--cacert", connection.ca_file, "CA that signed the nodes' certificates")
      ->envname("MOKVCTL_CACERT")
      ->capture_default_str();
  app.add_option("--cert", connection.certificate_file, "Certificate to present")
      ->envname("MOKVCTL_CERT")
      ->capture_default_str();
  app.add_option("--key", connection.key_file, "Its key")
      ->envname("MOKVCTL_KEY")
      ->capture_default_str();
  app.add_flag("--insecure", connection.insecure, "Speak without TLS")->envname("MOKVCTL_INSECURE");
  app.add_option("--timeout", line.timeout_seconds, "Time for one call, as 5s or 300ms")
      ->envname("MOKVCTL_TIMEOUT")
      ->transform(CLI::AsNumberWithUnit(
          std::map<std::string, double>{{"ms", 0.001}, {"s", 1}, {"m", 60}, {"h", 3600}}))
      ->check(CLI::PositiveNumber)
      ->option_text("DURATION=5s (Env:MOKVCTL_TIMEOUT)");
  app.add_option("-o,--output", line.format, "How results are shown")
      ->envname("MOKVCTL_OUTPUT")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, CtlFormat>{{"text", CtlFormat::kText}, {"json", CtlFormat::kJson}}))
      ->option_text("text|json=text (Env:MOKVCTL_OUTPUT)");
}

// The last of repeated options wins, as people expect who add one to an alias of theirs.
void LetTheLastWin(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    const bool is_single = option->get_items_expected_max() == 1 && !option->get_positional();
    if (is_single) option->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  }
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    LetTheLastWin(*command);
  }
}

// Without a known command CLI11 complains of the missing command before it does of an unknown word.
// This finds that word, which may be an option; what follows an unknown option may be its value.
std::optional<std::string> UnknownWord(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_name() != "RequiredError") return std::nullopt;
  const std::vector<std::string> words = app.remaining(/*recurse=*/true);
  return words.empty() ? std::nullopt : std::optional(words.front());
}

void AddKeyCommands(CLI::App& app, CommandLine& line) {
  CLI::App* get = app.add_subcommand("get", "Print the value of a key");
  get->add_option("KEY", line.key)->required();
  get->add_flag("--stale", line.stale, "What the asked node has, perhaps behind the others");
  get->callback([&line] {
    line.run = [&line] { return CtlGet(line.connection, line.format, line.key, line.stale); };
  });

  CLI::App* set = app.add_subcommand("set", "Set a key to a value");
  set->add_option("KEY", line.key)->required();
  set->add_option("VALUE", line.value, "The value; - reads standard input")->required();
  CLI::Option* set_expect =
      set->add_option("--expect", line.expect, "Only if the key's revision is this; 0: is missing");
  set->callback([&line, set_expect] {
    line.run = [&line, set_expect] {
      return CtlSet(line.connection, line.format, line.key, line.value,
                    set_expect->count() > 0 ? std::optional(line.expect) : std::nullopt);
    };
  });

  CLI::App* del = app.add_subcommand("delete", "Delete a key; prints how many were deleted");
  del->add_option("KEY", line.key)->required();
  CLI::Option* delete_expect =
      del->add_option("--expect", line.expect, "Only if the key's revision is this");
  del->callback([&line, delete_expect] {
    line.run = [&line, delete_expect] {
      return CtlDelete(line.connection, line.format, line.key,
                       delete_expect->count() > 0 ? std::optional(line.expect) : std::nullopt);
    };
  });

  CLI::App* list = app.add_subcommand("list", "Print keys and values, one item a line");
  list->add_option("PREFIX", line.prefix);
  list->add_flag("--stale", line.stale, "What the asked node has, perhaps behind the others");
  list->add_flag("-0", line.null_separated,
                 "End each key and each value with a NUL byte, as they are, for programs");
  list->callback([&line] {
    line.run = [&line] {
      return CtlList(line.connection, line.format, line.prefix, line.stale, line.null_separated);
    };
  });
}

void AddClusterCommands(CLI::App& app, CommandLine& line) {
  app.add_subcommand("status", "One row a node")->callback([&line] {
    line.run = [&line] { return CtlStatus(line.connection, line.format); };
  });

  CLI::App* member = app.add_subcommand("member", "The members of the cluster");
  member->require_subcommand(1);
  member->add_subcommand("list", "One row a member")->callback([&line] {
    line.run = [&line] { return mokv::CtlMemberList(line.connection, line.format); };
  });
  CLI::App* add = member->add_subcommand(
      "add", "Add a node that runs and waits; or tell a member's new address");
  add->add_option("NAME", line.name, "Its node-name")->required();
  add->add_option("HOST:PORT", line.address, "Where it serves gRPC")->required();
  add->callback([&line] {
    line.run = [&line] { return mokv::CtlMemberAdd(line.connection, line.name, line.address); };
  });
  CLI::App* remove = member->add_subcommand("remove", "Remove a member, whether it lives or not");
  remove->add_option("NAME", line.name)->required();
  remove->callback([&line] {
    line.run = [&line] { return mokv::CtlMemberRemove(line.connection, line.name); };
  });

  CLI::App* leader = app.add_subcommand("leader", "The leader of the cluster");
  leader->require_subcommand(1);
  CLI::App* transfer = leader->add_subcommand("transfer", "Hand leadership over");
  transfer->add_option("NAME", line.name, "Who is to lead; otherwise the most suitable member");
  transfer->callback([&line] {
    line.run = [&line] { return mokv::CtlLeaderTransfer(line.connection, line.name); };
  });
}

void AddSnapshotCommands(CLI::App& app, CommandLine& line) {
  CLI::App* snapshot = app.add_subcommand("snapshot", "Save and restore all data");
  snapshot->require_subcommand(1);
  CLI::App* save =
      snapshot->add_subcommand("save", "Write what the asked node has into FILE, while it goes on");
  save->add_option("FILE", line.file, "Is written whole or not at all")->required();
  save->add_flag("--force", line.force, "Replace FILE if it is there");
  save->callback([&line] {
    line.run = [&line] {
      return mokv::CtlSnapshotSave(line.connection, line.format, line.file, line.force);
    };
  });
  CLI::App* verify =
      snapshot->add_subcommand("verify", "Check all of FILE and tell what is in it; asks no node");
  verify->add_option("FILE", line.file)->required();
  verify->callback(
      [&line] { line.run = [&line] { return mokv::CtlSnapshotVerify(line.format, line.file); }; });
  CLI::App* restore = snapshot->add_subcommand(
      "restore", "Make the data directory of a node that begins a new cluster; asks no node");
  restore
      ->add_option("SOURCE", line.file,
                   "A snapshot file; or the data-dir of a stopped node, when the others are lost")
      ->required();
  restore->add_option("--data-dir", line.data_dir, "To be made; must be empty or missing")
      ->required();
  restore->add_option("--node-name", line.name, "Of the node that will be started on it")
      ->required();
  restore->callback([&line] {
    line.run = [&line] {
      return mokv::CtlSnapshotRestore(line.format, line.file, line.data_dir, line.name);
    };
  });
  CLI::App* verify_all =
      app.add_subcommand("verify", "Check every file of a stopped node's data directory");
  verify_all->add_option("DATA_DIR", line.data_dir, "The node's data-dir; is not changed")
      ->required();
  CLI::App* rebuild = app.add_subcommand(
      "rebuild",
      "Make a stopped node, whose disk was damaged or lost, ready to be filled by the "
      "others; asks no node");
  rebuild->add_option("DATA_DIR", line.data_dir, "What is in it is moved aside, within it")
      ->required();
  rebuild->add_option("--node-name", line.name, "Where DATA_DIR does not say whose it is");
  rebuild->callback([&line] {
    line.run = [&line] { return mokv::CtlRebuild(line.format, line.data_dir, line.name); };
  });
  verify_all->callback(
      [&line] { line.run = [&line] { return mokv::CtlVerify(line.format, line.data_dir); }; });
}

void AddAccessCommands(CLI::App& app, CommandLine& line) {
  CLI::App* acl = app.add_subcommand("acl", "The access rules");
  acl->require_subcommand(1);
  CLI::App* check = acl->add_subcommand(
      "check",
      "Whether SUBJECT may do ACTION to OBJECT, and which rule says so; exit status 0: allowed, 1: "
      "denied");
  check->add_option("SUBJECT", line.access.subject, "Common name of a client's certificate")
      ->required();
  check->add_option("OBJECT", line.access.object, "A key; or cluster, or *")->required();
  check->add_option("ACTION", line.access.action, "consume, produce or admin")->required();
  CLI::Option* model =
      check->add_option("--model", line.model_file, "A model; no node is asked then");
  CLI::Option* policy =
      check->add_option("--policy", line.policy_file, "The policy that goes with it");
  model->needs(policy);
  policy->needs(model);
  check->callback([&line, model] {
    line.run = [&line, model] {
      return model->count() > 0 ? mokv::CtlAclCheckFiles(line.format, line.model_file,
                                                         line.policy_file, line.access)
                                : mokv::CtlAclCheckNode(line.connection, line.format, line.access);
    };
  });
}

void AddOperatorCommands(CLI::App& app, CommandLine& line) {
  CLI::App* cert = app.add_subcommand("cert", "Make certificates");
  cert->require_subcommand(1);
  line.directory = DefaultDirectory();
  cert->add_option("--dir", line.directory, "Where they are kept")
      ->envname("CERT_DIR")
      ->capture_default_str();
  CLI::App* init = cert->add_subcommand("init", "A CA, server, peer and client certificates");
  init->add_option("--host", line.hosts, "Further names of the server")
      ->delimiter(',')
      ->envname("CERT_HOSTS");
  init->callback(
      [&line] { line.run = [&line] { return mokv::CtlCertInit(line.directory, line.hosts); }; });
  CLI::App* client = cert->add_subcommand("client", "A certificate for a client");
  client->add_option("NAME", line.name, "The subject, as policies name it")->required();
  client->callback(
      [&line] { line.run = [&line] { return mokv::CtlCertClient(line.directory, line.name); }; });
  CLI::App* server = cert->add_subcommand("server", "A certificate for a server");
  server->add_option("HOST", line.hosts, "Names and addresses; the first names the files")
      ->required();
  server->callback(
      [&line] { line.run = [&line] { return mokv::CtlCertServer(line.directory, line.hosts); }; });

  CLI::App* log = app.add_subcommand("log", "Look at a node's log");
  log->require_subcommand(1);
  CLI::App* dump = log->add_subcommand("dump", "Print a log; works while the node runs");
  dump->add_option("DIR", line.directory, "The log's directory, or the node's data-dir")
      ->required();
  dump->callback([&line] { line.run = [&line] { return mokv::CtlLogDump(line.directory); }; });

  app.add_subcommand("keygen", "Print a new gossip key")->callback([&line] {
    line.run = [] { return mokv::CtlKeygen(); };
  });
}

}  // namespace

int main(int argc, char** argv) {
  mokv::OpenStandardStreams();
  CLI::App app(
      "Talks to a mökv cluster.\nExit status: 0 done; 1 not found or refused; 2 usage; "
      "3 unreachable or timed out.",
      "mokvctl");
  app.set_version_flag("--version", "mokvctl " MOKV_VERSION);
  app.require_subcommand(1);
  app.fallthrough();  // Global options may follow the command.
  CommandLine line;
  AddGlobalOptions(app, line);
  AddKeyCommands(app, line);
  AddClusterCommands(app, line);
  AddSnapshotCommands(app, line);
  AddAccessCommands(app, line);
  AddOperatorCommands(app, line);
  LetTheLastWin(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (const std::optional<std::string> word = UnknownWord(app, error)) {
      std::fprintf(stderr, "mokvctl: there is no %s '%s'; see mokvctl --help\n",
                   word->starts_with('-') ? "option" : "command", word->c_str());
      return mokv::kCtlUsage;
    }
    return app.exit(error) == 0 ? mokv::kCtlDone : mokv::kCtlUsage;
  }
  line.connection.timeout = std::chrono::duration_cast<mokv::Duration>(
      std::chrono::duration<double>(line.timeout_seconds));
  return line.run();
}
