// What a channel does between its calls: it connects, waits, gives up and says so. The server is
// written by hand.
#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <optional>

#include "base/mutex.h"
#include "base/status.h"
#include "net/testing/raw_socket.h"
#include "net/testing/wait.h"
#include "rpc/channel.h"
#include "rpc/testing/channel_call.h"
#include "rpc/testing/conversation.h"
#include "rpc/testing/raw_http2.h"

namespace mokv::rpc {
namespace {

using net::Until;
using std::chrono::milliseconds;
using std::chrono::seconds;

const Headers kAnswerHeaders = {{":status", "200"}, {"content-type", "application/grpc"}};

std::string OkAnswer(uint32_t stream) {
  return HeadersFrame(stream, kAnswerHeaders) + DataFrame(stream, Message("x"), /*end=*/false) +
         HeadersFrame(stream, {{"grpc-status", "0"}}, /*end=*/true);
}

std::string GoAway(uint32_t last_stream, uint32_t error, std::string_view text = "") {
  return Frame(NGHTTP2_GOAWAY, 0, 0, Number(last_stream) + Number(error) + std::string(text));
}

std::string Setting(uint16_t id, uint32_t value) {
  return Frame(NGHTTP2_SETTINGS, 0, 0, Number(id).substr(2) + Number(value));
}

// One connection of the channel, seen from its other side.
class Peer {
 public:
  explicit Peer(net::RawListener& listener) : socket_(listener.Accept()), reader_(socket_) {
    EXPECT_TRUE(reader_.Skip(kPreface.size()));
  }

  // The next frame of a type, on any stream; a stream of 0 when none comes.
  RawFrame Read(uint8_t type) {
    for (;;) {
      std::optional<RawFrame> frame = reader_.Read();
      EXPECT_TRUE(frame.has_value()) << "no frame of type " << int{type};
      if (!frame.has_value()) return {};
      const bool is_ack = (type == NGHTTP2_PING || type == NGHTTP2_SETTINGS) &&
                          (frame->flags & NGHTTP2_FLAG_ACK) != 0;
      if (frame->type == type && !is_ack) return *frame;
    }
  }
  void Send(std::string_view bytes) { socket_.Send(bytes); }
  net::RawSocket& socket() { return socket_; }

 private:
  net::RawSocket socket_;
  FrameReader reader_;
};

class ChannelLifeTest : public testing::Test {
 protected:
  ChannelLifeTest() { pool_.Start(); }

  Channel::Options To(uint16_t port) {
    Channel::Options options{.target = {"127.0.0.1", port}};
    options.on_state = [this](ChannelState state, const absl::Status& reason) {
      MutexLock lock(mutex_);
      states_.push_back(state);
      if (!reason.ok()) reasons_.push_back(reason);
    };
    return options;
  }
  bool Reached(const std::vector<ChannelState>& expected) {
    return Until([&] {
      MutexLock lock(mutex_);
      return states_ == expected;
    });
  }
  size_t Count(ChannelState state) {
    MutexLock lock(mutex_);
    return static_cast<size_t>(std::count(states_.begin(), states_.end(), state));
  }

