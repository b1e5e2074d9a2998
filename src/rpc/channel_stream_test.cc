// Calls of all kinds between a channel and a server of ours.
#include <gtest/gtest.h>

#include <deque>

#include "base/status.h"
#include "net/testing/loopback.h"
#include "net/testing/wait.h"
#include "rpc/channel.h"
#include "rpc/server.h"
#include "rpc/testing/channel_call.h"
#include "rpc/testing/conversation.h"

namespace mokv::rpc {
namespace {

using net::Until;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Next = MessageSource::Next;

// Says each message again.
class Echoer final : public MessageExchange {
 public:
  explicit Echoer(std::atomic<int>& gone) : gone_(gone) {}
  ~Echoer() override { ++gone_; }
  bool HasRoom() const override { return queue_.size() < 4; }
  void Take(const ReceivedMessage& message) override { queue_.emplace_back(message.bytes); }
  void End() override { ended_ = true; }
  Next Produce(std::string* message) override {
    if (queue_.empty()) return ended_ ? Next::kEnd : Next::kWait;
    *message += queue_.front();
    queue_.pop_front();
    return Next::kMessage;
  }
  absl::Status status() const override { return absl::OkStatus(); }
  Metadata trailers() const override { return {{"bye", "x"}, {"bytes-bin", "\xff"}}; }

 private:
  std::atomic<int>& gone_;
  std::deque<std::string> queue_;
  bool ended_ = false;
};

// Never stops, and counts.
class Endless final : public MessageSource {
 public:
  explicit Endless(std::atomic<size_t>& made) : made_(made) {}
  Next Produce(std::string* message) override {
    ++made_;
    message->append(kBytes, 'x');
    return Next::kMessage;
  }
  static constexpr size_t kBytes = 1000;

 private:
  std::atomic<size_t>& made_;
};

// Takes nothing, and says nothing until it is gone.
class Deaf final : public MessageExchange {
 public:
  explicit Deaf(std::atomic<int>& alive) : alive_(alive) { ++alive_; }
  ~Deaf() override { --alive_; }
  bool HasRoom() const override { return false; }
  void Take(const ReceivedMessage&) override {}
  Next Produce(std::string*) override { return Next::kWait; }

 private:
  std::atomic<int>& alive_;
};

// Ends after the first message, whatever else the client has to say.
class Curt final : public MessageExchange {
 public:
  void Take(const ReceivedMessage&) override { heard_ = true; }
  Next Produce(std::string*) override { return heard_ ? Next::kEnd : Next::kWait; }
  absl::Status status() const override { return absl::AlreadyExistsError("enough"); }

 private:
  bool heard_ = false;
};

class ChannelStreamTest : public testing::Test {
 protected:
  ChannelStreamTest() : server_(server_pool_, {.message_bytes_max = 64 << 20}, nullptr) {
    server_.AddUnary("/t.T/Unary", [](UnaryCall& call) {
      call.response() += call.request();
      call.Finish();
    });
    server_.AddBidi("/t.T/Echo", [this](BidiCall& call) {
      call.AddLeading({"hello", std::string(call.metadata("name"))});
      for (const std::string& value : call.metadata_values("raw-bin")) {
        call.AddLeading({"raw-bin", value});
      }
      call.Start(std::make_unique<Echoer>(echoed_));
    });
    server_.AddServerStream("/t.T/Endless", [this](ServerStreamCall& call) {
      call.Start(std::make_unique<Endless>(made_));
    });
    server_.AddBidi("/t.T/Deaf",
                    [this](BidiCall& call) { call.Start(std::make_unique<Deaf>(deaf_)); });
    server_.AddBidi("/t.T/Curt", [](BidiCall& call) { call.Start(std::make_unique<Curt>()); });
    listener_ = net::BindLoopback(server_pool_, server_.protocol());
    server_pool_.Start();
    pool_.Start();
    listener_->Start();
    channel_ = std::make_unique<Channel>(pool_.thread(0), Options());
  }
  ~ChannelStreamTest() override {
    channel_.reset();
    listener_->Stop();
    server_pool_.Stop();
    pool_.Stop();
  }

