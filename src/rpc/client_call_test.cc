#include "rpc/client_call.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <string>
#include <vector>

#include "rpc/testing/raw_http2.h"

namespace mokv::rpc {
namespace {

constexpr uint64_t kMessageBytesMax = 100'000;

void TakeHeaders(ClientCall& call, const Headers& headers, bool is_last) {
  call.BeginHeaders(is_last);
  for (const auto& [name, value] : headers) call.TakeHeader(name, value);
}

// What comes before the messages.
void Lead(ClientCall& call, Headers more = {}) {
  more.emplace_back(":status", "200");
  more.emplace_back("content-type", "application/grpc+proto");
  TakeHeaders(call, more, /*is_last=*/false);
}

class ClientCallTest : public testing::Test {
 protected:
  ClientCallTest() {
    call_.unary_done = [this](const CallEnd& end, std::string_view response) {
      ++ends_;
      end_ = end;
      response_ = response;
    };
    call_.sent = true;
  }

  absl::Status Data(std::string_view bytes) {
    return call_.TakeData(bytes, kMessageBytesMax).status;
  }
  void End(const Headers& trailers) {
    TakeHeaders(call_, trailers, /*is_last=*/true);
    EXPECT_TRUE(call_.EndHeaders().ok());
    call_.EndWithAnswer();
  }