  net::RawListener server_;
  Mutex mutex_;
  std::vector<ChannelState> states_;  // Of all channels to it.
  std::vector<absl::Status> reasons_;
  net::IoPool pool_{1};
};

// Goal:   a server that begins messages and ends none gets no memory without end, however many calls it has;
//         what it does end does not count any more.
// Method: three calls with half a message each are too many, two are not; twice.
TEST_F(ChannelLifeTest, MessagesInAssemblyAreBoundedTogether) {
  const std::string message = Message(std::string(1000, 'x'));
  const std::string half = message.substr(0, 500);
  Channel::Options options = To(server_.port());
  options.assembly_bytes_max = 2 * half.size();
  Channel channel(pool_.thread(0), options);
  std::optional<Peer> peer;
  for (int round = 0; round < 2; ++round) {
    std::vector<std::future<CallResult>> calls;
    std::vector<uint32_t> streams;
    for (int i = 0; i < 3; ++i) {
      calls.push_back(BeginCall(channel, "/t.T/Echo", ""));
      if (!peer.has_value()) {
        peer.emplace(server_);
        peer->Send(Setting(NGHTTP2_SETTINGS_ENABLE_PUSH, 0));
      }
      streams.push_back(peer->Read(NGHTTP2_DATA).stream);
      peer->Send(HeadersFrame(streams.back(), kAnswerHeaders) +
                 DataFrame(streams.back(), half, /*end=*/false));
    }
    EXPECT_EQ(calls[2].get().status.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(peer->Read(NGHTTP2_RST_STREAM).stream, streams[2]);
    for (int i = 0; i < 2; ++i) {
      peer->Send(DataFrame(streams[i], message.substr(half.size()), /*end=*/false) +
                 HeadersFrame(streams[i], {{"grpc-status", "0"}}, /*end=*/true));
      EXPECT_TRUE(calls[i].get().status.ok());
    }
  }
}

using S = ChannelState;

TEST_F(ChannelLifeTest, TellsItsStates) {
  {
    Channel channel(pool_.thread(0), To(server_.port()));
    auto call = BeginCall(channel, "/t.T/Echo", "");
    Peer peer(server_);
    peer.Read(NGHTTP2_DATA);
    EXPECT_TRUE(Reached({S::kConnecting}));
    peer.Send(Setting(NGHTTP2_SETTINGS_ENABLE_PUSH, 0) + OkAnswer(1));
    EXPECT_TRUE(call.get().status.ok());
    EXPECT_TRUE(Reached({S::kConnecting, S::kReady}));
    peer.socket().Close();
    EXPECT_TRUE(Reached({S::kConnecting, S::kReady, S::kIdle}));
  }
  EXPECT_TRUE(Reached({S::kConnecting, S::kReady, S::kIdle, S::kShutDown}));
}

// Goal: of the addresses that a name has, one that works is found. (The server has no IPv6 one.)
TEST_F(ChannelLifeTest, TriesTheAddressesOfAName) {
  Channel::Options options = To(server_.port());
  options.target.host = "localhost";
  Channel channel(pool_.thread(0), options);
  auto call = BeginCall(channel, "/t.T/Echo", "");
  Peer peer(server_);
  peer.Send(Setting(NGHTTP2_SETTINGS_ENABLE_PUSH, 0));
  EXPECT_EQ(peer.Read(NGHTTP2_DATA).stream, 1u);
  peer.Send(OkAnswer(1));
  EXPECT_TRUE(call.get().status.ok());
}

// Goal: a server that is down is not asked by each call.
TEST_F(ChannelLifeTest, CallsFailAtOnceUntilTheNextAttemptIsDue) {
  net::ReservedPort nobody;
  Channel::Options options = To(nobody.port());
  options.backoff.initial = std::chrono::hours(1);
  options.backoff.max = std::chrono::hours(1);
  Channel channel(pool_.thread(0), options);
  const absl::Status first = BeginCall(channel, "/t.T/Echo", "").get().status;
  EXPECT_EQ(first.code(), absl::StatusCode::kUnavailable);
  for (int i = 0; i < 10; ++i) {
    const CallResult next = BeginCall(channel, "/t.T/Echo", "").get();
    EXPECT_EQ(next.status, first);
    EXPECT_EQ(next.reached, Reached::kNo);
  }
  EXPECT_TRUE(Reached({S::kConnecting, S::kTransientFailure}));
}

TEST_F(ChannelLifeTest, IsIdleAfterBackoffWithoutCalls) {
  net::ReservedPort nobody;
  Channel::Options options = To(nobody.port());
  options.backoff.initial = milliseconds(20);
  Channel channel(pool_.thread(0), options);
  BeginCall(channel, "/t.T/Echo", "").wait();
  EXPECT_TRUE(Reached({S::kConnecting, S::kTransientFailure, S::kIdle}));
}

// Goal:   a call that waits for ready outlives failures of connecting.
// Method: the server ends the first two connections without a word.
TEST_F(ChannelLifeTest, WaitsForReady) {
  Channel::Options options = To(server_.port());
  options.backoff.initial = milliseconds(10);
  Channel channel(pool_.thread(0), options);
  Conversation talk;
  talk.produce = Saying({"hello"});
  Begin(channel, "/t.T/Echo", talk, {.timeout = seconds(60), .wait_for_ready = true});
  for (int i = 0; i < 2; ++i) server_.Accept();
  Peer peer(server_);
  peer.Send(Setting(NGHTTP2_SETTINGS_ENABLE_PUSH, 0));
  EXPECT_EQ(peer.Read(NGHTTP2_HEADERS).stream, 1u);
  peer.Send(OkAnswer(1));
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_TRUE(talk.end().status.ok()) << talk.end().status;
  EXPECT_EQ(Count(S::kTransientFailure), 2u);
}

TEST_F(ChannelLifeTest, WaitingForReadyEndsWithTheDeadline) {
  net::ReservedPort nobody;
  Channel::Options options = To(nobody.port());
  options.backoff.initial = milliseconds(10);
  Channel channel(pool_.thread(0), options);
  Conversation talk;
  Begin(channel, "/t.T/Echo", talk, {.timeout = milliseconds(300), .wait_for_ready = true});
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_EQ(talk.end().status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_NE(MessageOf(talk.end().status).find("cannot connect"), std::string_view::npos)
      << talk.end().status;
  EXPECT_EQ(talk.end().reached, rpc::Reached::kNo);
}

TEST_F(ChannelLifeTest, WaitingCallsCanBeCancelled) {
  net::ReservedPort nobody;
  Channel channel(pool_.thread(0), To(nobody.port()));
  Conversation talk;
  const CallHandle handle =
      Begin(channel, "/t.T/Echo", talk, {.timeout = seconds(60), .wait_for_ready = true});
  handle.Cancel();
  ASSERT_TRUE(talk.WaitForEnd());
  EXPECT_EQ(talk.end().status.code(), absl::StatusCode::kCancelled);
}

// Goal: a server that takes connections and says nothing counts as one that is down.
TEST_F(ChannelLifeTest, AServerThatSaysNothingIsGivenUp) {
  Channel::Options options = To(server_.port());
  options.connect_timeout = milliseconds(100);
  Channel channel(pool_.thread(0), options);
  const CallResult end = BeginCall(channel, "/t.T/Echo", "").get();
  EXPECT_EQ(end.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Reached({S::kConnecting, S::kTransientFailure}));
}

// RFC 9113, 6.8: what is above the last stream was not looked at.
TEST_F(ChannelLifeTest, GoAwaySendsNewCallsToANewConnection) {
  Channel channel(pool_.thread(0), To(server_.port()));
  auto first = BeginCall(channel, "/t.T/Echo", "");
  Peer old(server_);
  old.Read(NGHTTP2_DATA);
  auto second = BeginCall(channel, "/t.T/Echo", "");
  EXPECT_EQ(old.Read(NGHTTP2_DATA).stream, 3u);
  old.Send(Setting(NGHTTP2_SETTINGS_ENABLE_PUSH, 0) + GoAway(1, NGHTTP2_NO_ERROR));
  const CallResult refused = second.get();
  EXPECT_EQ(refused.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(refused.reached, Reached::kNo);
  auto third = BeginCall(channel, "/t.T/Echo", "");
  Peer next(server_);
  EXPECT_EQ(next.Read(NGHTTP2_DATA).stream, 1u);
  next.Send(Setting(NGHTTP2_SETTINGS_ENABLE_PUSH, 0) + OkAnswer(1));
  EXPECT_TRUE(third.get().status.ok());
  old.Send(OkAnswer(1));
  EXPECT_TRUE(first.get().status.ok());
  EXPECT_TRUE(old.socket().WaitForEnd());
}

// Goal: what a server says when it throws clients out reaches people.
TEST_F(ChannelLifeTest, SaysWhatGoAwaySaid) {
  Channel channel(pool_.thread(0), To(server_.port()));
  auto call = BeginCall(channel, "/t.T/Echo", "");
  Peer peer(server_);
  peer.Read(NGHTTP2_DATA);
  peer.Send(Setting(NGHTTP2_SETTINGS_ENABLE_PUSH, 0) +
            GoAway(1, NGHTTP2_ENHANCE_YOUR_CALM, "too much\n"));
  peer.socket().Close();
  const CallResult end = call.get();
  EXPECT_EQ(end.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_NE(MessageOf(end.status).find("GOAWAY ENHANCE_YOUR_CALM 'too much%0A'"),
            std::string_view::npos)
      << end.status;
}

// Goal: calls beyond what the server allows wait here, where they can be cancelled, or go elsewhere.
TEST_F(ChannelLifeTest, CallsWaitForTheServerToAllowThem) {
  Channel channel(pool_.thread(0), To(server_.port()));
  auto first = BeginCall(channel, "/t.T/Echo", "");
  Peer peer(server_);
  peer.Read(NGHTTP2_DATA);
  peer.Send(Setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1));
  ASSERT_TRUE(Reached({S::kConnecting, S::kReady}));
  auto second = BeginCall(channel, "/t.T/Echo", "");
  Conversation cancelled;
  const CallHandle handle = Begin(channel, "/t.T/Echo", cancelled);
  const CallResult late = BeginCall(channel, "/t.T/Echo", "", milliseconds(50)).get();
  EXPECT_EQ(late.status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(late.reached, Reached::kNo);
  handle.Cancel();
  ASSERT_TRUE(cancelled.WaitForEnd());
  EXPECT_EQ(cancelled.end().reached, Reached::kNo);
  auto last = BeginCall(channel, "/t.T/Echo", "");
  peer.Send(OkAnswer(1));
  EXPECT_TRUE(first.get().status.ok());
  EXPECT_EQ(peer.Read(NGHTTP2_DATA).stream, 3u);
  peer.Send(OkAnswer(3));
  EXPECT_TRUE(second.get().status.ok());
  EXPECT_EQ(peer.Read(NGHTTP2_DATA).stream, 5u);
  peer.Send(Setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 0) + OkAnswer(5));
  EXPECT_TRUE(last.get().status.ok());
}

TEST_F(ChannelLifeTest, CallsThatWaitGoToTheNextConnection) {
  Channel::Options options = To(server_.port());
  options.backoff.initial = milliseconds(10);
  Channel channel(pool_.thread(0), options);
  auto first = BeginCall(channel, "/t.T/Echo", "");
  Peer peer(server_);
  peer.Read(NGHTTP2_DATA);
  peer.Send(Setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1));
  ASSERT_TRUE(Reached({S::kConnecting, S::kReady}));
  auto second = BeginCall(channel, "/t.T/Echo", "");
  peer.Send(GoAway(1, NGHTTP2_NO_ERROR) + OkAnswer(1));
  EXPECT_TRUE(first.get().status.ok());
  Peer next(server_);
  EXPECT_EQ(next.Read(NGHTTP2_DATA).stream, 1u);
  next.Send(Setting(NGHTTP2_SETTINGS_ENABLE_PUSH, 0) + OkAnswer(1));
  EXPECT_TRUE(second.get().status.ok());
}

// HTTP/2 gives each call of a connection a number, of which there are 2^30.
TEST_F(ChannelLifeTest, AConnectionThatHasNoMoreNumbersIsReplaced) {
  Channel::Options options = To(server_.port());
  options.backoff.initial = milliseconds(10);
  options.calls_per_connection_max = 2;
  Channel channel(pool_.thread(0), options);
  std::vector<std::future<CallResult>> calls;
  for (int i = 0; i < 4; ++i) calls.push_back(BeginCall(channel, "/t.T/Echo", ""));
  for (int i = 0; i < 2; ++i) {
    Peer peer(server_);
    peer.Read(NGHTTP2_DATA);
    peer.Read(NGHTTP2_DATA);
    peer.Send(Setting(NGHTTP2_SETTINGS_ENABLE_PUSH, 0) + OkAnswer(1) + OkAnswer(3));
    EXPECT_TRUE(peer.socket().WaitForEnd());
  }
  for (auto& call : calls) EXPECT_TRUE(call.get().status.ok());
}

TEST_F(ChannelLifeTest, BoundsTheCallsThatWait) {
  Channel::Options options = To(server_.port());
  options.calls_waiting_max = 2;
  Channel channel(pool_.thread(0), options);
  auto first = BeginCall(channel, "/t.T/Echo", "");
  Peer peer(server_);
  peer.Read(NGHTTP2_DATA);
  peer.Send(Setting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1));
  ASSERT_TRUE(Reached({S::kConnecting, S::kReady}));
  auto second = BeginCall(channel, "/t.T/Echo", "");
  auto third = BeginCall(channel, "/t.T/Echo", "");
  EXPECT_EQ(BeginCall(channel, "/t.T/Echo", "").get().status.code(),
            absl::StatusCode::kResourceExhausted);
}

class ChannelKeepaliveTest : public ChannelLifeTest {
 protected:
  static constexpr Duration kIdle = milliseconds(100);

  Channel::Options Watchful(Duration timeout) {
    Channel::Options options = To(server_.port());
    options.keepalive_idle = kIdle;
    options.keepalive_timeout = timeout;
    return options;
  }
};

// Goal: a server that hangs does not keep its calls.
TEST_F(ChannelKeepaliveTest, ASilentServerIsAskedAndThenGivenUp) {
  Channel channel(pool_.thread(0), Watchful(seconds(1)));
  auto call = BeginCall(channel, "/t.T/Echo", "", Duration(0));
  Peer peer(server_);
  peer.Send(Setting(NGHTTP2_SETTINGS_ENABLE_PUSH, 0));
  EXPECT_EQ(peer.Read(NGHTTP2_PING).payload.size(), 8u);
  const CallResult end = call.get();
  EXPECT_EQ(end.status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(end.reached, Reached::kMaybe);
  EXPECT_TRUE(peer.socket().WaitForEnd());
}

TEST_F(ChannelKeepaliveTest, AServerThatAnswersIsKept) {
  Channel channel(pool_.thread(0), Watchful(seconds(60)));
  auto call = BeginCall(channel, "/t.T/Echo", "", Duration(0));
  Peer peer(server_);
  peer.Send(Setting(NGHTTP2_SETTINGS_ENABLE_PUSH, 0));
  for (int i = 0; i < 3; ++i) {
    peer.Send(Frame(NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, peer.Read(NGHTTP2_PING).payload));
  }
  peer.Send(OkAnswer(1));
  EXPECT_TRUE(call.get().status.ok());
}

// Goal:   a client that was told that it asks too often does so less often.
// Method: times have lower bounds only.
TEST_F(ChannelKeepaliveTest, TooManyPingsDoubleTheTime) {
  Channel channel(pool_.thread(0), Watchful(seconds(60)));
  auto call = BeginCall(channel, "/t.T/Echo", "", Duration(0));
  Peer peer(server_);
  peer.Send(Setting(NGHTTP2_SETTINGS_ENABLE_PUSH, 0));
  peer.Read(NGHTTP2_PING);
  peer.Send(GoAway(1, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings") + OkAnswer(1));
  EXPECT_TRUE(call.get().status.ok());
  const MonotonicTime begun = SystemClock().Now();
  call = BeginCall(channel, "/t.T/Echo", "", Duration(0));
  Peer next(server_);
  next.Send(Setting(NGHTTP2_SETTINGS_ENABLE_PUSH, 0));
  next.Read(NGHTTP2_PING);
  EXPECT_GE(SystemClock().Now() - begun, 2 * kIdle);
  next.Send(OkAnswer(1));
  EXPECT_TRUE(call.get().status.ok());
}

}  // namespace
}  // namespace mokv::rpc
