// The server against clients written by hand: what breaks gRPC's or HTTP/2's rules gets the answer
// that the rules have for it, and costs the server a bounded amount.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <future>
#include <map>
#include <optional>
#include <thread>

#include "base/check.h"
#include "net/testing/raw_socket.h"
#include "rpc/grpc_wire.h"
#include "rpc/server.h"

namespace mokv::rpc {
namespace {

using std::chrono::milliseconds;
using Headers = std::vector<std::pair<std::string, std::string>>;

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string frame;
  const auto size = static_cast<uint32_t>(payload.size());
  for (const uint32_t byte : {size >> 16, size >> 8, size, uint32_t{type}, uint32_t{flags},
                              stream >> 24, stream >> 16, stream >> 8, stream}) {
    frame += static_cast<char>(byte);
  }
  return frame.append(payload);
}

// HPACK: literals that are not indexed, of up to 126 bytes each.
std::string HeaderBlock(const Headers& headers) {
  std::string block;
  for (const auto& [name, value] : headers) {
    block += '\0';
    for (const std::string& text : {name, value}) {
      MOKV_CHECK_LT(text.size(), size_t{127});
      block += static_cast<char>(text.size());
      block += text;
    }
  }
  return block;
}

Headers GrpcHeaders(const std::string& path) {
  return {{":method", "POST"},         {":scheme", "http"}, {":path", path},
          {":authority", "localhost"}, {"te", "trailers"},  {"content-type", "application/grpc"}};
}

std::string Message(std::string_view text, bool compressed = false) {
  std::string message(kMessagePrefixBytes, '\0');
  WriteMessagePrefix(static_cast<uint32_t>(text.size()), message.data());
  if (compressed) message[0] = 1;
  return message.append(text);
}

std::string Number(uint32_t number) {
  std::string bytes;
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(number >> shift);
  return bytes;
}

struct Answer {
  std::map<std::string, std::string> headers;  // And trailers.
  std::string data;
  std::optional<uint32_t> reset;  // Error code of RST_STREAM.
  bool ended = false;

  std::string grpc_status() const {
    const auto found = headers.find("grpc-status");
    return found == headers.end() ? "none" : found->second;
  }
};

class RawClient {
 public:
  explicit RawClient(uint16_t port) : socket_(port) {
    nghttp2_hd_inflate_new(&inflater_);
    socket_.Send(std::string(kPreface) + Frame(NGHTTP2_SETTINGS, 0, 0, ""));
  }
  ~RawClient() { nghttp2_hd_inflate_del(inflater_); }

  bool Send(std::string_view bytes) { return socket_.Send(bytes); }
  net::RawSocket& socket() { return socket_; }

  bool SendHeaders(uint32_t stream, const Headers& headers, bool end = false) {
    const uint8_t flags = NGHTTP2_FLAG_END_HEADERS | (end ? NGHTTP2_FLAG_END_STREAM : 0);
    return Send(Frame(NGHTTP2_HEADERS, flags, stream, HeaderBlock(headers)));
  }
  bool SendData(uint32_t stream, std::string_view data, bool end = true) {
    return Send(Frame(NGHTTP2_DATA, end ? NGHTTP2_FLAG_END_STREAM : 0, stream, data));
  }
  bool SendReset(uint32_t stream) {
    return Send(Frame(NGHTTP2_RST_STREAM, 0, stream, Number(NGHTTP2_CANCEL)));
  }
  // A unary call with one message.
  Answer Call(uint32_t stream, const std::string& path, std::string_view message) {
    SendHeaders(stream, GrpcHeaders(path));
    SendData(stream, Message(message));
    return Wait(stream);
  }

  // Reads until the stream's end; for 0 until a GOAWAY or the connection's end.
  Answer Wait(uint32_t stream) {
    while (!answers_[stream].ended && ReadFrame()) {
    }
    return answers_[stream];
  }

  // What the GOAWAY said, if one came.
  std::optional<uint32_t> goaway_error() const { return goaway_error_; }

 private:
  bool ReadFrame() {
    while (input_.size() < 9) {
      if (!socket_.Receive(input_)) return false;
    }
    const auto byte = [&](size_t i) {
      return static_cast<uint32_t>(static_cast<uint8_t>(input_[i]));
    };
    const size_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
    const uint32_t type = byte(3);
    const uint32_t flags = byte(4);
    const uint32_t stream = byte(5) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8);
    while (input_.size() < 9 + size) {
      if (!socket_.Receive(input_)) return false;
    }
    const std::string payload = input_.substr(9, size);
    input_.erase(0, 9 + size);
    Handle(type, flags, stream, payload);
    return true;
  }

