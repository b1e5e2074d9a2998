#include "cli/ctl_client.h"

#include <absl/functional/function_ref.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <map>
#include <string_view>

#include "base/status.h"
#include "net/io_pool.h"
#include "rpc/channel.h"

namespace mokv {
namespace {

// How the server says what became of a call that failed (docs/reference.md).
constexpr std::string_view kFateTrailer = "mokv-fate";
constexpr std::string_view kNotDone = "not-done";

// How often a call without a deadline is looked at.
constexpr Duration kLookInterval = std::chrono::milliseconds(50);

bool IsCertainlyNotDone(const rpc::CallEnd& end) {
  return end.reached == rpc::Reached::kNo ||
         std::any_of(end.trailers.begin(), end.trailers.end(),
                     [](const rpc::MetadataEntry& trailer) {
                       return trailer.name == kFateTrailer && trailer.value == kNotDone;
                     });
}

}  // namespace

class CtlClient::Impl {
 public:
  Impl(std::vector<net::HostPort> endpoints, std::shared_ptr<const net::TlsContext> tls,
       Duration timeout)
      : endpoints(std::move(endpoints)), tls_(std::move(tls)), timeout_(timeout), io_(1) {
    io_.Start();
  }
  ~Impl() {
    channels_.clear();
    io_.Stop();
  }

  struct Answer {
    rpc::CallEnd end;
    std::string response;

    absl::StatusOr<std::string> value() && {
      if (!end.status.ok()) return end.status;
      return std::move(response);
    }
  };

  Answer Call(const net::HostPort& endpoint, const std::string& method,
              const std::string& request) {
    std::promise<Answer> answer;
    ChannelTo(endpoint).Call(method, request, timeout_,
                             [&](const rpc::CallEnd& end, std::string_view response) {
                               answer.set_value({end, std::string(response)});
                             });
    return answer.get_future().get();
  }

  // Tries one endpoint after the other, while they are not available and `goes_on` agrees.
  absl::StatusOr<std::string> CallUntil(const std::string& method, const std::string& request,
                                        absl::FunctionRef<bool(const rpc::CallEnd& end)> goes_on) {
    Answer answer{.end = {.status = absl::UnavailableError("no endpoint given")}, .response = {}};
    for (const net::HostPort& endpoint : endpoints) {
      answer = Call(endpoint, method, request);
      if (!absl::IsUnavailable(answer.end.status) || !goes_on(answer.end)) break;
    }
    return std::move(answer).value();
  }

  absl::Status Stream(const net::HostPort& endpoint, const std::string& method,
                      const std::string& request,
                      const std::function<void(std::string_view)>& on_message) {
    std::promise<absl::Status> ended;
    ChannelTo(endpoint).CallStream(
        method, request, timeout_, [&](std::string_view message) { on_message(message); },
        [&](const rpc::CallEnd& end) { ended.set_value(end.status); });
    return ended.get_future().get();
  }

  absl::Status Download(const net::HostPort& endpoint, const std::string& method,
                        const std::string& request,
                        const std::function<absl::Status(std::string_view)>& on_message);

  const std::vector<net::HostPort> endpoints;

 private:
  rpc::Channel& ChannelTo(const net::HostPort& endpoint) {
    std::unique_ptr<rpc::Channel>& channel = channels_[endpoint.ToString()];
    if (channel == nullptr) {
      rpc::Channel::Options options;
      options.target = endpoint;
      options.tls = tls_;
      options.connect_timeout = timeout_;
      channel = std::make_unique<rpc::Channel>(io_.thread(0), std::move(options));
    }
    return *channel;
  }

