#include "standard/reflection_service.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <deque>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/reflection.pb.h"
#include "service/testing/served.h"
#include "standard/health_service.h"

namespace mokv::standard {
namespace {

using grpc::reflection::v1::ServerReflectionRequest;
using grpc::reflection::v1::ServerReflectionResponse;
using service::testing::Served;
using ::testing::ElementsAre;

struct Conversation {
  std::vector<std::string> answers;
  absl::Status status;
};

// Says all it has to say, and keeps what it hears.
class Talk final : public rpc::ClientExchange {
 public:
  explicit Talk(std::deque<std::string> requests) : requests_(std::move(requests)) {}
  std::future<Conversation> Heard() { return promise_.get_future(); }

  Next Produce(std::string* message) override {
    if (requests_.empty()) return Next::kEnd;
    *message += requests_.front();
    requests_.pop_front();
    return Next::kMessage;
  }
  void Take(const rpc::ReceivedMessage& message) override {
    heard_.answers.emplace_back(message.bytes);
  }
  void OnEnd(const rpc::CallEnd& end) override {
    heard_.status = end.status;
    promise_.set_value(std::move(heard_));
  }

 private:
  std::deque<std::string> requests_;
  Conversation heard_;
  std::promise<Conversation> promise_;
};

class ReflectionServiceTest : public ::testing::TestWithParam<const char*> {
 protected:
  ReflectionServiceTest() {
    health_.Register(served_.server());
    reflection_.Register(served_.server());
    served_.Start();
  }

  Conversation Say(std::deque<std::string> requests) {
    auto talk = std::make_unique<Talk>(std::move(requests));
    std::future<Conversation> heard = talk->Heard();
    served_.channel().Open(
        fmt::format("/grpc.reflection.{}.ServerReflection/ServerReflectionInfo", GetParam()), {},
        std::move(talk));
    return heard.get();
  }

  ServerReflectionResponse Ask(const ServerReflectionRequest& request) {
    const Conversation heard = Say({request.SerializeAsString()});
    EXPECT_TRUE(heard.status.ok()) << heard.status;
    ServerReflectionResponse response;
    EXPECT_EQ(heard.answers.size(), size_t{1});
    EXPECT_TRUE(response.ParseFromString(heard.answers.at(0)));
    EXPECT_EQ(response.original_request().SerializeAsString(), request.SerializeAsString());
    return response;
  }

  static std::vector<std::string> FilesOf(const ServerReflectionResponse& response) {
    std::vector<std::string> names;
    for (const std::string& bytes : response.file_descriptor_response().file_descriptor_proto()) {
      google::protobuf::FileDescriptorProto file;
      EXPECT_TRUE(file.ParseFromString(bytes));
      names.push_back(file.name());
    }
    return names;
  }

  HealthService health_{{"api.KV"}};
  ReflectionService reflection_;
  Served served_;
};

TEST_P(ReflectionServiceTest, ListsTheServersServices) {
  ServerReflectionRequest request;
  request.set_host("a host");
  request.set_list_services("*");
  const ServerReflectionResponse response = Ask(request);
  EXPECT_EQ(response.valid_host(), "a host");
  std::vector<std::string> names;
  for (const auto& service : response.list_services_response().service()) {
    names.push_back(service.name());
  }
  EXPECT_THAT(names, ElementsAre("grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
                                 "grpc.reflection.v1alpha.ServerReflection"));
}

TEST_P(ReflectionServiceTest, FindsTheFileOfASymbol) {
  for (const std::string symbol :
       {"grpc.health.v1.Health", "grpc.health.v1.Health.Check", "grpc.health.v1.HealthCheckRequest",
        "grpc.health.v1.HealthCheckResponse.ServingStatus"}) {
    ServerReflectionRequest request;
    request.set_file_containing_symbol(symbol);
    EXPECT_THAT(FilesOf(Ask(request)), ElementsAre("api/health.proto")) << symbol;
  }
}

TEST_P(ReflectionServiceTest, FindsAFileByItsName) {
  ServerReflectionRequest request;
  request.set_file_by_filename("api/health.proto");
  EXPECT_THAT(FilesOf(Ask(request)), ElementsAre("api/health.proto"));
}

// The program knows of more files than its services need: those of the log, for one.
TEST_P(ReflectionServiceTest, TellsOfItsServicesFilesOnly) {
  for (const std::string file :
       {"api/kv.proto", "google/protobuf/descriptor.proto", "none.proto"}) {
    ServerReflectionRequest request;
    request.set_file_by_filename(file);
    const ServerReflectionResponse response = Ask(request);
    EXPECT_EQ(response.error_response().error_code(), 5) << file;
    EXPECT_EQ(response.error_response().error_message(), "unknown file " + file);
  }
  ServerReflectionRequest request;
  request.set_file_containing_symbol("api.KV");
  EXPECT_EQ(Ask(request).error_response().error_message(), "unknown symbol api.KV");
}

TEST_P(ReflectionServiceTest, AnswersEachQuestionInItsOrder) {
  ServerReflectionRequest good;
  good.set_file_by_filename("api/health.proto");
  ServerReflectionRequest bad;
  bad.set_all_extension_numbers_of_type("grpc.health.v1.Health");
  const Conversation heard =
      Say({good.SerializeAsString(), bad.SerializeAsString(), "", good.SerializeAsString()});
  EXPECT_TRUE(heard.status.ok()) << heard.status;
  ASSERT_EQ(heard.answers.size(), size_t{4});
  std::vector<int> codes;
  for (const std::string& answer : heard.answers) {
    ServerReflectionResponse response;
    EXPECT_TRUE(response.ParseFromString(answer));
    codes.push_back(response.error_response().error_code());
  }
  EXPECT_THAT(codes, ElementsAre(0, 5, 3, 0));
}

TEST_P(ReflectionServiceTest, RefusesWhatDoesNotParse) {
  const Conversation heard = Say({"\xff\xff"});
  EXPECT_EQ(heard.status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(heard.answers.empty());
}

INSTANTIATE_TEST_SUITE_P(Versions, ReflectionServiceTest, ::testing::Values("v1", "v1alpha"));

}  // namespace
}  // namespace mokv::standard