  void Handle(uint32_t type, uint32_t flags, uint32_t stream, const std::string& payload) {
    const auto number = [&](size_t at) {
      uint32_t value = 0;
      for (size_t i = at; i < at + 4; ++i) value = value << 8 | static_cast<uint8_t>(payload[i]);
      return value;
    };
    Answer& answer = answers_[stream];
    if (type == NGHTTP2_HEADERS) Inflate(payload, answer);
    if (type == NGHTTP2_DATA) answer.data += payload;
    if (type == NGHTTP2_HEADERS || type == NGHTTP2_DATA) {
      if ((flags & NGHTTP2_FLAG_END_STREAM) != 0) answer.ended = true;
    } else if (type == NGHTTP2_RST_STREAM) {
      answer.reset = number(0);
      answer.ended = true;
    } else if (type == NGHTTP2_GOAWAY) {
      goaway_error_ = number(4);
      answer.ended = true;
    }
  }

  void Inflate(const std::string& block, Answer& answer) {
    const auto* in = reinterpret_cast<const uint8_t*>(block.data());
    size_t left = block.size();
    for (;;) {
      nghttp2_nv header;
      int flags = 0;
      const ssize_t used = nghttp2_hd_inflate_hd2(inflater_, &header, &flags, in, left, 1);
      if (used < 0) return;
      in += used;
      left -= static_cast<size_t>(used);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        answer.headers[std::string(reinterpret_cast<char*>(header.name), header.namelen)] =
            std::string(reinterpret_cast<char*>(header.value), header.valuelen);
      }
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0 || (used == 0 && left == 0)) break;
    }
    nghttp2_hd_inflate_end_headers(inflater_);
  }

  net::RawSocket socket_;
  nghttp2_hd_inflater* inflater_ = nullptr;
  std::string input_;
  std::map<uint32_t, Answer> answers_;
  std::optional<uint32_t> goaway_error_;
};

// A stream that has nothing to say.
class Silent final : public MessageSource {
 public:
  Next Produce(std::string*) override { return Next::kWait; }
};