  Channel::Options Options() const { return {.target = {"127.0.0.1", listener_->port()}}; }

  std::atomic<size_t> made_ = 0;
  std::atomic<int> deaf_ = 0;
  std::atomic<int> echoed_ = 0;  // Calls of Echo that are over.
  net::IoPool server_pool_{1};
  net::IoPool pool_{1};
  Server server_;
  std::unique_ptr<net::Listener> listener_;
  std::unique_ptr<Channel> channel_;
};

TEST_F(ChannelStreamTest, EchoesMessagesInBothDirections) {
  Conversation talk;
  std::vector<std::string> messages;
  for (int i = 0; i < 1000; ++i) messages.push_back("message " + std::to_string(i));
  messages.emplace_back();
  talk.produce = Saying(messages);
  Begin(*channel_, "/t.T/Echo", talk);
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_TRUE(talk.end().status.ok()) << talk.end().status;
  EXPECT_EQ(talk.messages, messages);
  EXPECT_EQ(talk.messages_ends, 1);
  EXPECT_EQ(talk.end().trailers, (Metadata{{"bye", "x"}, {"bytes-bin", "\xff"}}));
  EXPECT_EQ(talk.end().reached, Reached::kMaybe);
}

// Each message is the answer to the one before: neither side may need a Wake for that.
TEST_F(ChannelStreamTest, PingPong) {
  Conversation talk;
  talk.produce = [&](std::string* message) {
    if (talk.made == 100) return Next::kEnd;
    if (talk.made > talk.taken) return Next::kWait;
    *message += std::to_string(talk.made);
    return Next::kMessage;
  };
  Begin(*channel_, "/t.T/Echo", talk);
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_TRUE(talk.end().status.ok()) << talk.end().status;
  EXPECT_EQ(talk.messages.size(), 100u);
}

TEST_F(ChannelStreamTest, CarriesMetadataBothWays) {
  const std::string bytes("\0\xff,=", 4);
  Conversation talk;
  Begin(*channel_, "/t.T/Echo", talk,
        {.timeout = seconds(60),
         .metadata = {{"name", "someone"}, {"raw-bin", bytes}, {"raw-bin", ""}}});
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_TRUE(talk.end().status.ok()) << talk.end().status;
  ASSERT_EQ(talk.leadings.size(), 1u);
  EXPECT_EQ(talk.leadings[0],
            (Metadata{{"hello", "someone"}, {"raw-bin", bytes}, {"raw-bin", ""}}));
}

TEST_F(ChannelStreamTest, CompressesBothWays) {
  Conversation talk;
  const std::vector<std::string> messages = {std::string(100'000, 'x'), "short"};
  talk.produce = Saying(messages);
  Begin(*channel_, "/t.T/Echo", talk, {.timeout = seconds(60), .compress = true});
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_TRUE(talk.end().status.ok()) << talk.end().status;
  EXPECT_EQ(talk.messages, messages);
}

// Goal: a message may be larger than each window, of the stream and of the connection.
TEST_F(ChannelStreamTest, PassesMessagesLargerThanAnyWindow) {
  Conversation talk;
  const std::vector<std::string> messages = {std::string(size_t{20} << 20, 'a'),
                                             std::string(size_t{20} << 20, 'b')};
  talk.produce = Saying(messages);
  Begin(*channel_, "/t.T/Echo", talk);
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_TRUE(talk.end().status.ok()) << talk.end().status;
  EXPECT_TRUE(talk.messages == messages);
}

// Goal:   a slow reader slows its writer, and nobody else on the connection.
// Method: five streams without room; what the server makes for them comes to an end.
TEST_F(ChannelStreamTest, SlowReadersSlowTheirWriters) {
  constexpr size_t kStreams = 5;
  std::vector<std::unique_ptr<Conversation>> talks;
  std::vector<CallHandle> handles;
  std::atomic<bool> room = false;
  for (size_t i = 0; i < kStreams; ++i) {
    talks.push_back(std::make_unique<Conversation>());
    talks.back()->has_room = [&] { return room.load(); };
    talks.back()->produce = Saying({""});
    handles.push_back(Begin(*channel_, "/t.T/Endless", *talks.back()));
  }
  // Until it stands still.
  size_t made = 0;
  ASSERT_TRUE(Until([&] {
    EXPECT_TRUE(BeginCall(*channel_, "/t.T/Unary", std::string(100'000, 'x')).get().status.ok());
    return std::exchange(made, made_.load()) == made_ && made > 0;
  }));
  EXPECT_LE(made * Endless::kBytes, kStreams * (size_t{8} << 20));
  room = true;
  for (const CallHandle& handle : handles) handle.Wake();
  for (const auto& talk : talks) {
    ASSERT_TRUE(Until([&] { return talk->taken > 20'000; }));
  }
  for (const CallHandle& handle : handles) handle.Cancel();
  for (const auto& talk : talks) {
    ASSERT_TRUE(talk->WaitForEnd());
    EXPECT_EQ(talk->end().status.code(), absl::StatusCode::kCancelled);
    EXPECT_EQ(talk->messages_ends, 0);
  }
}

// Goal: the end of an answer comes after its messages, also when the server is long done with it.
TEST_F(ChannelStreamTest, MessagesThatWaitForRoomOutliveTheirStream) {
  Conversation talk;
  std::atomic<int> room = 0;
  talk.produce = Saying({"a", "b", "c"});
  talk.has_room = [&] { return room > 0; };
  talk.on_take = [&] { --room; };
  const CallHandle handle = Begin(*channel_, "/t.T/Echo", talk);
  ASSERT_TRUE(Until([&] { return echoed_ == 1 && server_.stats().calls_open == 0; }));
  listener_->Stop();
  server_.Drain(seconds(0));
  EXPECT_EQ(talk.taken, 0u);
  for (size_t i = 1; i <= 3; ++i) {
    room = 1;
    handle.Wake();
    ASSERT_TRUE(Until([&] { return talk.taken == i; }));
  }
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_TRUE(talk.end().status.ok()) << talk.end().status;
  EXPECT_EQ(talk.messages, (std::vector<std::string>{"a", "b", "c"}));
}

// A sink that gets room while its source is asked is asked, too.
TEST_F(ChannelStreamTest, ASinkIsAskedAgainAfterItsSource) {
  Conversation talk;
  bool room = false;
  talk.has_room = [&] { return room; };
  talk.produce = [&](std::string* message) {
    if (talk.made == 2) return Next::kEnd;
    if (talk.made == 1) room = true;
    *message += "x";
    return Next::kMessage;
  };
  Begin(*channel_, "/t.T/Echo", talk);
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_EQ(talk.messages.size(), 2u);
}

TEST_F(ChannelStreamTest, WakeAsksTheSourceAgain) {
  Conversation talk;
  std::atomic<bool> has_one = false;
  talk.produce = [&](std::string* message) {
    if (talk.made == 1) return Next::kEnd;
    if (!has_one) return Next::kWait;
    *message += "late";
    return Next::kMessage;
  };
  const CallHandle handle = Begin(*channel_, "/t.T/Echo", talk);
  EXPECT_TRUE(BeginCall(*channel_, "/t.T/Unary", "").get().status.ok());
  has_one = true;
  handle.Wake();
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_EQ(talk.messages, std::vector<std::string>{"late"});
}

// Goal: cancelling ends the call here at once, and at the server with all of its memory.
TEST_F(ChannelStreamTest, CancellingReachesTheServer) {
  Conversation talk;
  talk.produce = SayNothing;
  const CallHandle handle = Begin(*channel_, "/t.T/Deaf", talk);
  ASSERT_TRUE(Until([&] { return deaf_ == 1; }));
  handle.Cancel();
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_EQ(talk.end().status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(talk.end().reached, Reached::kMaybe);
  EXPECT_TRUE(Until([&] { return deaf_ == 0; }));
  handle.Cancel();
  handle.Wake();
}

TEST_F(ChannelStreamTest, DeadlinesReachTheServer) {
  Conversation talk;
  talk.produce = SayNothing;
  Begin(*channel_, "/t.T/Deaf", talk, {.timeout = milliseconds(200)});
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_EQ(talk.end().status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(Until([&] { return deaf_ == 0; }));
}

// Goal: a source with no end does not keep its call from ending when the server has had enough.
TEST_F(ChannelStreamTest, TheServerMayEndACallEarly) {
  Conversation talk;
  talk.produce = [](std::string* message) {
    *message += std::string(1000, 'x');
    return Next::kMessage;
  };
  Begin(*channel_, "/t.T/Curt", talk);
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_EQ(talk.end().status, absl::AlreadyExistsError("enough"));
  EXPECT_TRUE(BeginCall(*channel_, "/t.T/Unary", "").get().status.ok());
}

TEST_F(ChannelStreamTest, RequestsOverTheLimitEndTheCall) {
  Channel::Options options = Options();
  options.request_bytes_max = 10;
  Channel channel(pool_.thread(0), options);
  Conversation talk;
  talk.produce = Saying({"short", "longer than that"});
  Begin(channel, "/t.T/Echo", talk);
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_EQ(talk.end().status.code(), absl::StatusCode::kResourceExhausted);
  const CallResult unary = BeginCall(channel, "/t.T/Unary", "longer than that").get();
  EXPECT_EQ(unary.status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(unary.reached, Reached::kNo);
}

TEST_F(ChannelStreamTest, AnswersOverTheLimitEndTheCall) {
  Channel::Options options = Options();
  options.message_bytes_max = 10;
  Channel channel(pool_.thread(0), options);
  Conversation talk;
  talk.produce = Saying({"short", "longer than that"});
  Begin(channel, "/t.T/Echo", talk);
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_EQ(talk.end().status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(talk.messages, std::vector<std::string>{"short"});
}

TEST_F(ChannelStreamTest, AnAnswerOfTrailersOnlyHasNoLeadingMetadata) {
  Conversation talk;
  Begin(*channel_, "/t.T/Nothing", talk);
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_EQ(talk.end().status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_TRUE(talk.leadings.empty());
}

// Goal:   an exchange may do anything with its call and its channel, from each of its functions.
// Method: each of them, in turn, cancels, wakes, opens another call, and ends the channel.
TEST_F(ChannelStreamTest, ExchangesMayEndWhatTheyAreIn) {
  enum class From { kProduce, kLeading, kTake, kMessagesEnd, kEnd };
  for (const From from :
       {From::kProduce, From::kLeading, From::kTake, From::kMessagesEnd, From::kEnd}) {
    for (const bool end_channel : {false, true}) {
      auto channel = std::make_unique<Channel>(pool_.thread(0), Options());
      Conversation talk;
      Conversation other;
      CallHandle handle;
      bool done = false;
      const auto act = [&] {
        if (std::exchange(done, true)) return;
        handle.Wake();
        Begin(*channel, "/t.T/Echo", other);
        handle.Cancel();
        if (end_channel) channel.reset();
        handle.Wake();
        handle.Cancel();
      };
      const auto say = Saying({"a", "b"});
      talk.produce = [&](std::string* message) {
        if (from == From::kProduce) act();
        return say(message);
      };
      if (from == From::kLeading) talk.on_leading = act;
      if (from == From::kTake) talk.on_take = act;
      if (from == From::kMessagesEnd) talk.on_messages_end = act;
      if (from == From::kEnd) talk.on_end = act;
      // The exchange runs on the thread that this task holds: the handle is there before.
      pool_.thread(0).Post([&] { handle = Begin(*channel, "/t.T/Echo", talk); });
      ASSERT_TRUE(talk.WaitForEnd());
      ASSERT_TRUE(other.WaitForEnd());
      EXPECT_EQ(other.end().status.code(),
                end_channel ? absl::StatusCode::kCancelled : absl::StatusCode::kOk);
    }
  }
}

TEST_F(ChannelStreamTest, HandlesMayOutliveTheirChannel) {
  CallHandle handle;
  handle.Cancel();
  Conversation talk;
  talk.produce = SayNothing;
  handle = Begin(*channel_, "/t.T/Deaf", talk);
  channel_.reset();
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_EQ(talk.end().status.code(), absl::StatusCode::kCancelled);
  pool_.Stop();
  handle.Cancel();
  handle.Wake();
}

}  // namespace
}  // namespace mokv::rpc
