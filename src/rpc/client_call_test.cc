#include "rpc/client_call.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <string>

#include "rpc/testing/raw_http2.h"

namespace mokv::rpc {
namespace {

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

  ClientCall call_;
  int ends_ = 0;
  CallEnd end_;
  std::string response_;
};

TEST_F(ClientCallTest, TellsTheAnswersTrailers) {
  call_.TakeHeader(":status", "200", /*is_last=*/true);
  call_.TakeHeader("content-type", "application/grpc", true);
  call_.TakeHeader("grpc-status", "9", true);
  call_.TakeHeader("fate", "not-done", true);
  call_.TakeHeader("grpc-status-details-bin", "AA", true);
  call_.End(NGHTTP2_NO_ERROR);
  EXPECT_EQ(end_.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(end_.trailers, (Metadata{{"fate", "not-done"}}));
  EXPECT_EQ(end_.reached, Reached::kMaybe);
}

// What comes before the messages says nothing of how the call ended.
TEST_F(ClientCallTest, HeadersBeforeTheMessagesAreNoTrailers) {
  call_.TakeHeader(":status", "200", /*is_last=*/false);
  call_.TakeHeader("fate", "early", false);
  EXPECT_TRUE(call_.TakeData(Message("hello"), 100).ok());
  call_.TakeHeader("grpc-status", "0", true);
  call_.TakeHeader("fate", "late", true);
  call_.End(NGHTTP2_NO_ERROR);
  EXPECT_TRUE(end_.status.ok());
  EXPECT_EQ(response_, "hello");
  EXPECT_EQ(end_.trailers, (Metadata{{"fate", "late"}}));
}

// Goal: what a proxy says of itself does not pass for a word of the server.
TEST_F(ClientCallTest, AnAnswerWithoutGrpcStatusHasNoTrailers) {
  call_.TakeHeader(":status", "503", true);
  call_.TakeHeader("fate", "not-done", true);
  call_.End(NGHTTP2_NO_ERROR);
  EXPECT_EQ(end_.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(end_.trailers, Metadata());
  EXPECT_EQ(end_.reached, Reached::kMaybe);
}

TEST_F(ClientCallTest, OurOwnFailureOverrulesTheServersWords) {
  call_.TakeHeader("grpc-status", "9", true);
  call_.TakeHeader("fate", "not-done", true);
  call_.failure = absl::DeadlineExceededError("deadline exceeded");
  call_.End(NGHTTP2_CANCEL);
  EXPECT_EQ(end_.status, call_.failure);
  EXPECT_EQ(end_.trailers, Metadata());
}

TEST_F(ClientCallTest, KeepsABoundedAmountOfTrailers) {
  call_.TakeHeader("grpc-status", "9", true);
  call_.TakeHeader("first", "kept", true);
  for (int i = 0; i < 1'000; ++i) call_.TakeHeader("more", std::string(100, 'x'), true);
  call_.End(NGHTTP2_NO_ERROR);
  ASSERT_GT(end_.trailers.size(), 2u);
  EXPECT_LT(end_.trailers.size(), kMetadataBytesMax / 100);
  EXPECT_EQ(end_.trailers[0], (MetadataEntry{"first", "kept"}));
}

TEST_F(ClientCallTest, SaysWhetherTheServerMayHaveIt) {
  const auto reached = [](bool sent, uint32_t error) {
    ClientCall call;
    Reached found = Reached::kNo;
    call.stream_done = [&](const CallEnd& end) { found = end.reached; };
    call.sent = sent;
    call.End(error);
    return found;
  };
  EXPECT_EQ(reached(true, NGHTTP2_INTERNAL_ERROR), Reached::kMaybe);
  EXPECT_EQ(reached(false, NGHTTP2_CANCEL), Reached::kNo);
  // RFC 9113, 8.7: it was not looked at.
  EXPECT_EQ(reached(true, NGHTTP2_REFUSED_STREAM), Reached::kNo);
}

TEST_F(ClientCallTest, TellsItsEndOnce) {
  call_.Finish(absl::CancelledError("first"));
  call_.Finish(absl::CancelledError("second"));
  call_.End(NGHTTP2_NO_ERROR);
  EXPECT_EQ(ends_, 1);
  EXPECT_EQ(end_.status, absl::CancelledError("first"));
  EXPECT_EQ(end_.reached, Reached::kMaybe);
}

}  // namespace
}  // namespace mokv::rpc
