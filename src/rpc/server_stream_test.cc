// Calls whose clients send streams, by hand.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <atomic>
#include <memory>

#include "net/testing/wait.h"
#include "rpc/testing/raw_http2.h"
#include "rpc/testing/raw_server.h"
#include "rpc/testing/streams.h"

namespace mokv::rpc {
namespace {

using net::Until;

// What the server grants each stream at first.
constexpr size_t kCallWindowBytes = size_t{1} << 20;
constexpr size_t kFrameBytesMax = size_t{16} << 10;

// What a test knows of the handlers that run.
struct Seen {
  std::atomic<int> open{0};  // Sinks and exchanges that there are.
  std::atomic<int> abandoned{0};
  std::atomic<size_t> room{0};
  std::atomic<int> taken{0};
  std::mutex mutex;
  std::vector<StreamWaker> wakers;

  void WakeAll() {
    const std::lock_guard<std::mutex> lock(mutex);
    for (const StreamWaker& waker : wakers) waker.Wake();
  }
};

// Takes messages while the test gives it room, and says nothing before the client has ended.
class Guarded final : public MessageExchange {
 public:
  explicit Guarded(std::shared_ptr<Seen> seen) : seen_(std::move(seen)) { ++seen_->open; }
  ~Guarded() override { --seen_->open; }
  bool HasRoom() const override { return seen_->room > 0; }
  void Take(const ReceivedMessage&) override {
    --seen_->room;
    ++seen_->taken;
  }
  void End() override { ended_ = true; }
  Next Produce(std::string*) override { return ended_ ? Next::kEnd : Next::kWait; }

 private:
  std::shared_ptr<Seen> seen_;
  bool ended_ = false;
};

class Endless final : public MessageSource {
 public:
  Next Produce(std::string* message) override {
    message->append(1000, 'x');
    return Next::kMessage;
  }
};

// A client stream that answers after its second message, and not at all before.
class Counted final : public MessageSink {
 public:
  Counted(std::shared_ptr<Seen> seen, Responder responder)
      : seen_(std::move(seen)), responder_(std::move(responder)) {
    ++seen_->open;
  }
  ~Counted() override { --seen_->open; }
  void Take(const ReceivedMessage&) override {
    if (++seen_->taken == 2) responder_.Finish("two are enough");
  }

 private:
  std::shared_ptr<Seen> seen_;
  Responder responder_;
};

// Made before the server, whose handlers have it.
struct HasSeen {
  std::shared_ptr<Seen> seen_ = std::make_shared<Seen>();
};

class ServerStreamTest : protected HasSeen, public RawServerTest {
 protected:
  ServerStreamTest()
      : RawServerTest(Limits(), [this](Server& server) {
          server.AddClientStream("/t.T/Sum", [](ClientStreamCall& call) {
            auto sink = std::make_unique<SumOfBytes>(call.Defer());
            call.Start(std::move(sink));
          });
          server.AddClientStream("/t.T/Two", [seen = seen_](ClientStreamCall& call) {
            call.WhenAbandoned([seen] { ++seen->abandoned; });
            auto sink = std::make_unique<Counted>(seen, call.Defer());
            call.Start(std::move(sink));
          });
          server.AddServerStream("/t.T/Endless", [](ServerStreamCall& call) {
            call.Start(std::make_unique<Endless>());
          });
          server.AddClientStream("/t.T/Refuse", [](ClientStreamCall& call) {
            call.Fail(absl::PermissionDeniedError("no"));
          });
          server.AddUnary("/t.T/LargeTrailers", [](UnaryCall& call) {
            for (int i = 0; i < 20; ++i) {
              call.AddTrailing({"x-" + std::to_string(i), std::string(4000, 'v')});
            }
            call.Finish();
          });
          server.AddBidi("/t.T/Talk",
                         [](BidiCall& call) { call.Start(std::make_unique<EchoExchange>()); });
          server.AddBidi("/t.T/Guarded", [seen = seen_](BidiCall& call) {
            call.WhenAbandoned([seen] { ++seen->abandoned; });
            {
              const std::lock_guard<std::mutex> lock(seen->mutex);
              seen->wakers.push_back(call.waker());
            }
            call.Start(std::make_unique<Guarded>(seen));
          });
        }) {}
};

// Sends `bytes` on a stream in frames of HTTP/2's usual size, without an end.
void SendBytes(RawClient& client, uint32_t stream, std::string_view bytes) {
  std::string frames;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), kFrameBytesMax))) {
    frames += DataFrame(stream, bytes.substr(0, kFrameBytesMax), false);
  }
  client.Send(frames);
}

