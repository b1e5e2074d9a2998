#include "rpc/responder.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/status.h"

namespace mokv::rpc {
namespace {

class Recorded final : public CompletionSink {
 public:
  void Complete(Completion completion) override { completions.push_back(std::move(completion)); }
  std::vector<Completion> completions;
};

class Empty final : public MessageSource {
 public:
  Next Produce(std::string*) override { return Next::kEnd; }
};

class ResponderTest : public testing::Test {
 protected:
  Responder New() { return Responder(sink_, {.connection = 7, .stream = 3}); }

  // The only completion that there has been, and that it is for the right call.
  const Completion& Only() {
    EXPECT_EQ(sink_.completions.size(), 1u);
    EXPECT_EQ(sink_.completions.at(0).call.connection, 7u);
    EXPECT_EQ(sink_.completions.at(0).call.stream, 3);
    return sink_.completions.at(0);
  }

  Recorded sink_;
};

TEST_F(ResponderTest, DestroyedUnusedAnswersInternal) {
  { const Responder unused = New(); }
  EXPECT_EQ(Only().status, absl::InternalError("the handler gave no answer"));
}

TEST_F(ResponderTest, AnswersOnceWithAMessage) {
  {
    Responder responder = New();
    responder.Finish("hello");
    EXPECT_EQ(sink_.completions.size(), 1u);
  }
  EXPECT_TRUE(Only().status.ok());
  EXPECT_EQ(Only().message, "hello");
  EXPECT_FALSE(Only().wake);
}

TEST_F(ResponderTest, AnswersOnceWithAFailure) {
  {
    Responder responder = New();
    responder.Fail(absl::NotFoundError("no key"), {{"fate", "not-done"}});
  }
  EXPECT_EQ(Only().status, absl::NotFoundError("no key"));
  EXPECT_EQ(Only().trailers, (Metadata{{"fate", "not-done"}}));
}

// Whoever moves a responder into a callback has the duty to answer no more.
TEST_F(ResponderTest, MovedFromAnswersNothing) {
  {
    Responder first = New();
    Responder second = std::move(first);
    { const Responder third = std::move(second); }
    EXPECT_EQ(sink_.completions.size(), 1u);
  }
  EXPECT_EQ(Only().status.code(), absl::StatusCode::kInternal);
}

TEST_F(ResponderTest, SecondAnswerIsOurBug) {
  EXPECT_DEATH(
      {
        Responder responder = New();
        responder.Finish("");
        responder.Finish("");
      },
      "sink_");
  EXPECT_DEATH(New().Fail(absl::OkStatus()), "ok");
}

TEST_F(ResponderTest, TrailersThatCouldNotBeSentAreOurBug) {
  const absl::Status status = absl::AbortedError("no");
  EXPECT_DEATH(New().Fail(status, {{"Fate", "x"}}), "IsMetadata");
  EXPECT_DEATH(New().Fail(status, {{"grpc-status", "0"}}), "IsMetadata");
  EXPECT_DEATH(New().Fail(status, {{"fate", "a\r\nb: c"}}), "IsMetadata");
  EXPECT_DEATH(New().Fail(status, Metadata(kMetadataEntriesMax + 1, {"fate", "x"})),
               "kMetadataEntriesMax");
}

TEST_F(ResponderTest, StreamStartsOrFailsOnce) {
  {
    StreamResponder responder(New());
    responder.Start(std::make_unique<Empty>());
  }
  EXPECT_NE(Only().source, nullptr);
  sink_.completions.clear();
  {
    StreamResponder responder(New());
    responder.Fail(absl::AbortedError("not now"));
  }
  EXPECT_EQ(Only().status, absl::AbortedError("not now"));
  sink_.completions.clear();
  { const StreamResponder unused(New()); }
  EXPECT_EQ(Only().status.code(), absl::StatusCode::kInternal);
}

TEST_F(ResponderTest, WakerMayWakeOftenAndAnswersNothing) {
  const StreamWaker waker(sink_, {.connection = 7, .stream = 3});
  const StreamWaker copy = waker;
  waker.Wake();
  copy.Wake();
  ASSERT_EQ(sink_.completions.size(), 2u);
  for (const Completion& completion : sink_.completions) EXPECT_TRUE(completion.wake);
}

}  // namespace
}  // namespace mokv::rpc
