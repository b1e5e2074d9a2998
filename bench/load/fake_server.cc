#include "load/fake_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/status.h"

namespace mokv::load {
namespace {

constexpr size_t kGrpcPrefixBytes = 5;

nghttp2_nv Field(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

std::string WithPrefix(std::string_view message) {
  std::string body(kGrpcPrefixBytes, '\0');
  for (int i = 0; i < 4; ++i) body[4 - i] = static_cast<char>(message.size() >> (8 * i));
  return body.append(message);
}

}  // namespace

struct FakeSession::Native {
  nghttp2_session* session = nullptr;
};

struct FakeCallbacks {
  static FakeSession& Self(void* user_data) { return *static_cast<FakeSession*>(user_data); }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* user_data) {
    if (std::string_view(reinterpret_cast<const char*>(name), name_size) == ":path") {
      Self(user_data).streams_[frame->hd.stream_id].path.assign(
          reinterpret_cast<const char*>(value), value_size);
    }
    return 0;
  }

  static int OnData(nghttp2_session*, uint8_t, int32_t stream_id, const uint8_t* data, size_t size,
                    void* user_data) {
    Self(user_data).streams_[stream_id].request.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    FakeSession& self = Self(user_data);
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
      ++self.pings_answered_;
    }
    const bool carries = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (carries && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      self.Answer(frame->hd.stream_id, self.streams_[frame->hd.stream_id]);
    }
    return 0;
  }

  static int OnClose(nghttp2_session*, int32_t stream_id, uint32_t, void* user_data) {
    Self(user_data).streams_.erase(stream_id);
    return 0;
  }

  static ssize_t OnRead(nghttp2_session* session, int32_t stream_id, uint8_t* buffer, size_t size,
                        uint32_t* flags, nghttp2_data_source* source, void*) {
    auto& stream = *static_cast<FakeSession::Stream*>(source->ptr);
    const size_t part = std::min(size, stream.body.size() - stream.sent);
    std::copy_n(stream.body.data() + stream.sent, part, reinterpret_cast<char*>(buffer));
    stream.sent += part;
    if (stream.sent < stream.body.size()) return static_cast<ssize_t>(part);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (!stream.reply.grpc_status.empty()) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      const nghttp2_nv trailer = Field("grpc-status", stream.reply.grpc_status);
      MOKV_CHECK_EQ(nghttp2_submit_trailer(session, stream_id, &trailer, 1), 0);
    }
    return static_cast<ssize_t>(part);
  }
};

FakeSession::FakeSession(FakeHandler handler, const FakeSettings& settings)
    : handler_(std::move(handler)), native_(std::make_unique<Native>()) {
  nghttp2_session_callbacks* callbacks = nullptr;
  MOKV_CHECK_EQ(nghttp2_session_callbacks_new(&callbacks), 0);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, &FakeCallbacks::OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &FakeCallbacks::OnData);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &FakeCallbacks::OnFrame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &FakeCallbacks::OnClose);
  MOKV_CHECK_EQ(nghttp2_session_server_new(&native_->session, callbacks, this), 0);
  nghttp2_session_callbacks_del(callbacks);
  std::vector<nghttp2_settings_entry> entries;
  for (const auto& [id, value] : settings) entries.push_back({id, value});
  MOKV_CHECK_EQ(
      nghttp2_submit_settings(native_->session, NGHTTP2_FLAG_NONE, entries.data(), entries.size()),
      0);
}

FakeSession::~FakeSession() { nghttp2_session_del(native_->session); }

