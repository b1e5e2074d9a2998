// CtlClient: how mokvctl calls a cluster: one call at a time, on the first endpoint that answers.
//
// Threads: confined to the thread of main; the calls block.
// Errors:  the call's status. An endpoint that is not available is skipped for the next one; but a
//          change that may have been carried out is never sent again.
#pragma once

#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "net/address.h"

namespace mokv {

struct CtlConnection {
  std::vector<std::string> endpoints;
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  bool insecure = false;
  Duration timeout{0};
};

class CtlClient {
 public:
  // INVALID_ARGUMENT for a bad endpoint or certificate file.
  static absl::StatusOr<std::unique_ptr<CtlClient>> Create(const CtlConnection& connection);
  ~CtlClient();

  // A call that changes nothing.
  absl::StatusOr<std::string> Read(const std::string& method, const std::string& request);
  // The same from this endpoint alone, which need not be one of the configured ones.
  absl::StatusOr<std::string> ReadFrom(const net::HostPort& endpoint, const std::string& method,
                                       const std::string& request);
  // A call that may change something.
  absl::StatusOr<std::string> Change(const std::string& method, const std::string& request);
  // `on_message` is called on another thread, one call at a time, before this returns.
  absl::Status Stream(const std::string& method, const std::string& request,
                      const std::function<void(std::string_view)>& on_message);

  // The same for what may take long: the timeout is for each message. An error of `on_message` ends
  // the call, and is returned.
  absl::Status Download(const std::string& method, const std::string& request,
                        const std::function<absl::Status(std::string_view)>& on_message);

  const std::vector<net::HostPort>& endpoints() const;

 private:
  class Impl;
  explicit CtlClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mokv
