#include "standard/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <utility>

#include "api/reflection.pb.h"
#include "api/reflection_v1alpha.pb.h"
#include "base/status.h"

namespace mokv::standard {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;
using grpc::reflection::v1::ServerReflectionRequest;
using grpc::reflection::v1::ServerReflectionResponse;

namespace {

const DescriptorPool& Pool() { return *DescriptorPool::generated_pool(); }

// "/package.Service/Method": its service.
std::string ServiceOf(const std::string& path) { return path.substr(1, path.rfind('/') - 1); }

void AddWithImports(const FileDescriptor* file, std::set<const FileDescriptor*>& files) {
  if (!files.insert(file).second) return;
  for (int i = 0; i < file->dependency_count(); ++i) AddWithImports(file->dependency(i), files);
}

void AppendWithImports(const FileDescriptor* file, std::set<const FileDescriptor*>& appended,
                       grpc::reflection::v1::FileDescriptorResponse& response) {
  if (!appended.insert(file).second) return;
  google::protobuf::FileDescriptorProto description;
  file->CopyTo(&description);
  response.add_file_descriptor_proto(description.SerializeAsString());
  for (int i = 0; i < file->dependency_count(); ++i) {
    AppendWithImports(file->dependency(i), appended, response);
  }
}

void SetNotFound(std::string message, ServerReflectionResponse& response) {
  response.mutable_error_response()->set_error_code(static_cast<int>(absl::StatusCode::kNotFound));
  response.mutable_error_response()->set_error_message(std::move(message));
}

void SetFile(const FileDescriptor* file, std::string_view what, const std::string& name,
             ServerReflectionResponse& response) {
  if (file == nullptr) return SetNotFound(fmt::format("unknown {} {}", what, name), response);
  std::set<const FileDescriptor*> appended;
  AppendWithImports(file, appended, *response.mutable_file_descriptor_response());
}

}  // namespace

// One client's questions. It has room for the next one when the last has been answered.
class ReflectionExchange final : public rpc::MessageExchange {
 public:
  explicit ReflectionExchange(const ReflectionService& service) : service_(service) {}

  bool HasRoom() const override { return !has_answer_; }
  void Take(const rpc::ReceivedMessage& message) override {
    answer_.clear();
    has_answer_ = service_.Answer(message.bytes, &answer_);
    if (!has_answer_) failed_ = true;
  }
  void End() override { ended_ = true; }

  Next Produce(std::string* message) override {
    if (failed_) return Next::kEnd;
    if (!has_answer_) return ended_ ? Next::kEnd : Next::kWait;
    *message += answer_;
    has_answer_ = false;
    return Next::kMessage;
  }
  absl::Status status() const override {
    return failed_ ? absl::InvalidArgumentError("the request does not parse") : absl::OkStatus();
  }

 private:
  const ReflectionService& service_;
  std::string answer_;
  bool has_answer_ = false;
  bool ended_ = false;
  bool failed_ = false;
};

void ReflectionService::Register(rpc::Server& server) {
  // Names them, so that their files are linked and known.
  const std::string paths[] = {
      "/" + ServerReflectionRequest::descriptor()->file()->service(0)->full_name(),
      "/" + grpc::reflection::v1alpha::ServerReflectionRequest::descriptor()
                ->file()
                ->service(0)
                ->full_name()};
  for (const std::string& path : paths) {
    server.AddBidi(path + "/ServerReflectionInfo", [this](rpc::BidiCall& call) {
      call.Start(std::make_unique<ReflectionExchange>(*this));
    });
  }
  std::set<std::string> names;
  for (const std::string& path : server.method_paths()) names.insert(ServiceOf(path));
  services_.assign(names.begin(), names.end());
  for (const std::string& service : services_) {
    if (const auto* found = Pool().FindServiceByName(service); found != nullptr) {
      AddWithImports(found->file(), files_);
    }
  }
}

const FileDescriptor* ReflectionService::Told(const FileDescriptor* file) const {
  return files_.contains(file) ? file : nullptr;
}

bool ReflectionService::Answer(std::string_view bytes, std::string* out) const {
  ServerReflectionResponse response;
  ServerReflectionRequest& request = *response.mutable_original_request();
  if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return false;
  response.set_valid_host(request.host());
  switch (request.message_request_case()) {
    case ServerReflectionRequest::kListServices:
      response.mutable_list_services_response();
      for (const std::string& service : services_) {
        response.mutable_list_services_response()->add_service()->set_name(service);
      }
      break;
    case ServerReflectionRequest::kFileByFilename:
      SetFile(Told(Pool().FindFileByName(request.file_by_filename())), "file",
              request.file_by_filename(), response);
      break;
    case ServerReflectionRequest::kFileContainingSymbol:
      SetFile(Told(Pool().FindFileContainingSymbol(request.file_containing_symbol())), "symbol",
              request.file_containing_symbol(), response);
      break;
    case ServerReflectionRequest::kFileContainingExtension:
    case ServerReflectionRequest::kAllExtensionNumbersOfType:
      // None of our messages can be extended: proto3 has no such thing.
      SetNotFound("no message of this server has extensions", response);
      break;
    case ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      response.mutable_error_response()->set_error_code(
          static_cast<int>(absl::StatusCode::kInvalidArgument));
      response.mutable_error_response()->set_error_message("the request asks for nothing");
      break;
  }
  return response.AppendToString(out);
}

}  // namespace mokv::standard