  std::shared_ptr<const net::TlsContext> tls_;
  const Duration timeout_;
  net::IoPool io_;
  std::map<std::string, std::unique_ptr<rpc::Channel>> channels_;
};

absl::Status CtlClient::Impl::Download(
    const net::HostPort& endpoint, const std::string& method, const std::string& request,
    const std::function<absl::Status(std::string_view)>& on_message) {
  std::atomic<uint64_t> messages = 0;
  absl::Status refusal;  // The I/O thread's, until `refused` says so.
  std::atomic<bool> refused = false;
  std::promise<absl::Status> ended;
  ChannelTo(endpoint).CallStream(
      method, request, Duration(0),
      [&](std::string_view message) {
        if (refused) return;
        refusal = on_message(message);
        if (!refusal.ok()) refused = true;
        ++messages;
      },
      [&](const rpc::CallEnd& end) { ended.set_value(end.status); });
  std::future<absl::Status> end = ended.get_future();
  // The channel's end is that of the call, which is waited for: its callbacks use what is above.
  const auto give_up = [&] {
    channels_.erase(endpoint.ToString());
    end.wait();
  };
  uint64_t seen = 0;
  MonotonicTime seen_at = SystemClock().Now();
  while (end.wait_for(kLookInterval) != std::future_status::ready) {
    if (refused) {
      give_up();
      return refusal;
    }
    const MonotonicTime now = SystemClock().Now();
    if (const uint64_t count = messages; count != seen) {
      seen = count;
      seen_at = now;
    } else if (now - seen_at >= timeout_) {
      give_up();
      return absl::DeadlineExceededError(
          fmt::format("{} has sent nothing within the timeout", endpoint.ToString()));
    }
  }
  return refused ? refusal : end.get();
}

absl::StatusOr<std::unique_ptr<CtlClient>> CtlClient::Create(const CtlConnection& connection) {
  std::vector<net::HostPort> endpoints;
  for (const std::string& text : connection.endpoints) {
    absl::StatusOr<net::HostPort> endpoint = net::ParseHostPort(text);
    if (!endpoint.ok()) return InvalidArgument("--endpoints: {}", MessageOf(endpoint.status()));
    endpoints.push_back(std::move(*endpoint));
  }
  std::shared_ptr<const net::TlsContext> tls;
  if (!connection.insecure) {
    MOKV_ASSIGN_OR_RETURN(
        tls, net::TlsContext::ForClient(
                 {connection.certificate_file, connection.key_file, connection.ca_file}, {"h2"}));
  }
  return std::unique_ptr<CtlClient>(new CtlClient(
      std::make_unique<Impl>(std::move(endpoints), std::move(tls), connection.timeout)));
}

CtlClient::CtlClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CtlClient::~CtlClient() = default;

const std::vector<net::HostPort>& CtlClient::endpoints() const { return impl_->endpoints; }

absl::StatusOr<std::string> CtlClient::ReadFrom(const net::HostPort& endpoint,
                                                const std::string& method,
                                                const std::string& request) {
  return impl_->Call(endpoint, method, request).value();
}

absl::StatusOr<std::string> CtlClient::Read(const std::string& method, const std::string& request) {
  return impl_->CallUntil(method, request, [](const rpc::CallEnd&) { return true; });
}

absl::StatusOr<std::string> CtlClient::Change(const std::string& method,
                                              const std::string& request) {
  return impl_->CallUntil(method, request, IsCertainlyNotDone);
}

absl::Status CtlClient::Stream(const std::string& method, const std::string& request,
                               const std::function<void(std::string_view)>& on_message) {
  absl::Status status = absl::UnavailableError("no endpoint given");
  bool any_message = false;
  for (const net::HostPort& endpoint : impl_->endpoints) {
    status = impl_->Stream(endpoint, method, request, [&](std::string_view message) {
      any_message = true;
      on_message(message);
    });
    if (any_message || !absl::IsUnavailable(status)) break;
  }
  return status;
}

absl::Status CtlClient::Download(const std::string& method, const std::string& request,
                                 const std::function<absl::Status(std::string_view)>& on_message) {
  absl::Status status = absl::UnavailableError("no endpoint given");
  bool any_message = false;
  for (const net::HostPort& endpoint : impl_->endpoints) {
    status = impl_->Download(endpoint, method, request, [&](std::string_view message) {
      any_message = true;
      return on_message(message);
    });
    if (any_message || !absl::IsUnavailable(status)) break;
  }
  return status;
}

}  // namespace mokv
