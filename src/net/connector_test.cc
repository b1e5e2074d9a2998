// Connections to what is there, and what is said of what is not.
#include "net/connector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "base/status.h"
#include "base/testing/run_on.h"
#include "net/testing/raw_socket.h"

namespace mokv::net {
namespace {

using testing::HasSubstr;

class ConnectorTest : public testing::Test {
 protected:
  ConnectorTest() { pool_.Start(); }
  ~ConnectorTest() override { pool_.Stop(); }

  // OK once there is a transport, which is dropped.
  absl::Status Connect(const HostPort& target) {
    std::promise<absl::Status> result;
    RunOn(pool_.thread(0), [&] {
      connector_.Start(target, nullptr, [&](absl::StatusOr<std::unique_ptr<Transport>> transport) {
        resolved_ = connector_.resolved();
        result.set_value(transport.status());
      });
    });
    return result.get_future().get();
  }

  IoPool pool_{1};
  Connector connector_{pool_.thread(0)};
  bool resolved_ = false;
};

TEST_F(ConnectorTest, ConnectsToNamesAndAddresses) {
  RawListener listener;
  EXPECT_TRUE(Connect({"127.0.0.1", listener.port()}).ok());
  EXPECT_TRUE(resolved_);
  EXPECT_TRUE(Connect({"localhost", listener.port()}).ok());
  EXPECT_TRUE(resolved_);
}

TEST_F(ConnectorTest, SaysWhatItCouldNotDo) {
  absl::Status status = Connect({"127.0.0.1", 1});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("cannot connect to 127.0.0.1:1: "));
  EXPECT_TRUE(resolved_);
  status = Connect({"name.invalid", 1});
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("cannot resolve name.invalid: "));
  EXPECT_FALSE(resolved_);
}

// Goal: what was given up says nothing any more, however far it had come.
TEST_F(ConnectorTest, IsQuietOnceCancelled) {
  RawListener given_up;  // Its queue of connections is short, and nobody takes any.
  RawListener listener;
  std::atomic<int> calls{0};
  const auto count = [&](const absl::StatusOr<std::unique_ptr<Transport>>&) { ++calls; };
  RunOn(pool_.thread(0), [&] {
    connector_.Start({"127.0.0.1", given_up.port()}, nullptr, count);
    connector_.Cancel();
    connector_.Start({"localhost", given_up.port()}, nullptr, count);
    connector_.Cancel();
    connector_.Start({"127.0.0.1", given_up.port()}, nullptr, count);
    // Takes the place of the one before.
    connector_.Start({"localhost", given_up.port()}, nullptr, count);
    connector_.Cancel();
  });
  EXPECT_TRUE(Connect({"127.0.0.1", listener.port()}).ok());
  RunOn(pool_.thread(0), [&] {
    auto gone = std::make_unique<Connector>(pool_.thread(0));
    gone->Start({"127.0.0.1", given_up.port()}, nullptr, count);
  });
  EXPECT_TRUE(Connect({"127.0.0.1", listener.port()}).ok());
  EXPECT_EQ(calls, 0);
}

}  // namespace
}  // namespace mokv::net
