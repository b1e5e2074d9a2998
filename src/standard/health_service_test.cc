#include "standard/health_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "api/health.pb.h"
#include "net/testing/wait.h"
#include "service/testing/served.h"

namespace mokv::standard {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;
using service::testing::Served;
using ::testing::ElementsAre;

HealthCheckRequest Of(const std::string& service) {
  HealthCheckRequest request;
  request.set_service(service);
  return request;
}

std::string TextOf(std::string_view bytes) {
  HealthCheckResponse response;
  EXPECT_TRUE(response.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  return HealthCheckResponse::ServingStatus_Name(response.status());
}

class HealthServiceTest : public ::testing::Test {
 protected:
  HealthServiceTest() {
    health_.Register(served_.server());
    served_.Start();
  }

  std::string Check(const std::string& service) {
    const rpc::CallResult result = served_.Call("/grpc.health.v1.Health/Check", Of(service));
    EXPECT_TRUE(result.status.ok()) << result.status;
    return TextOf(result.message);
  }

  HealthService health_{{"api.KV"}};
  Served served_;
};

// A call of Watch, whose messages are there to see as they come.
class Watch {
 public:
  Watch(Served& served, const std::string& service) {
    served.channel().CallStream(
        "/grpc.health.v1.Health/Watch", Of(service).SerializeAsString(), Duration(0),
        [heard = heard_](std::string_view message) {
          const MutexLock lock(heard->mutex);
          heard->states.push_back(TextOf(message));
        },
        [heard = heard_](const rpc::CallEnd& end) {
          const MutexLock lock(heard->mutex);
          heard->end = end.status;
        });
  }

  // All states so far, once there are so many.
  std::vector<std::string> WaitForStates(size_t count) const {
    EXPECT_TRUE(net::Until([&] { return states().size() >= count; }));
    return states();
  }
  std::vector<std::string> states() const {
    const MutexLock lock(heard_->mutex);
    return heard_->states;
  }
  absl::Status WaitForEnd() const {
    EXPECT_TRUE(net::Until([&] { return end().has_value(); }));
    return end().value_or(absl::OkStatus());
  }
  std::optional<absl::Status> end() const {
    const MutexLock lock(heard_->mutex);
    return heard_->end;
  }

 private:
  struct Heard {
    Mutex mutex;
    std::vector<std::string> states ABSL_GUARDED_BY(mutex);
    std::optional<absl::Status> end ABSL_GUARDED_BY(mutex);
  };
  std::shared_ptr<Heard> heard_ = std::make_shared<Heard>();
};

TEST_F(HealthServiceTest, CheckTellsTheStateOfTheNodeAndOfItsService) {
  for (const std::string service : {"", "api.KV"}) EXPECT_EQ(Check(service), "NOT_SERVING");
  health_.SetServing(true);
  for (const std::string service : {"", "api.KV"}) EXPECT_EQ(Check(service), "SERVING");
  health_.SetServing(false);
  for (const std::string service : {"", "api.KV"}) EXPECT_EQ(Check(service), "NOT_SERVING");
}

TEST_F(HealthServiceTest, CheckOfAnUnknownServiceIsNotFound) {
  const rpc::CallResult result = served_.Call("/grpc.health.v1.Health/Check", Of("api.Other"));
  EXPECT_EQ(result.status, absl::NotFoundError("unknown service api.Other"));
}

TEST_F(HealthServiceTest, RefusesWhatDoesNotParse) {
  const rpc::CallResult check = served_.Call("/grpc.health.v1.Health/Check", std::string("\xff"));
  EXPECT_EQ(check.status.code(), absl::StatusCode::kInvalidArgument);
  const rpc::CallResult watch =
      served_.CallStream("/grpc.health.v1.Health/Watch", std::string("\xff"));
  EXPECT_EQ(watch.status.code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(HealthServiceTest, WatchTellsTheStateAndEachChangeOnce) {
  const Watch watch(served_, "api.KV");
  EXPECT_THAT(watch.WaitForStates(1), ElementsAre("NOT_SERVING"));
  health_.SetServing(false);  // No news.
  health_.SetServing(true);
  EXPECT_THAT(watch.WaitForStates(2), ElementsAre("NOT_SERVING", "SERVING"));
  health_.SetServing(true);
  health_.SetServing(false);
  EXPECT_THAT(watch.WaitForStates(3), ElementsAre("NOT_SERVING", "SERVING", "NOT_SERVING"));
  EXPECT_EQ(watch.end(), std::nullopt);
  health_.Stop();
  EXPECT_EQ(watch.WaitForEnd(), absl::UnavailableError("the server is stopping"));
  EXPECT_EQ(watch.states().size(), 3u);
}

TEST_F(HealthServiceTest, EveryWatcherHearsOfAChange) {
  const Watch node(served_, "");
  const Watch kv(served_, "api.KV");
  node.WaitForStates(1);
  kv.WaitForStates(1);
  health_.SetServing(true);
  EXPECT_THAT(node.WaitForStates(2), ElementsAre("NOT_SERVING", "SERVING"));
  EXPECT_THAT(kv.WaitForStates(2), ElementsAre("NOT_SERVING", "SERVING"));
}

// It may come to be known: the protocol has the call stay open.
TEST_F(HealthServiceTest, WatchOfAnUnknownServiceStaysOpenUntilTheServerStops) {
  const Watch watch(served_, "api.Other");
  EXPECT_THAT(watch.WaitForStates(1), ElementsAre("SERVICE_UNKNOWN"));
  health_.SetServing(true);
  EXPECT_EQ(Check(""), "SERVING");  // A turn of the server's thread later:
  EXPECT_THAT(watch.states(), ElementsAre("SERVICE_UNKNOWN"));
  EXPECT_EQ(watch.end(), std::nullopt);
  health_.Stop();
  EXPECT_EQ(watch.WaitForEnd(), absl::UnavailableError("the server is stopping"));
  EXPECT_THAT(watch.states(), ElementsAre("SERVICE_UNKNOWN"));
}

TEST_F(HealthServiceTest, StopIsForGoodAndTheLastThingThatWatchersHear) {
  health_.SetServing(true);
  const Watch watch(served_, "");
  EXPECT_THAT(watch.WaitForStates(1), ElementsAre("SERVING"));
  health_.Stop();
  EXPECT_EQ(watch.WaitForEnd(), absl::UnavailableError("the server is stopping"));
  EXPECT_THAT(watch.states(), ElementsAre("SERVING", "NOT_SERVING"));
  // What begins to serve while the server stops changes nothing.
  health_.SetServing(true);
  EXPECT_FALSE(health_.serving());
  EXPECT_EQ(Check(""), "NOT_SERVING");
  const Watch late(served_, "");
  EXPECT_EQ(late.WaitForEnd(), absl::UnavailableError("the server is stopping"));
  EXPECT_THAT(late.states(), ElementsAre("NOT_SERVING"));
}

TEST_F(HealthServiceTest, ForgetsWatchersThatHaveGone) {
  const Watch watch(served_, "");
  watch.WaitForStates(1);
  served_.HangUp();
  EXPECT_TRUE(net::Until([&] { return served_.server().stats().calls_open == 0; }));
  health_.SetServing(true);
  EXPECT_EQ(watch.states().size(), 1u);
  served_.Connect();
  EXPECT_EQ(Check(""), "SERVING");
}

}  // namespace
}  // namespace mokv::standard
