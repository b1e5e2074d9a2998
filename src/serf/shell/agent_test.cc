// Agents with real sockets on loopback, each on a thread of its own.
#include "serf/shell/agent.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "base/file.h"
#include "base/mutex.h"
#include "base/testing/scratch_directory.h"
#include "net/testing/raw_socket.h"
#include "net/testing/wait.h"
#include "serf/keyring_file.h"

namespace mokv::serf {
namespace {

using net::Until;

// Not for production: a busy machine looks dead.
Timing FastTiming() {
  Timing timing;
  timing.probe_interval = std::chrono::milliseconds(500);
  timing.probe_timeout = std::chrono::milliseconds(250);
  timing.gossip_interval = std::chrono::milliseconds(20);
  timing.gossip_to_the_dead = std::chrono::seconds(3);
  timing.suspicion_mult = 3;
  timing.push_pull_interval = std::chrono::seconds(2);
  timing.stream_timeout = std::chrono::seconds(1);
  timing.broadcast_timeout = std::chrono::seconds(1);
  timing.leave_propagate_delay = std::chrono::milliseconds(200);
  timing.reconnect_interval = std::chrono::seconds(1);
  timing.reap_interval = std::chrono::seconds(1);
  return timing;
}

// One agent with its thread, and what it heard.
class TestNode {
 public:
  explicit TestNode(const std::string& name, Agent::Options options = {}) : pool_(1, "serf") {
    options.node_name = name;
    if (options.bind_address.host.empty()) options.bind_address = {"127.0.0.1", 0};
    options.timing = FastTiming();
    pool_.Start();
    Agent::Callbacks callbacks;
    callbacks.on_member = [this](const MemberEvent& event) {
      const MutexLock lock(mutex_);
      changes_.emplace_back(event.change, event.member.name);
    };
    callbacks.on_user_event = [this](const UserEvent&) { ++user_events_; };
    callbacks.on_query = [this, name](const IncomingQuery& query) {
      agent().Respond(query.key, "from " + name);
    };
    agent_ = Agent::Create(pool_.thread(0), std::move(options), std::move(callbacks)).value();
    agent_->Start();
  }
  ~TestNode() { Stop(); }

  void Stop() {
    if (agent_ == nullptr) return;
    agent_->Stop();
    agent_.reset();
    pool_.Stop();
  }
  void LeaveAndStop() {
    std::atomic<bool> left{false};
    agent_->Leave([&] { left = true; });
    EXPECT_TRUE(Until([&] { return left.load(); }));
    Stop();
  }

  Agent& agent() { return *agent_; }
  net::HostPort address() { return {"127.0.0.1", agent_->port()}; }
  MemberStatus StatusOf(const std::string& name) {
    const auto members = agent_->members();
    for (const Member& member : *members) {
      if (member.name == name) return member.status;
    }
    return MemberStatus::kNone;
  }
  bool Sees(const std::string& name, MemberStatus status) {
    return Until([&] { return StatusOf(name) == status; });
  }
  bool Heard(MemberChange change, const std::string& name) {
    return Until([&] {
      const MutexLock lock(mutex_);
      return std::find(changes_.begin(), changes_.end(), std::pair(change, name)) != changes_.end();
    });
  }
  int user_events() const { return user_events_; }

