// The first of several addresses that answers, whatever the others do.
#include "net/connect_race.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "base/testing/run_on.h"
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

// ---- The order.

// By families: "646" is IPv6, IPv4, IPv6. Ports number them.
Endpoints OfFamilies(const std::string& families) {
  Endpoints endpoints;
  for (const char family : families) {
    const auto port = static_cast<uint16_t>(endpoints.size());
    if (family == '6') {
      endpoints.emplace_back(asio::ip::address_v6::loopback(), port);
    } else {
      endpoints.emplace_back(asio::ip::address_v4::loopback(), port);
    }
  }
  return endpoints;
}

std::vector<uint16_t> OrderOf(const std::string& families) {
  std::vector<uint16_t> ports;
  for (const auto& endpoint : InTurns(OfFamilies(families))) ports.push_back(endpoint.port());
  return ports;
}

// Goal: one family whose network leads nowhere costs one address at a time (RFC 8305, 4).
TEST(InTurns, FamiliesAlternateBehindTheFirst) {
  using Order = std::vector<uint16_t>;
  EXPECT_EQ(OrderOf(""), Order());
  EXPECT_EQ(OrderOf("4"), Order({0}));
  EXPECT_EQ(OrderOf("666"), Order({0, 1, 2}));
  EXPECT_EQ(OrderOf("6464"), Order({0, 1, 2, 3}));
  EXPECT_EQ(OrderOf("666444"), Order({0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(OrderOf("4466"), Order({0, 2, 1, 3}));
  EXPECT_EQ(OrderOf("66664"), Order({0, 4, 1, 2, 3}));
  EXPECT_EQ(OrderOf("644466"), Order({0, 1, 4, 2, 5, 3}));
}

// ---- The race.

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

// Goal:   the only address of the other family is tried, however many stand before it.
// Method: more of them than are tried.
TEST_F(ConnectRaceTest, TriesTheOtherFamilyInTime) {
  RawListener listener;
  Endpoints endpoints(2 * ConnectRace::kAddressesMax, {asio::ip::address_v6::loopback(), 1});
  endpoints.push_back(Loopback(listener.port()));
  EXPECT_FALSE(Run(endpoints));
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
  RunOn(pool_.thread(0), [&] {
    for (const asio::ip::tcp::endpoint& endpoint :
         {silence.endpoint(), Loopback(listener.port())}) {
      const auto race = std::make_shared<ConnectRace>(pool_.thread(0));
      race->Start({endpoint, endpoint},
                  [](const asio::error_code&, int) { ADD_FAILURE() << "it was cancelled"; });
      race->Cancel();
    }
  });
  EXPECT_FALSE(Run({Loopback(listener.port())}));
}

}  // namespace
}  // namespace mokv::net
