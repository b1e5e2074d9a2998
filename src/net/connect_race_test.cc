// The first of several addresses that answers, whatever the others do.
#include "net/connect_race.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <vector>

#include "net/testing/raw_socket.h"

namespace mokv::net {
namespace {

using Endpoints = std::vector<asio::ip::tcp::endpoint>;

asio::ip::tcp::endpoint Loopback(uint16_t port) { return {asio::ip::address_v4::loopback(), port}; }

// An address at which nobody answers: its queue is full, and it drops what more there comes.
class Silence {
 public:
  Silence() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(listener_.port());
    for (int& fd : queued_) {
      fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    }
  }
  ~Silence() {
    for (const int fd : queued_) close(fd);
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

  asio::ip::tcp::endpoint endpoint() const { return Loopback(listener_.port()); }

 private:
  RawListener listener_;
  int queued_[8];
};

class ConnectRaceTest : public testing::Test {
 protected:
  ConnectRaceTest() { pool_.Start(); }
  ~ConnectRaceTest() override { pool_.Stop(); }

  // Nothing once there is a connection, which is closed.
  asio::error_code Run(const Endpoints& endpoints) {
    std::promise<asio::error_code> result;
    pool_.thread(0).Post([&] {
      std::make_shared<ConnectRace>(pool_.thread(0))
          ->Start(endpoints, [&](const asio::error_code& error, int fd) {
            EXPECT_EQ(fd >= 0, !error);
            if (fd >= 0) close(fd);
            result.set_value(error);
          });
    });
    return result.get_future().get();
  }

  IoPool pool_{1};
};

TEST_F(ConnectRaceTest, ConnectsToTheFirstThatListens) {
  RawListener listener;
  ReservedPort nobody;
  EXPECT_FALSE(Run({Loopback(listener.port())}));
  EXPECT_FALSE(Run({Loopback(nobody.port()), Loopback(listener.port())}));
  RawListener second;
  EXPECT_FALSE(Run({Loopback(second.port()), Loopback(nobody.port())}));
}

TEST_F(ConnectRaceTest, TellsWhyNobodyCouldBeConnectedTo) {
  ReservedPort nobody;
  EXPECT_EQ(Run({Loopback(nobody.port()), Loopback(nobody.port())}),
            asio::error::connection_refused);
}

// Goal: those that do not answer keep nobody from those that do.
TEST_F(ConnectRaceTest, DoesNotWaitForWhoIsSilent) {
  Silence silence;
  RawListener listener;
  ReservedPort nobody;
  EXPECT_FALSE(Run({silence.endpoint(), Loopback(listener.port())}));
  EXPECT_FALSE(Run({silence.endpoint(), Loopback(nobody.port()), silence.endpoint(),
                    Loopback(listener.port())}));
}

// Goal: behind the last address there is none, whenever the one before failed.
TEST_F(ConnectRaceTest, WaitsForTheLast) {
  Silence silence;
  ReservedPort nobody;
  std::promise<void> waited;
  Timer timer(pool_.thread(0));
  pool_.thread(0).Post([&] {
    const auto race = std::make_shared<ConnectRace>(pool_.thread(0));
    race->Start({Loopback(nobody.port()), silence.endpoint()},
                [](const asio::error_code&, int) { ADD_FAILURE() << "nobody answers"; });
    timer.Start(2 * ConnectRace::kNextAfter, [&waited, race] {
      race->Cancel();
      waited.set_value();
    });
  });
  waited.get_future().wait();
}

TEST_F(ConnectRaceTest, IsQuietOnceCancelled) {
  Silence silence;
  RawListener listener;
  std::promise<void> cancelled;
  pool_.thread(0).Post([&] {
    for (const asio::ip::tcp::endpoint& endpoint :
         {silence.endpoint(), Loopback(listener.port())}) {
      const auto race = std::make_shared<ConnectRace>(pool_.thread(0));
      race->Start({endpoint, endpoint},
                  [](const asio::error_code&, int) { ADD_FAILURE() << "it was cancelled"; });
      race->Cancel();
    }
    cancelled.set_value();
  });
  cancelled.get_future().wait();
  EXPECT_FALSE(Run({Loopback(listener.port())}));
}

}  // namespace
}  // namespace mokv::net