bool FakeSession::Receive(std::string_view bytes) {
  const ssize_t used = nghttp2_session_mem_recv(
      native_->session, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  return used == static_cast<ssize_t>(bytes.size());
}

std::string FakeSession::TakeOutput() {
  std::string out;
  while (true) {
    const uint8_t* data = nullptr;
    const ssize_t size = nghttp2_session_mem_send(native_->session, &data);
    MOKV_CHECK_GE(size, 0);
    if (size == 0) return out;
    out.append(reinterpret_cast<const char*>(data), static_cast<size_t>(size));
  }
}

void FakeSession::Ping() {
  MOKV_CHECK_EQ(nghttp2_submit_ping(native_->session, NGHTTP2_FLAG_NONE, nullptr), 0);
}

void FakeSession::GoAway() {
  const int32_t last = nghttp2_session_get_last_proc_stream_id(native_->session);
  MOKV_CHECK_EQ(nghttp2_submit_goaway(native_->session, NGHTTP2_FLAG_NONE, last, 0, nullptr, 0), 0);
}

void FakeSession::OpenWindows(int32_t bytes) {
  MOKV_CHECK_EQ(nghttp2_session_set_local_window_size(native_->session, 0, 0, bytes), 0);
  for (const auto& [id, stream] : streams_) {
    MOKV_CHECK_EQ(nghttp2_session_set_local_window_size(native_->session, 0, id, bytes), 0);
  }
}

void FakeSession::Answer(int32_t stream_id, Stream& stream) {
  ++calls_;
  MOKV_CHECK_GE(stream.request.size(), kGrpcPrefixBytes);
  stream.reply = handler_(stream.path, std::string_view(stream.request).substr(kGrpcPrefixBytes));
  const FakeReply& reply = stream.reply;
  if (reply.never) return;
  if (reply.reset) {
    nghttp2_submit_rst_stream(native_->session, 0, stream_id, NGHTTP2_INTERNAL_ERROR);
    return;
  }
  std::vector<nghttp2_nv> fields = {Field(":status", reply.http_status),
                                    Field("content-type", "application/grpc")};
  if (reply.trailers_only) {
    fields.push_back(Field("grpc-status", reply.grpc_status));
    nghttp2_submit_response(native_->session, stream_id, fields.data(), fields.size(), nullptr);
    return;
  }
  stream.body = WithPrefix(reply.message);
  nghttp2_data_provider provider;
  provider.source.ptr = &stream;
  provider.read_callback = &FakeCallbacks::OnRead;
  nghttp2_submit_response(native_->session, stream_id, fields.data(), fields.size(), &provider);
}

FakeServer::FakeServer(FakeHandler handler, FakeSettings settings)
    : handler_(std::move(handler)),
      settings_(std::move(settings)),
      listen_fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  MOKV_CHECK_GE(listen_fd_, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  MOKV_CHECK_EQ(bind(listen_fd_, generic, size), 0);
  MOKV_CHECK_EQ(listen(listen_fd_, 128), 0);
  MOKV_CHECK_EQ(getsockname(listen_fd_, generic, &size), 0);
  MOKV_CHECK_EQ(pipe(stop_fds_), 0);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Loop(); });
}

FakeServer::~FakeServer() {
  close(stop_fds_[1]);
  thread_.join();
  close(stop_fds_[0]);
  close(listen_fd_);
}

std::string FakeServer::endpoint() const { return fmt::format("127.0.0.1:{}", port_); }

void FakeServer::Loop() {
  struct Peer {
    int fd;
    std::unique_ptr<FakeSession> session;
  };
  std::vector<Peer> peers;
  const auto send_all = [](int fd, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  };
  std::array<char, 65536> buffer;
  while (true) {
    std::vector<pollfd> fds = {{stop_fds_[0], POLLIN, 0}, {listen_fd_, POLLIN, 0}};
    for (const Peer& peer : peers) fds.push_back({peer.fd, POLLIN, 0});
    if (poll(fds.data(), fds.size(), -1) <= 0) continue;
    if (fds[0].revents != 0) break;
    for (size_t i = peers.size(); i-- > 0;) {
      if (fds[i + 2].revents == 0) continue;
      Peer& peer = peers[i];
      const ssize_t got = recv(peer.fd, buffer.data(), buffer.size(), 0);
      const bool good = got > 0 && peer.session->Receive({buffer.data(), static_cast<size_t>(got)});
      if (good && peer.session->calls() < hang_up_after_) {
        send_all(peer.fd, peer.session->TakeOutput());
        continue;
      }
      close(peer.fd);
      peers.erase(peers.begin() + static_cast<std::ptrdiff_t>(i));
    }
    if (fds[1].revents != 0) {
      const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) continue;
      const int one = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
      peers.push_back({fd, std::make_unique<FakeSession>(handler_, settings_)});
      send_all(fd, peers.back().session->TakeOutput());
    }
  }
  for (const Peer& peer : peers) close(peer.fd);
}

}  // namespace mokv::load