// What the server's SETTINGS grant counts once they are acknowledged (RFC 9113, 6.5.3).
void AcknowledgeSettings(RawClient& client, uint32_t stream) {
  client.Call(stream, "/t.T/Echo", "behind the SETTINGS");
  client.Send(Frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, ""));
}

TEST_F(ServerStreamTest, AClientStreamIsAnsweredOnceItHasEnded) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Sum"));
  client.SendData(1, Message("one") + Message("three").substr(0, 2), false);
  client.SendData(1, Message("three").substr(2) + Message(""), false);
  client.SendData(1, "", true);
  const RawAnswer answer = client.Wait(1);
  EXPECT_EQ(answer.data, Message("8"));
  EXPECT_EQ(answer.grpc_status(), "0");
}

TEST_F(ServerStreamTest, AClientStreamMayBeEmpty) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Sum"), /*end=*/true);
  EXPECT_EQ(client.Wait(1).data, Message("0"));
}

TEST_F(ServerStreamTest, AnAnswerMayComeBeforeTheEnd) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Two"));
  client.SendData(1, Message("one") + Message("two") + Message("three"), false);
  EXPECT_EQ(client.WaitForData(1, 1).data, Message("two are enough"));
  const RawAnswer answer = client.Wait(1);
  EXPECT_EQ(answer.grpc_status(), "0");
  EXPECT_TRUE(Until([&] { return seen_->open == 0; }));
  EXPECT_EQ(seen_->abandoned, 0);
  // More of it harms nobody.
  client.SendData(1, Message("four"), true);
  EXPECT_EQ(client.Call(3, "/t.T/Echo", "still here").grpc_status(), "0");
}

TEST_F(ServerStreamTest, AHandlerMayRefuseBeforeAnyMessage) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Refuse"));
  EXPECT_EQ(client.Wait(1).grpc_status(), "7");
}

TEST_F(ServerStreamTest, ABidirectionalStreamAnswersEachMessageAtOnce) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Talk"));
  std::string answers;
  for (const std::string_view text : {"one", "", "three"}) {
    client.SendData(1, Message(text), false);
    answers += Message(text);
    EXPECT_EQ(client.WaitForData(1, answers.size()).data, answers);
  }
  client.SendData(1, Message("last") + Message("and one more"), true);
  const RawAnswer answer = client.Wait(1);
  EXPECT_EQ(answer.data, answers + Message("last") + Message("and one more"));
  EXPECT_EQ(answer.grpc_status(), "0");
}

TEST_F(ServerStreamTest, ABidirectionalStreamMayBeEmpty) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Talk"), /*end=*/true);
  const RawAnswer answer = client.Wait(1);
  EXPECT_EQ(answer.data, "");
  EXPECT_EQ(answer.headers.at("content-type"), "application/grpc");
  EXPECT_EQ(answer.grpc_status(), "0");
}

TEST_F(ServerStreamTest, ManyMessagesAtOnceComeBackOneByOne) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Talk"));
  std::string sent;
  for (int i = 0; i < 1000; ++i) sent += Message(std::to_string(i));
  client.SendData(1, sent, true);
  const RawAnswer answer = client.Wait(1);
  EXPECT_EQ(answer.data, sent);
  EXPECT_EQ(answer.grpc_status(), "0");
}

