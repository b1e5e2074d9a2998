#include "serf/shell/streams.h"

#include <array>

#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/write.hpp>

#include "base/status.h"
#include "serf/options.h"
#include "serf/shell/socket_address.h"
#include "serf/stream.h"

namespace mokv::serf {

// One connection, either way.
struct Streams::Connection {
  explicit Connection(asio::io_context& context) : socket(context), timer(context) {}

  asio::ip::tcp::socket socket;
  asio::steady_timer timer;
  StreamReader reader{kStreamBytesMax};
  std::array<char, 16 << 10> chunk;
  std::string outgoing;
  bool inbound = false;
  size_t counted_bytes = 0;  // Of inbound_bytes_.
  OnReply on_reply;          // Outbound, until it was called.
};

Streams::Streams(net::IoThread& thread, const Limits& limits)
    : context_(thread.context()), acceptor_(context_), pause_(context_), limits_(limits) {}

absl::StatusOr<std::shared_ptr<Streams>> Streams::Open(net::IoThread& thread, const Endpoint& bind,
                                                       const Limits& limits) {
  std::shared_ptr<Streams> streams(new Streams(thread, limits));
  MOKV_RETURN_IF_ERROR(streams->Listen(bind));
  return streams;
}

absl::Status Streams::Listen(const Endpoint& bind) {
  const asio::ip::tcp::endpoint at(ToAddress(bind.addr, bind.addr.size() == 16), bind.port);
  asio::error_code error;
  acceptor_.open(at.protocol(), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(at, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (!error) port_ = acceptor_.local_endpoint(error).port();
  if (error) return ErrnoStatus(error.value(), "TCP " + ToText(bind));
  return absl::OkStatus();
}

void Streams::Start(OnRequest on_request) {
  on_request_ = std::move(on_request);
  Accept();
}

void Streams::Accept() {
  acceptor_.async_accept(
      [self = shared_from_this()](const asio::error_code& error, asio::ip::tcp::socket socket) {
        if (!self->acceptor_.is_open()) return;
        if (!error) {
          self->Admit(std::move(socket));
          return self->Accept();
        }
        // Out of descriptors, most likely: trying again at once would only burn time.
        self->pause_.expires_after(std::chrono::milliseconds(100));
        self->pause_.async_wait([self](const asio::error_code& cancelled) {
          if (!cancelled && self->acceptor_.is_open()) self->Accept();
        });
      });
}

void Streams::Admit(asio::ip::tcp::socket socket) {
  if (inbound_ >= limits_.inbound_max) {
    ++refused_;
    return;  // The socket closes.
  }
  auto connection = std::make_shared<Connection>(context_);
  connection->socket = std::move(socket);
  connection->inbound = true;
  ++inbound_;
  connections_.insert(connection);
  SetTimeout(connection, limits_.timeout);
  Read(connection);
}

void Streams::Exchange(const Endpoint& to, std::string bytes, Duration timeout, OnReply on_reply) {
  auto connection = std::make_shared<Connection>(context_);
  connection->outgoing = std::move(bytes);
  connection->on_reply = std::move(on_reply);
  connections_.insert(connection);
  SetTimeout(connection, timeout);
  const asio::ip::tcp::endpoint at(ToAddress(to.addr, /*ipv6_socket=*/false), to.port);
  connection->socket.async_connect(at, [self = shared_from_this(), connection,
                                        to](const asio::error_code& error) {
    if (error == asio::error::connection_refused) {
      return self->Finish(connection, FailedPrecondition("{} refuses the connection", ToText(to)));
    }
    if (error) {
      return self->Finish(connection, ErrnoStatus(error.value(), "connect to " + ToText(to)));
    }
    self->Write(connection);
  });
}

void Streams::SetTimeout(const ConnectionPtr& connection, Duration timeout) {
  connection->timer.expires_after(timeout);
  connection->timer.async_wait(
      [self = shared_from_this(), connection](const asio::error_code& cancelled) {
        if (!cancelled) self->Finish(connection, absl::DeadlineExceededError("no answer in time"));
      });
}

void Streams::Read(const ConnectionPtr& connection) {
  connection->socket.async_read_some(
      asio::buffer(connection->chunk),
      [self = shared_from_this(), connection](const asio::error_code& error, size_t bytes) {
        if (error) {
          return self->Finish(connection, Unavailable("closed before its message was complete"));
        }
        self->OnRead(connection, bytes);
      });
}

void Streams::OnRead(const ConnectionPtr& connection, size_t bytes) {
  if (!connections_.contains(connection)) return;
  if (connection->inbound) {
    if (inbound_bytes_ + bytes > limits_.inbound_bytes_max) {
      ++refused_;
      return Finish(connection, absl::ResourceExhaustedError("too much at once"));
    }
    inbound_bytes_ += bytes;
    connection->counted_bytes += bytes;
  }
  switch (connection->reader.Feed({connection->chunk.data(), bytes})) {
    case StreamReader::Result::kMore:
      return Read(connection);
    case StreamReader::Result::kDone:
      return OnMessage(connection);
    case StreamReader::Result::kMalformed:
      return Finish(connection, InvalidArgument("malformed"));
    case StreamReader::Result::kTooLarge:
      return Finish(connection, ResourceExhausted("over {} bytes", kStreamBytesMax));
  }
}

void Streams::OnMessage(const ConnectionPtr& connection) {
  if (!connection->inbound) return Finish(connection, absl::OkStatus());
  std::optional<std::string> reply = on_request_(connection->reader.message());
  // The request may have closed everything.
  if (!connections_.contains(connection)) return;
  if (!reply.has_value()) return Finish(connection, absl::OkStatus());
  connection->outgoing = std::move(*reply);
  Write(connection);
}

void Streams::Write(const ConnectionPtr& connection) {
  asio::async_write(connection->socket, asio::buffer(connection->outgoing),
                    [self = shared_from_this(), connection](const asio::error_code& error, size_t) {
                      if (error || connection->inbound) {
                        return self->Finish(connection, Unavailable("the connection broke"));
                      }
                      self->Read(connection);
                    });
}

void Streams::Finish(const ConnectionPtr& connection, absl::Status reason) {
  if (connections_.erase(connection) == 0) return;  // Already over.
  if (connection->inbound) {
    --inbound_;
    inbound_bytes_ -= connection->counted_bytes;
  }
  connection->timer.cancel();
  asio::error_code ignored;
  connection->socket.close(ignored);
  if (!connection->on_reply) return;
  const OnReply on_reply = std::move(connection->on_reply);
  if (reason.ok()) {
    on_reply(std::string(connection->reader.message()));
  } else {
    on_reply(std::move(reason));
  }
}

void Streams::Close() {
  asio::error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
  on_request_ = nullptr;
  const auto connections = std::move(connections_);
  connections_.clear();
  for (const ConnectionPtr& connection : connections) {
    connection->timer.cancel();
    connection->socket.close(ignored);
    connection->on_reply = nullptr;
  }
}

}  // namespace mokv::serf