  ClientCall call_;
  int ends_ = 0;
  CallEnd end_;
  std::string response_;
};

TEST_F(ClientCallTest, TellsTheAnswersTrailers) {
  End({{":status", "200"},
       {"content-type", "application/grpc"},
       {"grpc-status", "9"},
       {"fate", "not-done"},
       {"grpc-status-details-bin", "AA"},
       {"cause-bin", "AAH/"}});
  EXPECT_EQ(end_.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(end_.trailers,
            (Metadata{{"fate", "not-done"}, {"cause-bin", std::string("\0\x01\xff", 3)}}));
  EXPECT_EQ(end_.reached, Reached::kMaybe);
}

// What comes before the messages says nothing of how the call ended.
TEST_F(ClientCallTest, HeadersBeforeTheMessagesAreNoTrailers) {
  Lead(call_, {{"fate", "early"}});
  EXPECT_TRUE(Data(Message("hello")).ok());
  End({{"grpc-status", "0"}, {"fate", "late"}});
  EXPECT_TRUE(end_.status.ok());
  EXPECT_EQ(response_, "hello");
  EXPECT_EQ(end_.trailers, (Metadata{{"fate", "late"}}));
}

// RFC 9110, 15.2: there may be any number of them before the answer.
TEST_F(ClientCallTest, PassesOverInformationalHeaders) {
  for (const char* status : {"100", "103"}) {
    TakeHeaders(call_, {{":status", status}, {"grpc-status", "13"}, {"fate", "x"}}, false);
    EXPECT_TRUE(call_.EndHeaders().ok());
  }
  Lead(call_);
  EXPECT_TRUE(Data(Message("hello")).ok());
  End({{"grpc-status", "0"}});
  EXPECT_TRUE(end_.status.ok()) << end_.status;
  EXPECT_EQ(end_.trailers, Metadata());
}

// Goal: what a proxy says of itself does not pass for a word of the server.
TEST_F(ClientCallTest, AnAnswerWithoutGrpcStatusHasNoTrailers) {
  End({{":status", "503"}, {"fate", "not-done"}});
  EXPECT_EQ(end_.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(end_.trailers, Metadata());
  EXPECT_EQ(end_.reached, Reached::kMaybe);
}

TEST_F(ClientCallTest, APageIsNoMessage) {
  TakeHeaders(call_, {{":status", "502"}, {"content-type", "text/html"}}, false);
  EXPECT_TRUE(call_.EndHeaders().ok());
  EXPECT_EQ(Data("<html>").code(), absl::StatusCode::kUnavailable);
}

TEST_F(ClientCallTest, OurOwnFailureOverrulesTheServersWords) {
  TakeHeaders(call_, {{":status", "200"}, {"grpc-status", "9"}, {"fate", "x"}}, true);
  call_.Finish(absl::DeadlineExceededError("deadline exceeded"));
  call_.EndWithAnswer();
  EXPECT_EQ(ends_, 1);
  EXPECT_EQ(end_.status, absl::DeadlineExceededError("deadline exceeded"));
  EXPECT_EQ(end_.trailers, Metadata());
}

// As gRPC's clients have it. (HTTP/2 counts 32 bytes for each entry.)
TEST_F(ClientCallTest, TooMuchMetadataEndsTheCall) {
  const auto take = [&](size_t bytes) {
    constexpr size_t kEntryBytes = 32 + 4 + 92;
    Headers headers = {{":status", "200"}, {"grpc-status", "0"}};
    for (; bytes >= 2 * kEntryBytes; bytes -= kEntryBytes) {
      headers.emplace_back("more", std::string(92, 'x'));
    }
    headers.emplace_back("rest", std::string(bytes - 32 - 4, 'x'));
    TakeHeaders(call_, headers, true);
    return call_.EndHeaders();
  };
  EXPECT_TRUE(take(kMetadataBytesMax).ok());
  EXPECT_EQ(take(kMetadataBytesMax + 1).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ClientCallTest, AMessageThatIsCutOffIsAnError) {
  Lead(call_);
  EXPECT_TRUE(Data(Message("hello").substr(0, 7)).ok());
  End({{"grpc-status", "0"}});
  EXPECT_EQ(end_.status.code(), absl::StatusCode::kInternal);
}

TEST_F(ClientCallTest, TakesCompressedMessages) {
  const std::string text(5'000, 'x');
  std::string compressed;
  Gzip(text, &compressed);
  Lead(call_, {{"grpc-encoding", "gzip"}});
  EXPECT_TRUE(Data(Message(compressed, /*compressed=*/true)).ok());
  End({{"grpc-status", "0"}});
  EXPECT_TRUE(end_.status.ok()) << end_.status;
  EXPECT_EQ(response_, text);
}

TEST_F(ClientCallTest, BoundsWhatACompressedMessageHolds) {
  std::string compressed;
  Gzip(std::string(kMessageBytesMax + 1, 'x'), &compressed);
  Lead(call_, {{"grpc-encoding", "gzip"}});
  EXPECT_EQ(Data(Message(compressed, true)).code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ClientCallTest, CompressionThatWasNotNamedOrIsNotKnownIsAnError) {
  for (const char* encoding : {"identity", "snappy"}) {
    ClientCall call;
    call.stream_done = [](const CallEnd&) {};
    call.on_message = [](std::string_view) {};
    Lead(call, {{"grpc-encoding", encoding}});
    // It may not be used at all.
    EXPECT_TRUE(call.TakeData(Message("plain"), kMessageBytesMax).status.ok());
    EXPECT_EQ(call.TakeData(Message("x", true), kMessageBytesMax).status.code(),
              absl::StatusCode::kInternal);
  }
}

TEST_F(ClientCallTest, SaysWhetherTheServerMayHaveIt) {
  const auto reached = [](bool sent, uint32_t error) {
    ClientCall call;
    Reached found = Reached::kNo;
    call.stream_done = [&](const CallEnd& end) { found = end.reached; };
    call.sent = sent;
    call.EndWithReset(error);
    return found;
  };
  EXPECT_EQ(reached(true, NGHTTP2_INTERNAL_ERROR), Reached::kMaybe);
  EXPECT_EQ(reached(false, NGHTTP2_CANCEL), Reached::kNo);
  // RFC 9113, 8.7: it was not looked at.
  EXPECT_EQ(reached(true, NGHTTP2_REFUSED_STREAM), Reached::kNo);
}

// gRPC's PROTOCOL-HTTP2 document, "Errors".
TEST_F(ClientCallTest, ResetsMeanWhatGrpcSays) {
  const auto code = [](uint32_t error) {
    ClientCall call;
    absl::StatusCode found = absl::StatusCode::kOk;
    call.stream_done = [&](const CallEnd& end) { found = end.status.code(); };
    call.EndWithReset(error);
    return found;
  };
  for (uint32_t error = NGHTTP2_NO_ERROR; error <= NGHTTP2_HTTP_1_1_REQUIRED; ++error) {
    absl::StatusCode expected = absl::StatusCode::kInternal;
    if (error == NGHTTP2_REFUSED_STREAM) expected = absl::StatusCode::kUnavailable;
    if (error == NGHTTP2_CANCEL) expected = absl::StatusCode::kCancelled;
    if (error == NGHTTP2_ENHANCE_YOUR_CALM) expected = absl::StatusCode::kResourceExhausted;
    if (error == NGHTTP2_INADEQUATE_SECURITY) expected = absl::StatusCode::kPermissionDenied;
    EXPECT_EQ(code(error), expected) << error;
  }
}

TEST_F(ClientCallTest, TellsItsEndOnce) {
  call_.Finish(absl::CancelledError("first"));
  call_.Finish(absl::CancelledError("second"));
  call_.EndWithReset(NGHTTP2_NO_ERROR);
  EXPECT_EQ(ends_, 1);
  EXPECT_EQ(end_.status, absl::CancelledError("first"));
  EXPECT_EQ(end_.reached, Reached::kMaybe);
}

// An exchange without a channel around it, whose room the test gives.
class Recorder final : public ClientExchange {
 public:
  struct Seen {
    std::vector<std::string> events;
    int room = 0;
  };
  explicit Recorder(Seen& seen) : seen_(seen) {}

  Next Produce(std::string*) override { return Next::kEnd; }
  bool HasRoom() const override { return seen_.room > 0; }
  void Take(const ReceivedMessage& message) override {
    --seen_.room;
    seen_.events.emplace_back(message.bytes);
  }
  void End() override { seen_.events.emplace_back("End"); }
  void OnLeading(const Metadata& leading) override {
    for (const MetadataEntry& entry : leading) seen_.events.push_back(entry.name);
  }
  void OnEnd(const CallEnd& end) override { seen_.events.emplace_back(end.status.ToString()); }

 private:
  Seen& seen_;
};

// Goal: a slow reader gets all messages, one by one, and the end after them.
TEST(ClientCallExchange, MessagesWaitForRoom) {
  Recorder::Seen seen;
  ClientCall call;
  call.exchange = std::make_unique<Recorder>(seen);
  Lead(call, {{"greeting", "hello"}});
  EXPECT_TRUE(call.EndHeaders().ok());
  const std::string one = Message("one");
  // Nothing is given back for what waits.
  EXPECT_EQ(call.TakeData(one + Message("two"), kMessageBytesMax).released_bytes, 0u);
  TakeHeaders(call, {{"grpc-status", "0"}}, true);
  EXPECT_TRUE(call.EndHeaders().ok());
  EXPECT_TRUE(call.blocked());
  EXPECT_EQ(seen.events, std::vector<std::string>({"greeting"}));
  seen.room = 1;
  EXPECT_EQ(call.TakeData({}, kMessageBytesMax).released_bytes, one.size());
  EXPECT_TRUE(call.blocked());
  seen.room = 1;
  call.TakeData({}, kMessageBytesMax);
  EXPECT_FALSE(call.blocked());
  call.EndWithAnswer();
  EXPECT_EQ(seen.events, std::vector<std::string>({"greeting", "one", "two", "End", "OK"}));
  EXPECT_EQ(call.exchange, nullptr);
}

TEST(ClientCallExchange, ACallThatIsCutOffHasNoEndOfMessages) {
  Recorder::Seen seen;
  ClientCall call;
  call.exchange = std::make_unique<Recorder>(seen);
  call.Finish(absl::CancelledError("x"));
  EXPECT_EQ(seen.events, std::vector<std::string>({"CANCELLED: x"}));
}

}  // namespace
}  // namespace mokv::rpc