class ServerRawTest : public testing::Test {
 protected:
  ServerRawTest() : server_(pool_, Limits(), nullptr) {
    server_.AddUnary("/t.T/Echo", [](UnaryCall& call) {
      call.response() += call.request();
      call.Finish();
    });
    server_.AddUnary("/t.T/Never", [this](UnaryCall& call) {
      std::lock_guard<std::mutex> lock(mutex_);
      kept_.push_back(call.Defer());
    });
    server_.AddUnary("/t.T/Large", [](UnaryCall& call) {
      call.response().append(size_t{8} << 20, 'x');
      call.Finish();
    });
    server_.AddUnary("/t.T/Fails", [](UnaryCall& call) {
      call.Fail(absl::NotFoundError(std::string(100'000, 'k')));
    });
    server_.AddServerStream("/t.T/Silent",
                            [](ServerStreamCall& call) { call.Start(std::make_unique<Silent>()); });
    auto listener = net::Listener::Bind(pool_, {.address = {"127.0.0.1", 0}});
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = std::move(*listener);
    listener_->AddProtocol(server_.protocol());
    pool_.Start();
    listener_->Start();
  }

  ~ServerRawTest() override {
    listener_->Stop();
    pool_.Stop();
    kept_.clear();
  }

  static Server::Options Limits() {
    Server::Options options;
    options.message_bytes_max = 1 << 20;
    options.calls_per_connection_max = 100;
    options.stall_timeout = milliseconds(500);
    return options;
  }

  RawClient Connect() { return RawClient(listener_->port()); }

  bool Until(const std::function<bool()>& condition) {
    for (int i = 0; i < 10'000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(milliseconds(1));
    }
    return false;
  }

  size_t kept() {
    std::lock_guard<std::mutex> lock(mutex_);
    return kept_.size();
  }

  net::IoPool pool_{1};
  Server server_;
  std::unique_ptr<net::Listener> listener_;
  std::mutex mutex_;
  std::vector<Responder> kept_;
};

TEST_F(ServerRawTest, ServesAClientThatObeys) {
  RawClient client = Connect();
  const Answer answer = client.Call(1, "/t.T/Echo", "hello");
  EXPECT_EQ(answer.grpc_status(), "0");
  EXPECT_EQ(answer.data, Message("hello"));
}

TEST_F(ServerRawTest, AnswersWhatIsNotGrpcInHttp) {
  RawClient client = Connect();
  Headers get = GrpcHeaders("/t.T/Echo");
  get[0].second = "GET";
  client.SendHeaders(1, get, true);
  EXPECT_EQ(client.Wait(1).headers[":status"], "405");
  for (const char* type : {"text/html", "application/grpc-web"}) {
    Headers other = GrpcHeaders("/t.T/Echo");
    other[5].second = type;
    const uint32_t stream = *type == 't' ? 3 : 5;
    client.SendHeaders(stream, other, true);
    EXPECT_EQ(client.Wait(stream).headers[":status"], "415") << type;
  }
  Headers with_codec = GrpcHeaders("/t.T/Echo");
  with_codec[5].second = "application/grpc+proto";
  client.SendHeaders(7, with_codec);
  client.SendData(7, Message("x"));
  EXPECT_EQ(client.Wait(7).grpc_status(), "0");
}

TEST_F(ServerRawTest, AnswersBrokenRequestsAndGoesOn) {
  RawClient client = Connect();
  EXPECT_EQ(client.Call(1, "/t.T/Nothing", "").grpc_status(), "12");

  client.SendHeaders(3, GrpcHeaders("/t.T/Echo"));
  client.SendData(3, Message("packed", /*compressed=*/true));
  EXPECT_EQ(client.Wait(3).grpc_status(), "12");

  client.SendHeaders(5, GrpcHeaders("/t.T/Echo"), true);  // No message.
  EXPECT_EQ(client.Wait(5).grpc_status(), "13");

  client.SendHeaders(7, GrpcHeaders("/t.T/Echo"));
  client.SendData(7, Message("one") + Message("two"));
  EXPECT_EQ(client.Wait(7).grpc_status(), "13");

  client.SendHeaders(9, GrpcHeaders("/t.T/Echo"));
  client.SendData(9, Message("cut off").substr(0, 8));
  EXPECT_EQ(client.Wait(9).grpc_status(), "13");

  Headers bad_timeout = GrpcHeaders("/t.T/Echo");
  bad_timeout.emplace_back("grpc-timeout", "soon");
  client.SendHeaders(11, bad_timeout, true);
  EXPECT_EQ(client.Wait(11).grpc_status(), "13");

  // The end of the request may come as trailers.
  client.SendHeaders(13, GrpcHeaders("/t.T/Echo"));
  client.SendData(13, Message("x"), /*end=*/false);
  client.SendHeaders(13, {{"checksum", "1"}}, true);
  EXPECT_EQ(client.Wait(13).grpc_status(), "0");
  EXPECT_EQ(server_.stats().connections_broken, 0u);
}

TEST_F(ServerRawTest, AnswersBeforeTheUploadIsOver) {
  RawClient client = Connect();
  client.SendHeaders(1, GrpcHeaders("/t.T/Echo"));
  std::string prefix(kMessagePrefixBytes, '\0');
  WriteMessagePrefix(2 << 20, prefix.data());
  client.SendData(1, prefix, /*end=*/false);
  EXPECT_EQ(client.Wait(1).grpc_status(), "8");
  EXPECT_EQ(client.Call(3, "/t.T/Echo", "x").grpc_status(), "0");
  EXPECT_TRUE(Until([&] { return server_.stats().calls_open == 0; }));
}

TEST_F(ServerRawTest, RefusesHeadersOverTheLimitWhateverTheirOrder) {
  RawClient client = Connect();
  Headers many = GrpcHeaders("/t.T/Echo");
  Headers small;
  for (int i = 0; i < 400; ++i) small.emplace_back(fmt::format("h{}", i), "value of it");
  many.insert(many.begin() + 4, small.begin(), small.end());  // Before content-type.
  const std::string block = HeaderBlock(many);
  client.Send(Frame(NGHTTP2_HEADERS, 0, 1, block.substr(0, 4000)));
  client.Send(Frame(NGHTTP2_CONTINUATION, NGHTTP2_FLAG_END_HEADERS, 1, block.substr(4000)));
  EXPECT_EQ(client.Wait(1).grpc_status(), "8");
  EXPECT_EQ(client.Call(3, "/t.T/Echo", "x").grpc_status(), "0");
}

TEST_F(ServerRawTest, CutsLongStatusMessages) {
  RawClient client = Connect();
  const Answer answer = client.Call(1, "/t.T/Fails", "");
  EXPECT_EQ(answer.grpc_status(), "5");
  EXPECT_LT(answer.headers.at("grpc-message").size(), size_t{16} << 10);
}

TEST_F(ServerRawTest, StreamThatBeganAtOnceHasADeadline) {
  RawClient client = Connect();
  Headers headers = GrpcHeaders("/t.T/Silent");
  // Long enough for the request to arrive, which takes two packets.
  headers.emplace_back("grpc-timeout", "500m");
  client.SendHeaders(1, headers);
  client.SendData(1, Message(""));
  EXPECT_EQ(client.Wait(1).reset, std::optional<uint32_t>(NGHTTP2_CANCEL));
}

TEST_F(ServerRawTest, CountsConnectionsThatBreakTheRules) {
  RawClient client = Connect();
  client.SendData(1, "data of a stream that was never opened");
  client.Wait(0);
  EXPECT_EQ(client.goaway_error(), std::optional<uint32_t>(NGHTTP2_PROTOCOL_ERROR));
  EXPECT_TRUE(client.socket().WaitForEnd());
  EXPECT_EQ(server_.stats().connections_broken, 1u);
}

// Goal:   a client whose deadlines all pass together must not lose its connection, and with it
//         every other call, for having said so.
TEST_F(ServerRawTest, ManyCancelledCallsAreNoFlood) {
  RawClient client = Connect();
  uint32_t stream = 1;
  for (int i = 0; i < 5'000; ++i, stream += 2) {
    ASSERT_TRUE(client.SendHeaders(stream, GrpcHeaders("/t.T/Never")));
    ASSERT_TRUE(client.SendReset(stream));
  }
  EXPECT_EQ(client.Call(stream, "/t.T/Echo", "x").grpc_status(), "0");
}

// Goal: what a client is told was not looked at (GOAWAY's last stream) must not be carried out.
TEST_F(ServerRawTest, NothingIsBegunOnceGoawayIsOnItsWay) {
  RawClient client = Connect();
  client.SendHeaders(1, GrpcHeaders("/t.T/Never"));
  client.SendData(1, Message(""));
  ASSERT_TRUE(Until([&] { return kept() == 1; }));
  listener_->Stop();
  // Both wait for the thread: the drain first, then the next call; one turn takes them together.
  std::promise<void> hold;
  pool_.thread(0).Post([&] { hold.get_future().wait(); });
  auto drained = std::async(std::launch::async, [&] { server_.Drain(std::chrono::seconds(20)); });
  std::this_thread::sleep_for(milliseconds(20));
  client.SendHeaders(3, GrpcHeaders("/t.T/Never"));
  client.SendData(3, Message(""));
  hold.set_value();
  client.Wait(0);
  EXPECT_TRUE(client.goaway_error().has_value());
  {
    std::lock_guard<std::mutex> lock(mutex_);
    EXPECT_EQ(kept_.size(), 1u) << "the second call was begun";
    for (Responder& responder : kept_) responder.Finish("");
    kept_.clear();
  }
  EXPECT_EQ(client.Wait(1).grpc_status(), "0");
  drained.wait();
}

// Goal:   a client that asks and never reads is let go, with all that it holds.
// Method: answers larger than what the sockets buffer.
TEST_F(ServerRawTest, EndsConnectionsThatDoNotRead) {
  RawClient client = Connect();
  // Windows so large that only the socket holds the answers back.
  client.Send(Frame(NGHTTP2_SETTINGS, 0, 0, std::string("\0\x04", 2) + Number(0x7fffffff)));
  client.Send(Frame(NGHTTP2_WINDOW_UPDATE, 0, 0, Number(0x7fff0000)));
  for (uint32_t stream = 1; stream < 20; stream += 2) {
    client.SendHeaders(stream, GrpcHeaders("/t.T/Large"));
    client.SendData(stream, Message(""));
  }
  EXPECT_TRUE(Until([&] { return server_.stats().connections_total == 1; }));
  EXPECT_TRUE(Until([&] { return server_.stats().connections_open == 0; }));
  EXPECT_EQ(server_.stats().calls_open, 0u);
  EXPECT_GT(server_.stats().streams_stalled, 0u);
}

// Goal:   frames that the server owes a client which does not read are bounded.
// Method: calls far over the limit, which is never acknowledged: each is owed a reset.
TEST_F(ServerRawTest, EndsAFloodOfCallsWhoseResetsNobodyReads) {
  RawClient client = Connect();
  const std::string block = HeaderBlock(GrpcHeaders("/t.T/Never"));
  std::string batch;
  bool open = true;
  for (uint32_t stream = 1; open && stream < 4'000'000; stream += 2) {
    batch += Frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, block);
    if (batch.size() < (size_t{256} << 10)) continue;
    open = client.Send(batch);
    batch.clear();
  }
  EXPECT_FALSE(open) << "the server took everything";
  EXPECT_TRUE(Until([&] { return server_.stats().connections_open == 0; }));
}

}  // namespace
}  // namespace mokv::rpc