 private:
  net::IoPool pool_;
  Mutex mutex_;
  std::vector<std::pair<MemberChange, std::string>> changes_ ABSL_GUARDED_BY(mutex_);
  std::atomic<int> user_events_{0};
  std::unique_ptr<Agent> agent_;
};

TEST(Agent, RefusesWhatItCannotBindOrSay) {
  net::IoPool pool(1, "serf");
  const auto create = [&](Agent::Options options) {
    return Agent::Create(pool.thread(0), std::move(options), {}).status();
  };
  const net::HostPort local{"127.0.0.1", 0};
  EXPECT_TRUE(create({.node_name = "a", .bind_address = local}).ok());
  EXPECT_FALSE(create({.node_name = "", .bind_address = local}).ok());
  EXPECT_FALSE(create({.node_name = "a", .bind_address = {"0.0.0.0", 0}}).ok());
  EXPECT_FALSE(create({.node_name = "a", .bind_address = {"no.such.host.invalid", 0}}).ok());
  EXPECT_TRUE(
      create(
          {.node_name = "a", .bind_address = {"0.0.0.0", 0}, .advertise_address = {"127.0.0.1", 0}})
          .ok());
  TestNode taken("taken");
  EXPECT_FALSE(create({.node_name = "a", .bind_address = taken.address()}).ok());
}

TEST(Agent, NodesJoinLeaveAndFail) {
  TestNode a("a");
  TestNode b("b", {.tags = {{"role", "mokv"}}});
  TestNode c("c");
  std::atomic<int> joined{0};
  b.agent().Join({a.address()}, [&] { ++joined; });
  c.agent().Join({b.address(), c.address()}, [&] { ++joined; });
  for (TestNode* node : {&a, &b, &c}) {
    for (const char* name : {"a", "b", "c"}) {
      EXPECT_TRUE(node->Sees(name, MemberStatus::kAlive)) << name;
    }
  }
  EXPECT_TRUE(Until([&] { return joined == 2; }));
  EXPECT_TRUE(a.Heard(MemberChange::kJoin, "c"));
  ASSERT_TRUE(b.agent().SetTags({{"role", "other"}}).ok());
  EXPECT_TRUE(c.Heard(MemberChange::kUpdate, "b"));
  EXPECT_FALSE(b.agent().SetTags({{"t", std::string(1000, 'x')}}).ok());

  b.LeaveAndStop();
  EXPECT_TRUE(a.Sees("b", MemberStatus::kLeft));
  EXPECT_TRUE(a.Heard(MemberChange::kLeave, "b"));
  c.Stop();
  EXPECT_TRUE(a.Sees("c", MemberStatus::kFailed));
  EXPECT_TRUE(a.Heard(MemberChange::kFailed, "c"));
  EXPECT_TRUE(Until([&] { return a.agent().stats().members_failed == 1; }));
}

TEST(Agent, JoinsByNameAndKeepsTrying) {
  TestNode a("a");
  TestNode b("b");
  std::atomic<bool> joined{false};
  const net::ReservedPort reserved;
  const net::HostPort dead{"127.0.0.1", reserved.port()};
  b.agent().Join({dead}, [&] { joined = true; });
  a.agent().Join({{"localhost", b.agent().port()}});
  EXPECT_TRUE(a.Sees("b", MemberStatus::kAlive));
  // Somebody appears where nobody was.
  TestNode late("late", {.bind_address = dead});
  EXPECT_TRUE(Until([&] { return joined.load(); }));
  EXPECT_TRUE(a.Sees("late", MemberStatus::kAlive));
}

TEST(Agent, RejoinsWhomItRemembers) {
  const ScratchDirectory directory;
  Agent::Options options;
  options.peers_path = directory.PathOf("peers");
  TestNode a("a");
  {
    TestNode b("b", options);
    b.agent().Join({a.address()});
    EXPECT_TRUE(a.Sees("b", MemberStatus::kAlive));
    EXPECT_TRUE(b.Sees("a", MemberStatus::kAlive));
    b.LeaveAndStop();
  }
  EXPECT_TRUE(a.Sees("b", MemberStatus::kLeft));
  TestNode again("b", options);
  EXPECT_TRUE(a.Sees("b", MemberStatus::kAlive));
  EXPECT_TRUE(again.Sees("a", MemberStatus::kAlive));
}

// Goal: a name that nobody knows yet stops neither the start nor the end, and is not gossiped.
TEST(Agent, WaitsForItsNameToMeanSomething) {
  TestNode a("a");
  Agent::Options options;
  options.advertise_address = {"nobody-knows-this.invalid", 0};
  TestNode b("b", options);
  b.agent().Join({a.address()});
  EXPECT_TRUE(b.agent().SetTags({{"k", "v"}}).ok());
  b.LeaveAndStop();
  EXPECT_EQ(a.agent().members()->size(), 1u);
}

TEST(Agent, EventsAndQueriesPass) {
  TestNode a("a");
  TestNode b("b");
  b.agent().Join({a.address()});
  EXPECT_TRUE(a.Sees("b", MemberStatus::kAlive));
  EXPECT_TRUE(b.Sees("a", MemberStatus::kAlive));
  ASSERT_TRUE(a.agent().SendUserEvent("deploy", "now").ok());
  EXPECT_TRUE(Until([&] { return a.user_events() == 1 && b.user_events() == 1; }));
  EXPECT_FALSE(a.agent().SendUserEvent("big", std::string(1000, 'x')).ok());

  std::atomic<int> acks{0};
  std::atomic<int> answers{0};
  std::atomic<bool> done{false};
  Agent::QueryCallbacks callbacks;
  callbacks.on_ack = [&](const std::string&) { ++acks; };
  callbacks.on_response = [&](const std::string& from, const std::string& payload) {
    EXPECT_EQ(payload, "from " + from);
    ++answers;
  };
  callbacks.on_done = [&](const absl::Status& status) { done = status.ok(); };
  a.agent().Query({.name = "who", .want_acks = true, .timeout = std::chrono::seconds(2)},
                  std::move(callbacks));
  EXPECT_TRUE(Until([&] { return done.load(); }));
  EXPECT_EQ(acks, 2);
  EXPECT_EQ(answers, 2);
}

TEST(Agent, KeysAreKeptWhenTheyChange) {
  const ScratchDirectory directory;
  Agent::Options options;
  options.encryption_keys = {std::string(32, 'a')};
  options.keyring_path = directory.PathOf("keyring.json");
  TestNode a("a", options);
  options.keyring_path.clear();
  TestNode b("b", options);
  b.agent().Join({a.address()});
  EXPECT_TRUE(a.Sees("b", MemberStatus::kAlive));
  b.agent().Query({.name = "_serf_install-key",
                   .payload = EncodeKeyRequest(std::string(16, 'b')),
                   .timeout = std::chrono::seconds(1)},
                  {});
  EXPECT_TRUE(Until([&] {
    const auto text = PosixFileSystem().ReadFile(directory.PathOf("keyring.json"));
    return text.ok() && ParseKeyringFile(*text).ok() && ParseKeyringFile(*text)->size() == 2;
  }));
  std::atomic<bool> set{false};
  a.agent().SetKeys({}, [&](const absl::Status& status) { set = !status.ok(); });
  EXPECT_TRUE(Until([&] { return set.load(); })) << "encryption cannot be switched off";
}

// Connections that say nothing, too much or nonsense; datagrams likewise.
TEST(Agent, StrangersDoNotKeepItFromItsWork) {
  Agent::Options options;
  options.streams_max = 4;
  TestNode a("a", options);
  std::vector<std::unique_ptr<net::RawSocket>> idle;
  // Those over the limit are closed at once, the others when their time is up: then there is room
  // for some of these.
  EXPECT_TRUE(Until([&] {
    idle.push_back(std::make_unique<net::RawSocket>(a.agent().port()));
    return a.agent().stats().streams_refused >= 12;
  }));
  EXPECT_TRUE(idle.front()->WaitForEnd());
  net::RawSocket nonsense(a.agent().port());
  EXPECT_TRUE(nonsense.Send("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_TRUE(nonsense.WaitForEnd());

  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(a.agent().port());
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (int i = 0; i < 1000; ++i) {
    const std::string packet(static_cast<size_t>(i), static_cast<char>(i));
    sendto(fd, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof(to));
  }
  close(fd);
  TestNode b("b");
  b.agent().Join({a.address()});
  EXPECT_TRUE(a.Sees("b", MemberStatus::kAlive));
  EXPECT_TRUE(b.Sees("a", MemberStatus::kAlive));
}

TEST(Agent, StopsInTheMiddleOfAnything) {
  TestNode a("a");
  for (int i = 0; i < 5; ++i) {
    TestNode b("b" + std::to_string(i));
    b.agent().Join({a.address(), {"localhost", 1}});
    b.agent().Query({.name = "who"}, {});
    b.agent().Leave(nullptr);
    b.Stop();
  }
}

}  // namespace
}  // namespace mokv::serf