TEST_F(ServerStreamTest, AWindowOpensOnlyWhenAMessageIsTaken) {
  RawClient client(port());
  AcknowledgeSettings(client, 1);
  client.SendHeaders(3, GrpcHeaders("/t.T/Guarded"));
  const std::string message = Message(std::string(kCallWindowBytes / 4 - 5, 'x'));
  for (int i = 0; i < 4; ++i) SendBytes(client, 3, message);
  // The answer comes behind whatever the server has said before.
  EXPECT_EQ(client.Call(5, "/t.T/Echo", "beside it").grpc_status(), "0");
  EXPECT_EQ(client.answer(3).window_grown_bytes, uint64_t{0});
  EXPECT_EQ(seen_->taken, 0);

  seen_->room = 4;
  seen_->WakeAll();
  EXPECT_GE(client.WaitForWindow(3, kCallWindowBytes), kCallWindowBytes);
  EXPECT_EQ(seen_->taken, 4);
  client.SendData(3, "", true);
  EXPECT_EQ(client.Wait(3).grpc_status(), "0");
}

TEST_F(ServerStreamTest, AMessageMayBeLargerThanTheWindow) {
  // Of this client, which has not acknowledged the SETTINGS, the window is still HTTP/2's own.
  constexpr size_t kWindowBytes = 65'535;
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Sum"));
  const std::string message = Message(std::string(10 * kWindowBytes, 'x'));
  for (size_t sent = 0; sent < message.size();) {
    const std::string part = message.substr(sent, kWindowBytes / 2);
    SendBytes(client, 1, part);
    sent += part.size();
    ASSERT_GE(client.WaitForWindow(1, sent - sent % (kWindowBytes / 2)), sent / 2) << sent;
  }
  client.SendData(1, "", true);
  EXPECT_EQ(client.Wait(1).data, Message(std::to_string(10 * kWindowBytes)));
}

TEST_F(ServerStreamTest, WhatIsNotAMessageEndsTheCall) {
  const auto refused = [&](const std::string& path, std::string_view bytes, bool end) {
    RawClient client(port());
    client.SendHeaders(1, GrpcHeaders(path));
    client.SendData(1, bytes, end);
    return client.Wait(1).grpc_status();
  };
  for (const std::string path : {"/t.T/Sum", "/t.T/Talk"}) {
    EXPECT_EQ(refused(path, Message("cut off").substr(0, 7), true), "13") << path;
    EXPECT_EQ(refused(path, Message("not gzip", /*compressed=*/true), false), "13") << path;
    EXPECT_EQ(refused(path, Message("first") + std::string("\0\x7f\xff\xff\xff", 5), false), "8")
        << path;
  }
}

// Goal: a handler whose answer is under way hears that its client has broken the stream's rules.
TEST_F(ServerStreamTest, WhatIsNotAMessageTellsTheHandler) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Guarded"));
  client.SendData(1, std::string("\0\x7f\xff\xff\xff", 5), false);
  EXPECT_EQ(client.Wait(1).grpc_status(), "8");
  EXPECT_TRUE(Until([&] { return seen_->open == 0; }));
  EXPECT_EQ(seen_->abandoned, 1);
}

TEST_F(ServerStreamTest, ACancelledCallIsForgotten) {
  RawClient client(port());
  for (const std::string path : {"/t.T/Two", "/t.T/Guarded"}) {
    static uint32_t stream = 1;
    const int abandoned = seen_->abandoned;
    client.SendHeaders(stream, GrpcHeaders(path));
    client.SendData(stream, Message("one"), false);
    ASSERT_TRUE(Until([&] { return seen_->open == 1; }));
    client.SendReset(stream);
    EXPECT_TRUE(Until([&] { return seen_->open == 0; })) << path;
    EXPECT_EQ(seen_->abandoned, abandoned + 1) << path;
    stream += 2;
  }
  EXPECT_TRUE(Until([&] { return server_.stats().calls_open == 0; }));
}

TEST_F(ServerStreamTest, ALostConnectionForgetsItsCalls) {
  {
    RawClient client(port());
    client.SendHeaders(1, GrpcHeaders("/t.T/Guarded"));
    client.SendData(1, Message("one"), false);
    ASSERT_TRUE(Until([&] { return seen_->open == 1; }));
  }
  EXPECT_TRUE(Until([&] { return seen_->open == 0; }));
  EXPECT_EQ(seen_->abandoned, 1);
  seen_->WakeAll();  // Nobody is there any more.
  RawClient client(port());
  EXPECT_EQ(client.Call(1, "/t.T/Echo", "next").grpc_status(), "0");
}

