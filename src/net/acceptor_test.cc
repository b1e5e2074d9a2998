// A server whose process runs out of descriptors, and gets some back.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "net/testing/echo_server.h"
#include "net/testing/wait.h"

namespace mokv::net {
namespace {

using testing::HasSubstr;

// While it lives, whoever wants a descriptor gets none: it has them all. (A limit alone would also keep
// those that are given back and lie above it.)
class NoDescriptors {
 public:
  NoDescriptors() {
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before_), 0);
    rlimit few = before_;
    few.rlim_cur = 1024;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    for (int fd = dup(STDIN_FILENO); fd >= 0; fd = dup(STDIN_FILENO)) taken_.push_back(fd);
  }
  ~NoDescriptors() {
    for (const int fd : taken_) close(fd);
    setrlimit(RLIMIT_NOFILE, &before_);
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
  std::vector<int> taken_;
};

class AcceptorTest : public testing::Test {
 protected:
  void SetUp() override {
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
    GTEST_SKIP() << "UBSan wants a descriptor to look at an object's type";
#endif
#endif
  }
  void Serve(Duration patience) {
    server_.emplace(Listener::Options{.accept_patience = patience});
    good_.emplace(server_->Connect());
    EXPECT_TRUE(Serves(*good_, EchoServer::kClearPrefix));
    for (int i = 0; i < 10; ++i) clients_.emplace_back();
  }
  void ConnectAll() {
    for (RawSocket& client : clients_) client.Connect(server_->listener().port());
  }
  static bool Serves(RawSocket& client, std::string_view bytes) {
    client.Send(bytes);
    std::string echo;
    while (echo.size() < bytes.size() && client.Receive(echo)) {
    }
    return echo == bytes;
  }
  const ListenerStats& stats() const { return server_->stats(); }

  std::optional<EchoServer> server_;
  std::optional<RawSocket> good_;
  std::vector<RawSocket> clients_;  // With descriptors of their own.
};

TEST_F(AcceptorTest, ClientsWaitForDescriptorsThatComeBack) {
  Serve(std::chrono::hours(1));
  {
    const NoDescriptors none;
    ConnectAll();
    EXPECT_TRUE(Until([&] { return stats().accepts_failed > 3; }));
    EXPECT_TRUE(Serves(*good_, "x"));
  }
  for (RawSocket& client : clients_) EXPECT_TRUE(Serves(client, EchoServer::kClearPrefix));
  EXPECT_EQ(stats().turned_away, 0u);
}

// Goal: nobody waits for ever, those that are served notice nothing, and neither does the log's reader
//       more than once.
TEST_F(AcceptorTest, TurnsClientsAwayWhenDescriptorsDoNotComeBack) {
  Serve(std::chrono::seconds(0));
  testing::internal::CaptureStderr();
  {
    const NoDescriptors none;
    ConnectAll();
    for (RawSocket& client : clients_) EXPECT_TRUE(client.WaitForEnd());
    EXPECT_EQ(stats().turned_away, clients_.size());
    EXPECT_TRUE(Serves(*good_, "x"));
  }
  // The shortage is over when there has been none for a second.
  const auto over = std::chrono::steady_clock::now() + std::chrono::milliseconds(1500);
  EXPECT_TRUE(Until([&] {
    RawSocket client = server_->Connect();
    return Serves(client, EchoServer::kClearPrefix) && std::chrono::steady_clock::now() > over;
  }));
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("cannot accept connections"));
  EXPECT_THAT(log, HasSubstr("connections are accepted again turned_away=1"));  // Or 11, by ours.
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2) << log;
}

// Goal: descriptors that come back one at a time do not fill the log.
TEST_F(AcceptorTest, AShortageWithGapsIsOne) {
  Serve(std::chrono::hours(1));
  testing::internal::CaptureStderr();
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 10; ++i) {
    const uint64_t failed = stats().accepts_failed;
    {
      const NoDescriptors none;
      clients_[0].Connect(server_->listener().port());
      EXPECT_TRUE(Until([&] { return stats().accepts_failed > failed; }));
    }
    EXPECT_TRUE(Serves(clients_[0], EchoServer::kClearPrefix));
    clients_[0] = RawSocket();
  }
  const auto took = std::chrono::steady_clock::now() - began;
  const std::string log = testing::internal::GetCapturedStderr();
  // Two for each time that it was over for a second; a machine that is slow may have made some.
  EXPECT_LE(std::count(log.begin(), log.end(), '\n'), 1 + 2 * (took / std::chrono::seconds(1)))
      << log;
}

// Goal: the next time is as the first.
TEST_F(AcceptorTest, RunsOutAgainAndAgain) {
  Serve(std::chrono::seconds(0));
  for (int round = 0; round < 3; ++round) {
    const uint64_t before = stats().turned_away;
    {
      const NoDescriptors none;
      ConnectAll();
      for (RawSocket& client : clients_) EXPECT_TRUE(client.WaitForEnd());
    }
    EXPECT_EQ(stats().turned_away - before, clients_.size());
    EXPECT_TRUE(Until([&] {
      RawSocket client = server_->Connect();
      return Serves(client, EchoServer::kClearPrefix);
    }));
    for (RawSocket& client : clients_) client = RawSocket();
    EXPECT_TRUE(Until([&] { return server_->open() == 1; }));
  }
}

}  // namespace
}  // namespace mokv::net
