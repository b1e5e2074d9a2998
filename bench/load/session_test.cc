// Both engines against nghttp2's server side, in memory.
#include "load/session.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "load/fake_server.h"

namespace mokv::load {
namespace {

class SessionTest : public testing::TestWithParam<Engine>, public AnswerSink {
 protected:
  void Start(FakeHandler handler, const FakeSettings& settings = {}) {
    requests_ = {MakeRead(options_), MakeWrite(options_)};
    const SessionOptions options = {
        .scheme = "http", .authority = "localhost:1", .requests = requests_, .calls = kCalls};
    session_ = GetParam() == Engine::kLean ? NewLeanSession(options, *this)
                                           : NewNghttp2Session(options, *this);
    server_ = std::make_unique<FakeSession>(std::move(handler), settings);
    Exchange();
    ASSERT_TRUE(session_->ready());
  }

  // Carries bytes both ways until neither side has anything to say.
  void Exchange(size_t piece = SIZE_MAX) {
    while (true) {
      std::string up;
      ASSERT_TRUE(session_->TakeOutput(up).ok());
      ASSERT_TRUE(server_->Receive(up)) << "the client broke the protocol";
      const std::string down = server_->TakeOutput();
      for (size_t at = 0; at < down.size(); at += std::min(piece, down.size() - at)) {
        status_ = session_->Receive(std::string_view(down).substr(at, piece));
        if (!status_.ok()) return;
      }
      if (up.empty() && down.empty()) return;
    }
  }

  void OnAnswer(Call& call) override {
    ++answers_;
    if (on_answer_) on_answer_(call);
  }

  Call& Ask(OpKind kind, uint64_t key) {
    Call& call = calls_[key % kCalls];
    call.request = &requests_[kind == OpKind::kRead ? 0 : 1];
    FormatDigits(key, call.request->digits_size, call.digits);
    EXPECT_TRUE(session_->Submit(call).ok());
    return call;
  }