TEST_F(ServerStreamTest, ADeadlineEndsACallThatReceives) {
  RawClient client(port());
  Headers headers = GrpcHeaders("/t.T/Two");
  headers.emplace_back("grpc-timeout", "50m");
  client.SendHeaders(1, headers);
  client.SendData(1, Message("one"), false);
  EXPECT_EQ(client.Wait(1).grpc_status(), "4");
  EXPECT_TRUE(Until([&] { return seen_->open == 0; }));
  EXPECT_EQ(seen_->abandoned, 1);

  headers = GrpcHeaders("/t.T/Guarded");
  headers.emplace_back("grpc-timeout", "50m");
  client.SendHeaders(3, headers);
  const RawAnswer answer = client.Wait(3);
  EXPECT_EQ(answer.headers.at("content-type"), "application/grpc");
  EXPECT_EQ(answer.grpc_status(), "4");
  EXPECT_TRUE(Until([&] { return seen_->open == 0; }));
  EXPECT_EQ(seen_->abandoned, 2);
}

// Goal: what a client has no window for does not stay in memory behind its deadline.
TEST_F(ServerStreamTest, ADeadlineResetsAnAnswerThatIsNotRead) {
  RawClient client(port());
  Headers headers = GrpcHeaders("/t.T/Endless");
  headers.emplace_back("grpc-timeout", "50m");
  client.SendHeaders(1, headers);
  client.SendData(1, Message(""));
  EXPECT_EQ(client.Wait(1).reset, NGHTTP2_CANCEL);
}

