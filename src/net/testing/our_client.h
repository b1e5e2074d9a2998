// A client of ours: one connection that sends something and waits for it to come back.
#pragma once

#include <absl/status/status.h>

#include <future>
#include <memory>
#include <string>

#include "base/testing/run_on.h"
#include "net/connector.h"
#include "net/testing/openssl_errors.h"

namespace mokv::net {

class OurClient {
 public:
  OurClient() {
    pool_.thread(0).AtTurnEnd(ExpectNoOpenSslErrors);
    pool_.Start();
  }
  ~OurClient() { pool_.Stop(); }
  OurClient(const OurClient&) = delete;
  OurClient& operator=(const OurClient&) = delete;

  // OK: a server at `port` of the loopback interface, of the name `host`, has sent back what it got.
  absl::Status Echo(uint16_t port, std::shared_ptr<const TlsContext> tls,
                    const std::string& host = "localhost") {
    auto connection = std::make_unique<Connection>();
    std::future<absl::Status> result = connection->result.get_future();
    pool_.thread(0).Post([&] {
      connector_ = std::make_unique<Connector>(pool_.thread(0));
      connector_->Start({"127.0.0.1", port}, tls,
                        [&](absl::StatusOr<std::unique_ptr<Transport>> transport) {
                          if (!transport.ok()) {
                            return connection->result.set_value(transport.status());
                          }
                          connection->transport = *std::move(transport);
                          connection->transport->ExpectServerName(host);
                          connection->transport->Start(connection.get());
                        });
    });
    absl::Status status = result.get();
    RunOn(pool_.thread(0), [&] {
      connection = nullptr;
      connector_ = nullptr;
    });
    return status;
  }

 private:
  struct Connection final : Transport::Handler {
    void OnReady() override { transport->Send("echo\n"); }
    void OnBytes(std::string_view bytes) override { echo += bytes; }
    void OnReadEnd() override {
      if (echo == "echo\n") Tell(absl::OkStatus());
    }
    void OnWritable() override {}
    void OnClosed(const absl::Status& reason) override {
      Tell(reason.ok() ? absl::UnavailableError("closed") : reason);
    }
    void Tell(const absl::Status& status) {
      if (!told) result.set_value(status);
      told = true;
    }

    std::unique_ptr<Transport> transport;
    std::string echo;
    std::promise<absl::Status> result;
    bool told = false;
  };

  IoPool pool_{1};
  std::unique_ptr<Connector> connector_;
};

}  // namespace mokv::net