  static constexpr uint32_t kCalls = 32;
  LoadOptions options_;
  std::vector<Request> requests_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<FakeSession> server_;
  std::vector<Call> calls_{kCalls};
  std::function<void(Call&)> on_answer_;
  uint64_t answers_ = 0;
  absl::Status status_;
};

TEST_P(SessionTest, CarriesRequestAndAnswer) {
  std::string path, message;
  Start([&](std::string_view p, std::string_view m) {
    path = p, message = m;
    return FakeReply{.message = "hello"};
  });
  const Call& call = Ask(OpKind::kRead, 3);
  Exchange();
  EXPECT_EQ(answers_, 1u);
  EXPECT_EQ(path, "/api.KV/Get");
  EXPECT_EQ(message.substr(2), "key:000000000003");
  EXPECT_EQ(call.status.http, 200);
  EXPECT_EQ(call.status.grpc, 0);
  EXPECT_FALSE(call.reset);
  EXPECT_FALSE(call.open);
  EXPECT_EQ(call.body, std::string("\0\0\0\0\5hello", 10));
}

// Method: each answer asks again, on 32 streams, both kinds, bytes torn at every place.
TEST_P(SessionTest, KeepsManyCallsApartThroughTornReads) {
  Start([](std::string_view path, std::string_view message) {
    // The key's text is the answer, so that a mix-up shows; some calls fail.
    const std::string key(message.substr(2, 16));
    if (key.back() == '7') return FakeReply{.grpc_status = "5", .trailers_only = true};
    return FakeReply{.message = std::string(path) + key};
  });
  uint64_t next = 0;
  const auto ask = [&](Call& call) {
    const uint64_t key = next++;
    call.request = &requests_[key % 2];
    call.started_ns = key;
    FormatDigits(key, call.request->digits_size, call.digits);
    ASSERT_TRUE(session_->Submit(call).ok());
  };
  on_answer_ = [&](Call& call) {
    if (call.started_ns % 10 == 7) {
      EXPECT_EQ(call.status.grpc, 5);
    } else {
      EXPECT_EQ(call.status.grpc, 0);
      const std::string expected =
          fmt::format("/api.KV/{}key:{:012}", call.started_ns % 2 ? "Set" : "Get", call.started_ns);
      EXPECT_EQ(call.body.substr(5), expected);
    }
    if (next < 3000) ask(call);
  };
  for (Call& call : calls_) ask(call);
  for (size_t piece = 1; answers_ < 3000 && !HasFailure(); ++piece) {
    std::string up;
    ASSERT_TRUE(session_->TakeOutput(up).ok());
    ASSERT_TRUE(server_->Receive(up));
    const std::string down = server_->TakeOutput();
    for (size_t at = 0; at < down.size(); at += piece) {
      ASSERT_TRUE(session_->Receive(std::string_view(down).substr(at, piece)).ok());
    }
  }
  EXPECT_EQ(answers_, 3000u);
  EXPECT_EQ(server_->calls(), 3000u);
}

TEST_P(SessionTest, SendsLargeMessagesThroughSmallWindows) {
  options_.value_bytes = 300'000;
  uint64_t whole = 0;
  const size_t expected = MakeWrite(options_).message.size() - 5;
  Start(
      [&](std::string_view, std::string_view message) {
        whole += message.size() == expected ? 1 : 0;
        return FakeReply{.message = "ok"};
      },
      {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 10'000}});
  for (uint64_t key = 0; key < 10; ++key) Ask(OpKind::kWrite, key);
  Ask(OpKind::kRead, 11);
  Exchange();
  EXPECT_EQ(answers_, 11u);
  EXPECT_EQ(whole, 10u);
}

TEST_P(SessionTest, ReceivesLargeAnswers) {
  constexpr size_t kAnswerBytes = 9 << 20;
  Start([&](std::string_view, std::string_view) {
    return FakeReply{.message = std::string(kAnswerBytes, 'v')};
  });
  // Together more than the connection's window, so that it has to be opened again.
  for (int round = 0; round < 30; ++round) {
    Ask(OpKind::kRead, 1);
    Exchange(16 << 10);
    ASSERT_EQ(calls_[1].body.size(), kAnswerBytes + 5);
    ASSERT_EQ(calls_[1].status.grpc, 0);
  }
}

TEST_P(SessionTest, ReportsWhatIsNoGrpcAnswer) {
  FakeReply reply;
  Start([&](std::string_view, std::string_view) { return reply; });
  reply = {.grpc_status = ""};
  Ask(OpKind::kRead, 1);
  Exchange();
  EXPECT_EQ(calls_[1].status.http, 200);
  EXPECT_EQ(calls_[1].status.grpc, kNoStatus);
  reply = {.http_status = "404", .grpc_status = ""};
  Ask(OpKind::kRead, 2);
  Exchange();
  EXPECT_EQ(calls_[2].status.http, 404);
  reply = {.reset = true};
  Ask(OpKind::kRead, 3);
  Exchange();
  EXPECT_TRUE(calls_[3].reset);
  EXPECT_EQ(answers_, 3u);
}

TEST_P(SessionTest, AnswersPings) {
  Start([](std::string_view, std::string_view) { return FakeReply{}; });
  server_->Ping();
  Exchange();
  EXPECT_EQ(server_->pings_answered(), 1u);
}

TEST_P(SessionTest, KnowsTheServersLimitOfStreams) {
  Start([](std::string_view, std::string_view) { return FakeReply{}; },
        {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 5}});
  EXPECT_EQ(session_->calls_max(), 5u);
}

TEST_P(SessionTest, WorksWithoutAHeaderTable) {
  Start([](std::string_view, std::string_view) { return FakeReply{.message = "x"}; },
        {{NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0}});
  for (uint64_t key = 0; key < 10; ++key) {
    Ask(key % 2 == 0 ? OpKind::kRead : OpKind::kWrite, key);
    Exchange();
  }
  EXPECT_EQ(answers_, 10u);
  EXPECT_EQ(calls_[9].status.grpc, 0);
}

// Goal: a call that the server never looked at ends, and no other can begin.
TEST_P(SessionTest, GoAwayEndsTheConversation) {
  Start([](std::string_view, std::string_view) { return FakeReply{}; });
  Ask(OpKind::kRead, 1);
  Exchange();
  server_->GoAway();
  Ask(OpKind::kRead, 2);  // On its way when the server decides.
  const std::string down = server_->TakeOutput();
  std::string up;
  // Whether this already ends the connection is the engine's choice.
  (void)session_->Receive(down);
  (void)session_->TakeOutput(up);
  EXPECT_EQ(answers_, 2u);
  EXPECT_TRUE(calls_[2].reset);
  calls_[3].request = &requests_[0];
  EXPECT_FALSE(session_->Submit(calls_[3]).ok());
  EXPECT_FALSE(calls_[3].open);
}

TEST_P(SessionTest, RefusesAServerThatSpeaksSomethingElse) {
  requests_ = {MakeRead(options_)};
  const SessionOptions options = {
      .scheme = "http", .authority = "localhost:1", .requests = requests_, .calls = 1};
  const std::unique_ptr<Session> session = GetParam() == Engine::kLean
                                               ? NewLeanSession(options, *this)
                                               : NewNghttp2Session(options, *this);
  std::string up;
  const bool received =
      session->Receive("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").ok();
  EXPECT_FALSE(received && session->TakeOutput(up).ok());
  EXPECT_FALSE(session->ready());
}

INSTANTIATE_TEST_SUITE_P(Engines, SessionTest, testing::Values(Engine::kLean, Engine::kNghttp2),
                         [](const auto& info) {
                           return info.param == Engine::kLean ? "Lean" : "Nghttp2";
                         });

// Frames that nghttp2's server side never sends, written out by hand.
class LeanSessionTest : public testing::Test, public AnswerSink {
 protected:
  void SetUp() override {
    session_ = NewLeanSession(
        {.scheme = "http", .authority = "a", .requests = requests_, .calls = 1}, *this);
    ASSERT_TRUE(session_->Receive(Frame(4, 0, 0, "")).ok());
    call_.request = &requests_[0];
    ASSERT_TRUE(session_->Submit(call_).ok());
  }

  void OnAnswer(Call&) override { ++answers_; }

  static std::string Frame(int type, int flags, int stream, const std::string& payload) {
    std::string frame = {static_cast<char>(payload.size() >> 16),
                         static_cast<char>(payload.size() >> 8),
                         static_cast<char>(payload.size()),
                         static_cast<char>(type),
                         static_cast<char>(flags),
                         0,
                         0,
                         0,
                         static_cast<char>(stream)};
    return frame + payload;
  }

  std::vector<Request> requests_ = {MakeRead(LoadOptions())};
  std::unique_ptr<Session> session_;
  Call call_;
  int answers_ = 0;
};

TEST_F(LeanSessionTest, TakesPaddingPriorityAndContinuation) {
  // :status 200, with 2 bytes of padding and a priority.
  const std::string headers = Frame(1, 0x8 | 0x20 | 0x4, 1, std::string("\2\0\0\0\0\0\x88\0\0", 9));
  const std::string data = Frame(0, 0x8, 1, std::string("\1\0\0\0\0\1x\0", 8));
  // grpc-status: 0 as a literal, in two frames.
  const std::string trailers =
      Frame(1, 0x1, 1, std::string("\0\x0bgrpc-", 7)) + Frame(9, 0x4, 1,
                                                              std::string("status\1"
                                                                          "0",
                                                                          8));
  ASSERT_TRUE(session_->Receive(headers + data + Frame(200, 0, 1, "unknown type") + trailers).ok());
  EXPECT_EQ(answers_, 1);
  EXPECT_EQ(call_.status.http, 200);
  EXPECT_EQ(call_.status.grpc, 0);
  EXPECT_EQ(call_.body, std::string("\0\0\0\0\1x", 6));
}

TEST_F(LeanSessionTest, RefusesMalformedFrames) {
  const std::string malformed[] = {
      Frame(0, 0x8, 1, std::string("\7x", 2)),  // More padding than there are bytes.
      Frame(1, 0x20 | 0x4, 1, "abc"),           // Too short for a priority.
      Frame(1, 0x4, 1, "\xbe"),                 // An index outside the table.
      Frame(3, 0, 1, "abc"),
      Frame(4, 0, 0, "abc"),
      Frame(5, 0, 1, "abc"),
      Frame(6, 0, 0, "abc"),
      Frame(7, 0, 0, "abc"),
      Frame(8, 0, 0, "abc"),
      Frame(9, 0, 1, "abc"),                         // Continues nothing.
      Frame(1, 0, 1, "\x88") + Frame(0, 0, 1, "x"),  // Breaks a header block off.
      Frame(0, 0, 1, std::string(16385, 'x')),
  };
  for (const std::string& frames : malformed) {
    SetUp();
    EXPECT_FALSE(session_->Receive(frames).ok()) << static_cast<int>(frames[3]);
  }
}

// A server may answer before it has the whole request (a message over its limit, say).
TEST_F(LeanSessionTest, StopsSendingWhenAnsweredEarly) {
  LoadOptions options;
  options.value_bytes = 1 << 20;
  const Request large = MakeWrite(options);
  Call call;
  call.request = &large;
  ASSERT_TRUE(session_->Submit(call).ok());
  std::string out;
  ASSERT_TRUE(session_->TakeOutput(out).ok());
  EXPECT_LT(out.size(), 70'000u) << "more than the windows allow";
  const std::string trailers_only = "\x88" + std::string(
                                                 "\0\x0bgrpc-status\1"
                                                 "8",
                                                 15);
  ASSERT_TRUE(session_->Receive(Frame(1, 0x4 | 0x1, 3, trailers_only)).ok());
  EXPECT_EQ(answers_, 1);
  EXPECT_EQ(call.status.grpc, 8);
  out.clear();
  ASSERT_TRUE(session_->TakeOutput(out).ok());
  EXPECT_EQ(out, Frame(3, 0, 3, std::string("\0\0\0\x08", 4)));
}

}  // namespace
}  // namespace mokv::load
