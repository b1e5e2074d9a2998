// serf_peer: one serf::Agent as a program, for tests against real Serf agents.
//
//   serf_peer --name NAME [--bind HOST:PORT] [--tag NAME=VALUE]... [--join HOST:PORT]...
//             [--key BASE64] [--keyring FILE] [--peers FILE] [--timing lan|local]
//
// Prints one JSON object a line: `ready`, and what it hears. Reads commands, one a line:
//   members | stats | tags [NAME=VALUE]... | event NAME PAYLOAD | query NAME PAYLOAD |
//   force-leave NAME
// SIGTERM, SIGINT, or the end of its input make it leave and end.
// It answers queries called `hello` with its name.
#include <absl/strings/escaping.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/json.h"
#include "base/logging.h"
#include "base/mutex.h"
#include "base/status.h"
#include "net/io_pool.h"
#include "serf/keyring_file.h"
#include "serf/shell/agent.h"

namespace mokv::serf {
namespace {

void Print(const std::string& json) {
  static Mutex mutex;
  const MutexLock lock(mutex);
  std::fputs((json + "\n").c_str(), stdout);
  std::fflush(stdout);
}

std::string TagsJson(const Tags& tags) {
  std::string json;
  for (const auto& [name, value] : tags) {
    json += (json.empty() ? "" : ",") + JsonString(name) + ":" + JsonString(value);
  }
  return "{" + json + "}";
}

std::string MemberJson(const Member& member) {
  return fmt::format(R"({{"name":{},"status":{},"port":{},"tags":{},"rtt_us":{}}})",
                     JsonString(member.name), JsonString(NameOf(member.status)), member.at.port,
                     TagsJson(member.tags), member.round_trip.count() / 1000);
}

std::string StatsJson(const Stats& stats) {
  std::string dropped;
  for (size_t i = 0; i < kDropReasons; ++i) {
    dropped += fmt::format("{}{}:{}", i == 0 ? "" : ",", JsonString(NameOf(static_cast<Drop>(i))),
                           stats.dropped[i]);
  }
  return fmt::format(
      R"({{"event":"stats","alive":{},"left":{},"failed":{},"awareness":{},"refutations":{},)"
      R"("probes":{},"probes_failed":{},"suspicions":{},"push_pulls_served":{},"packets":{},)"
      R"("indirect_served":{},"dropped":{{{}}}}})",
      stats.members_alive, stats.members_left, stats.members_failed, stats.awareness_score,
      stats.refutations, stats.probes, stats.probes_failed, stats.suspicions,
      stats.push_pulls_served, stats.packets_received, stats.indirect_pings_served, dropped);
}

// As agents have it with `-profile=local`.
Timing LocalTiming() {
  Timing timing;
  timing.probe_timeout = std::chrono::milliseconds(200);
  timing.indirect_checks = 1;
  timing.gossip_interval = std::chrono::milliseconds(100);
  timing.gossip_to_the_dead = std::chrono::seconds(15);
  timing.retransmit_mult = 2;
  timing.suspicion_mult = 3;
  timing.push_pull_interval = std::chrono::seconds(15);
  timing.stream_timeout = std::chrono::seconds(1);
  return timing;
}

struct Arguments {
  Agent::Options options;
  std::vector<net::HostPort> join;
};

void AddTag(const std::string& text, Tags* tags) {
  const size_t equals = text.find('=');
  MOKV_CHECK(equals != std::string::npos);
  (*tags)[text.substr(0, equals)] = text.substr(equals + 1);
}

Arguments Parse(int argc, char** argv) {
  Arguments arguments;
  arguments.options.bind_address = {"127.0.0.1", 0};
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    MOKV_CHECK_LT(i + 1, argc);
    const std::string value = argv[++i];
    if (flag == "--name") {
      arguments.options.node_name = value;
    } else if (flag == "--bind") {
      arguments.options.bind_address = net::ParseHostPort(value).value();
    } else if (flag == "--tag") {
      AddTag(value, &arguments.options.tags);
    } else if (flag == "--join") {
      arguments.join.push_back(net::ParseHostPort(value).value());
    } else if (flag == "--key") {
      arguments.options.encryption_keys = ParseKeyringFile("[\"" + value + "\"]").value();
    } else if (flag == "--keyring") {
      arguments.options.keyring_path = value;
    } else if (flag == "--peers") {
      arguments.options.peers_path = value;
    } else if (flag == "--timing") {
      arguments.options.timing = value == "local" ? LocalTiming() : Timing::Lan();
    } else {
      CheckFailed(__FILE__, __LINE__, "unknown flag " + flag);
    }
  }
  return arguments;
}

Agent::Callbacks MakeCallbacks(Agent** agent, const std::string& name) {
  Agent::Callbacks callbacks;
  callbacks.on_member = [](const MemberEvent& event) {
    Print(fmt::format(R"({{"event":"member","change":{},"member":{}}})",
                      JsonString(NameOf(event.change)), MemberJson(event.member)));
  };
  callbacks.on_user_event = [](const UserEvent& event) {
    Print(fmt::format(R"({{"event":"user","name":{},"payload":{}}})", JsonString(event.name),
                      JsonString(event.payload)));
  };
  callbacks.on_query = [agent, name](const IncomingQuery& query) {
    Print(fmt::format(R"({{"event":"query","name":{},"payload":{}}})", JsonString(query.name),
                      JsonString(query.payload)));
    if (query.name == "hello") (*agent)->Respond(query.key, name + " says hello");
  };
  callbacks.on_name_conflict = [](const NameConflictLost&) {
    Print(R"({"event":"name-conflict-lost"})");
  };
  return callbacks;
}

void Run(Agent& agent, const std::string& line) {
  std::istringstream words(line);
  std::string command;
  words >> command;
  std::string first;
  if (command == "members") {
    std::string list;
    const auto members = agent.members();
    for (const Member& member : *members) {
      list += (list.empty() ? "" : ",") + MemberJson(member);
    }
    Print(fmt::format(R"({{"event":"members","members":[{}]}})", list));
  } else if (command == "stats") {
    Print(StatsJson(agent.stats()));
  } else if (command == "tags") {
    Tags tags;
    while (words >> first) AddTag(first, &tags);
    Print(fmt::format(R"({{"event":"tags","ok":{}}})", agent.SetTags(tags).ok()));
  } else if (command == "event") {
    std::string payload;
    words >> first >> payload;
    Print(fmt::format(R"({{"event":"sent","ok":{}}})", agent.SendUserEvent(first, payload).ok()));
  } else if (command == "query") {
    QueryRequest request{.want_acks = true};
    words >> request.name >> request.payload;
    Agent::QueryCallbacks callbacks;
    callbacks.on_ack = [](const std::string& from) {
      Print(fmt::format(R"({{"event":"ack","from":{}}})", JsonString(from)));
    };
    callbacks.on_response = [](const std::string& from, const std::string& payload) {
      Print(fmt::format(R"({{"event":"response","from":{},"payload":{}}})", JsonString(from),
                        JsonString(payload)));
    };
    callbacks.on_done = [](const absl::Status& status) {
      Print(fmt::format(R"({{"event":"query-done","ok":{}}})", status.ok()));
    };
    agent.Query(std::move(request), std::move(callbacks));
  } else if (command == "force-leave") {
    words >> first;
    agent.ForceLeave(first, [](const absl::Status& status) {
      Print(fmt::format(R"({{"event":"force-leave","ok":{}}})", status.ok()));
    });
  }
}

// Until a signal, or the end of the input.
void Serve(Agent& agent, int signals) {
  std::string pending;
  for (;;) {
    pollfd sources[] = {{0, POLLIN, 0}, {signals, POLLIN, 0}};
    if (poll(sources, 2, -1) < 0) continue;
    if (sources[1].revents != 0) return;
    char chunk[4096];
    const ssize_t size = read(0, chunk, sizeof(chunk));
    if (size <= 0) return;
    pending.append(chunk, static_cast<size_t>(size));
    for (size_t end; (end = pending.find('\n')) != std::string::npos;) {
      Run(agent, pending.substr(0, end));
      pending.erase(0, end + 1);
    }
  }
}

int Main(int argc, char** argv) {
  // Before any thread: signals are read, not handled.
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  const int signals = signalfd(-1, &set, SFD_CLOEXEC);

  Arguments arguments = Parse(argc, argv);
  net::IoPool pool(1, "serf");
  pool.Start();
  Agent* agent_for_callbacks = nullptr;
  auto agent = Agent::Create(pool.thread(0), arguments.options,
                             MakeCallbacks(&agent_for_callbacks, arguments.options.node_name));
  if (!agent.ok()) {
    std::fprintf(stderr, "%s\n", std::string(MessageOf(agent.status())).c_str());
    return 1;
  }
  agent_for_callbacks = agent->get();
  (*agent)->Start();
  Print(fmt::format(R"({{"event":"ready","port":{}}})", (*agent)->port()));
  if (!arguments.join.empty()) {
    (*agent)->Join(arguments.join, [] { Print(R"({"event":"joined"})"); });
  }
  Serve(**agent, signals);
  {
    Mutex mutex;
    CondVar left;
    bool has_left = false;
    (*agent)->Leave([&] {
      const MutexLock lock(mutex);
      has_left = true;
      left.NotifyOne();
    });
    MutexLock lock(mutex);
    while (!has_left) left.Wait(lock);
  }
  (*agent)->Stop();
  pool.Stop();
  Print(R"({"event":"stopped"})");
  return 0;
}

}  // namespace
}  // namespace mokv::serf

int main(int argc, char** argv) { return mokv::serf::Main(argc, argv); }
