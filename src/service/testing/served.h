// Served: services behind a real server on a loopback port, with one I/O thread, and a client that
// calls them over HTTP/2, as any other would.
//
//   Served served({.subject = "alice"});
//   service.Register(served.server());
//   served.Start();
//   const rpc::CallResult result = served.Call("/api.KV/Get", request);
//
// Threads: the test's.
// Owner:   the test. Services, doors and what they answer from outlive Stop; what may still hold a
//          Responder (doors do) goes before this.
#pragma once

#include <google/protobuf/message_lite.h>
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "net/testing/loopback.h"
#include "net/testing/test_certificates.h"
#include "rpc/server.h"
#include "rpc/testing/channel_call.h"
#include "rpc/testing/raw_http2.h"
#include "service/testing/await.h"

namespace mokv::service::testing {

struct ServedOptions {
  // Whom the client's certificate names. Empty: it is in clear text, and has no name.
  std::string subject;
  rpc::CallObserver* observer = nullptr;
  // What the server takes for the time.
  const Clock* clock = &SystemClock();
};

class Served {
 public:
  explicit Served(const ServedOptions& options = {})
      : server_(pool_, {.clock = options.clock}, options.observer) {
    net::Listener::Options listener;
    if (!options.subject.empty()) {
      certificates_.emplace();
      certificates_->MakeCa("ca");
      certificates_->Make("node", "ca", {.common_name = "node"});
      certificates_->Make("client", "ca", {.common_name = options.subject, .names = ""});
      listener.tls = *net::TlsContext::ForServer(certificates_->Files("node", "ca"), {"h2"});
      client_tls_ = *net::TlsContext::ForClient(certificates_->Files("client", "ca"), {"h2"});
    }
    listener_ = net::BindLoopback(pool_, server_.protocol(), std::move(listener));
  }
  ~Served() { Stop(); }
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;

  // Of the server; no thread of it runs before Start.
  net::IoPool& pool() { return pool_; }
  rpc::Server& server() { return server_; }
  uint16_t port() const { return listener_->port(); }

  // Once the services are registered.
  void Start() {
    pool_.Start();
    listener_->Start();
    client_pool_.Start();
    Connect();
  }

  // The client goes, and with it all its calls.
  void HangUp() { channel_.reset(); }
  void Connect() {
    channel_ = std::make_unique<rpc::Channel>(
        client_pool_.thread(0),
        rpc::Channel::Options{.target = {"127.0.0.1", port()}, .tls = client_tls_});
  }

  // No thread of it runs when this returns; calls that are open have ended for the client.
  void Stop() {
    if (std::exchange(stopped_, true)) return;
    HangUp();
    client_pool_.Stop();
    listener_->Stop();
    pool_.Stop();
  }

  // The call has no deadline.
  std::future<rpc::CallResult> Begin(const std::string& method, std::string request) {
    return rpc::BeginCall(*channel_, method, std::move(request), Duration(0));
  }
  std::future<rpc::CallResult> Begin(const std::string& method,
                                     const google::protobuf::MessageLite& request) {
    return Begin(method, request.SerializeAsString());
  }
  std::future<rpc::CallResult> BeginStream(const std::string& method, std::string request) {
    return rpc::BeginStreamCall(*channel_, method, std::move(request), Duration(0));
  }
  std::future<rpc::CallResult> BeginStream(const std::string& method,
                                           const google::protobuf::MessageLite& request) {
    return BeginStream(method, request.SerializeAsString());
  }
  template <typename Request>
  rpc::CallResult Call(const std::string& method, const Request& request) {
    return Result(Begin(method, request));
  }
  template <typename Request>
  rpc::CallResult CallStream(const std::string& method, const Request& request) {
    return Result(BeginStream(method, request));
  }

  // Until HangUp.
  rpc::Channel& channel() { return *channel_; }

  static rpc::CallResult Result(std::future<rpc::CallResult> call) {
    return Await(std::move(call));
  }

 private:
  net::IoPool pool_{1};
  net::IoPool client_pool_{1};
  rpc::Server server_;
  std::optional<net::TestCertificates> certificates_;
  std::shared_ptr<const net::TlsContext> client_tls_;
  std::unique_ptr<net::Listener> listener_;
  std::unique_ptr<rpc::Channel> channel_;
  bool stopped_ = false;
};

// A client in clear text whose calls have a deadline that nobody but the server watches.
class PatientClient {
 public:
  explicit PatientClient(const Served& served) : client_(served.port()) {}

  // `timeout` as gRPC writes it: "2S". Empty: no deadline. Returns the call's stream.
  uint32_t Begin(const std::string& method, const google::protobuf::MessageLite& request,
                 const std::string& timeout) {
    const uint32_t stream = std::exchange(next_stream_, next_stream_ + 2);
    rpc::Headers headers = rpc::GrpcHeaders(method);
    if (!timeout.empty()) headers.emplace_back("grpc-timeout", timeout);
    EXPECT_TRUE(client_.SendHeaders(stream, headers));
    EXPECT_TRUE(client_.SendData(stream, rpc::Message(request.SerializeAsString())));
    return stream;
  }
  rpc::RawAnswer Wait(uint32_t stream) { return client_.Wait(stream); }
  rpc::RawClient& raw() { return client_; }

 private:
  rpc::RawClient client_;
  uint32_t next_stream_ = 1;
};

// What the trailer of a failed call says of its fate; "none" without one.
inline std::string FateOf(const rpc::CallResult& result) {
  for (const rpc::MetadataEntry& trailer : result.trailers) {
    if (trailer.name == "mokv-fate") return trailer.value;
  }
  return "none";
}

// The message of a call that must have gone well.
template <typename Response>
Response ResponseOf(const rpc::CallResult& result) {
  EXPECT_TRUE(result.status.ok()) << result.status;
  Response response;
  EXPECT_TRUE(response.ParseFromString(result.message));
  return response;
}

}  // namespace mokv::service::testing