// A client may say NO_ERROR and mean it.
TEST_F(ServerStreamTest, AResetWithoutAnErrorIsACancellationToo) {
  RawClient client(port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Guarded"));
  ASSERT_TRUE(Until([&] { return seen_->open == 1; }));
  client.Send(Frame(NGHTTP2_RST_STREAM, 0, 1, Number(NGHTTP2_NO_ERROR)));
  EXPECT_TRUE(Until([&] { return seen_->open == 0; }));
  EXPECT_EQ(seen_->abandoned, 1);
}

// HTTP/2 cannot carry them, or at least nghttp2 cannot.
TEST_F(ServerStreamTest, TrailersThatCannotBeSentEndTheCall) {
  RawClient client(port());
  EXPECT_EQ(client.Call(1, "/t.T/LargeTrailers", "").reset, NGHTTP2_INTERNAL_ERROR);
  EXPECT_EQ(client.Call(3, "/t.T/Echo", "").grpc_status(), "0");
}

// Windows grow for the message that is being put together, so they do not bound it.
TEST_F(ServerStreamTest, MessagesInAssemblyAreBoundedTogether) {
  RawClient client(port());
  AcknowledgeSettings(client, 1);
  const std::string message = Message(std::string(Limits().message_bytes_max, 'x'));
  uint32_t stream = 3;
  for (size_t bytes = 0; bytes <= Limits().assembly_bytes_max; bytes += message.size() - 1) {
    client.SendHeaders(stream, GrpcHeaders("/t.T/Sum"));
    SendBytes(client, stream, message.substr(0, message.size() - 1));
    stream += 2;
  }
  EXPECT_EQ(client.Wait(stream - 2).grpc_status(), "8");
  client.SendData(3, "x", true);
  EXPECT_EQ(client.Wait(3).grpc_status(), "0") << "those before it go on";
}

// Goal: a client that could not know yet that its call has an answer keeps its connection.
TEST_F(ServerStreamTest, WhatComesBehindAnEarlyAnswerIsNoFlood) {
  RawClient client(port());
  AcknowledgeSettings(client, 1);
  client.SendHeaders(3, GrpcHeaders("/t.T/Two"));
  std::string frames;
  for (size_t bytes = 0; bytes < kCallWindowBytes - 10; bytes += 6) {
    frames += DataFrame(3, Message("x"), false);
  }
  client.Send(frames);
  EXPECT_EQ(client.Wait(3).grpc_status(), "0");
  EXPECT_EQ(client.Call(5, "/t.T/Echo", "").grpc_status(), "0");
}

// As some clients send them.
TEST_F(ServerStreamTest, SmallMessagesWhosePrefixComesAloneAreNoFlood) {
  RawClient client(port());
  AcknowledgeSettings(client, 1);
  const std::string message = Message("ten bytes.");
  std::string frames = HeadersFrame(3, GrpcHeaders("/t.T/Sum"));
  for (int i = 0; i < 6'000; ++i) {
    frames += DataFrame(3, message.substr(0, 5), false) + DataFrame(3, message.substr(5), false);
  }
  client.Send(frames + DataFrame(3, "", true));
  EXPECT_EQ(client.Wait(3).data, Message("60000"));
}

// Sinks may have the right to answer, and use it as they go.
TEST(ServerEndTest, AServerMayEndWithOpenStreams) {
  net::IoPool pool(1);
  auto server = std::make_unique<Server>(pool, ServerOptions(), nullptr);
  server->AddClientStream("/t.T/Sum", [](ClientStreamCall& call) {
    auto sink = std::make_unique<SumOfBytes>(call.Defer());
    call.Start(std::move(sink));
  });
  auto listener = net::BindLoopback(pool, server->protocol());
  pool.Start();
  listener->Start();
  RawClient client(listener->port());
  client.SendHeaders(1, GrpcHeaders("/t.T/Sum"));
  ASSERT_TRUE(Until([&] { return server->stats().calls_open == 1; }));
  listener->Stop();
  pool.Stop();
  server.reset();
}

// A connection with streams that nobody reads, and that hold up to `held_bytes_max` together.
class ServerHeldTest : protected HasSeen, public testing::TestWithParam<bool> {
 protected:
  static constexpr size_t kHeldBytes = 14 * kCallWindowBytes;

  ServerHeldTest() {
    server_.AddUnary("/t.T/Echo", Echo);
    server_.AddBidi("/t.T/Guarded", [seen = seen_](BidiCall& call) {
      {
        const std::lock_guard<std::mutex> lock(seen->mutex);
        seen->wakers.push_back(call.waker());
      }
      call.Start(std::make_unique<Guarded>(seen));
    });
    listener_ = net::BindLoopback(pool_, server_.protocol());
    pool_.Start();
    listener_->Start();
  }
  ~ServerHeldTest() override {
    listener_->Stop();
    pool_.Stop();
  }

  static ServerOptions Limits() {
    ServerOptions options;
    options.held_bytes_max = GetParam() ? 4 * kCallWindowBytes : 2 * kHeldBytes;
    return options;
  }

  net::IoPool pool_{1};
  Server server_{pool_, Limits(), nullptr};
  std::unique_ptr<net::Listener> listener_;
};

// HTTP/2 tells of a larger window once half of it, 8 MiB, has been used.
TEST_P(ServerHeldTest, SlowReadersTogetherStopTheConnection) {
  const bool is_too_much = GetParam();
  RawClient client(listener_->port());
  AcknowledgeSettings(client, 1);
  const uint64_t before = client.answer(0).window_grown_bytes;
  uint32_t stream = 3;
  for (size_t i = 0; i < 14; ++i, stream += 2) {
    client.SendHeaders(stream, GrpcHeaders("/t.T/Guarded"));
    SendBytes(client, stream, Message(std::string(kCallWindowBytes - 5, 'x')));
  }
  client.Call(stream, "/t.T/Echo", "");
  const uint64_t grown = client.answer(0).window_grown_bytes - before;
  EXPECT_EQ(grown > 0, !is_too_much);

  seen_->room = 14;
  seen_->WakeAll();
  EXPECT_TRUE(Until([&] { return seen_->taken == 14; }));
  if (is_too_much) {
    EXPECT_GT(client.WaitForWindow(0, before + 1), before) << "they have been read";
  }
  EXPECT_EQ(client.Call(stream + 2, "/t.T/Echo", "").grpc_status(), "0");
}

INSTANTIATE_TEST_SUITE_P(Held, ServerHeldTest, testing::Bool());

}  // namespace
}  // namespace mokv::rpc
