// A peer by hand: frames over a blocking socket, in the order and with the contents that a test
// chooses.
//
// Threads: for the test's thread.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "net/testing/raw_socket.h"
#include "peer/frame.h"
#include "peer/handshake.h"
#include "peer/testing/peer_node.h"

namespace mokv::peer {

inline std::string FrameBytes(const proto::Frame& frame, const std::string& attachment_bytes = "") {
  Attachment attachment{.bytes = attachment_bytes};
  attachment.Seal();
  std::string bytes;
  FrameBuilder builder(bytes);
  frame.AppendToString(&bytes);
  MOKV_CHECK(builder.EndFrame(&attachment));
  return bytes + attachment_bytes;
}

// Frames over one socket.
class RawFrames {
 public:
  explicit RawFrames(net::RawSocket socket) : socket_(std::move(socket)) {}

  net::RawSocket& socket() { return socket_; }

  // Each side begins with the magic.
  void SendFirst(const proto::Frame& frame) {
    socket_.Send(std::string(kMagic) + FrameBytes(frame));
  }
  void Send(const proto::Frame& frame, const std::string& attachment = "") {
    socket_.Send(FrameBytes(frame, attachment));
  }
  // The next frame; an empty one when the connection ends.
  proto::Frame Receive() {
    while (frames_.empty()) {
      std::string bytes;
      if (!socket_.Receive(bytes)) return {};
      EXPECT_TRUE(reader_
                      .Read(bytes,
                            [&](std::string_view message, std::string_view) {
                              EXPECT_TRUE(frames_.emplace_back().ParseFromArray(
                                  message.data(), static_cast<int>(message.size())));
                              return absl::OkStatus();
                            })
                      .ok());
    }
    proto::Frame frame = frames_.front();
    frames_.erase(frames_.begin());
    return frame;
  }

 private:
  net::RawSocket socket_;
  FrameReader reader_;
  std::vector<proto::Frame> frames_;
};

// One that connects with a node: says hello as one named "raw", if nothing else is said.
class RawPeer : public RawFrames {
 public:
  explicit RawPeer(const PeerNode& node, Purpose purpose = Purpose::kMessages,
                   const std::string& name = "raw")
      : RawFrames(net::RawSocket(node.port())), node_(node) {
    local_.name = name;
    local_.instance_id = "1";
    local_.id = raft::NodeIdOf(name, "1");
    hello_.mutable_hello()->CopyFrom(MakeHello(
        local_, {.id = node.id(), .name = node.member().name, .instance_id = "1"}, purpose));
  }

  proto::Hello& hello() { return *hello_.mutable_hello(); }
  proto::Frame& hello_frame() { return hello_; }
  raft::NodeId id() const { return local_.id; }

  void SendHello() { SendFirst(hello_); }
  void Introduce() {
    SendHello();
    const proto::Frame reply = Receive();
    ASSERT_TRUE(reply.has_hello_reply());
    ASSERT_EQ(reply.hello_reply().refusal(), proto::HelloReply::NONE)
        << reply.hello_reply().refusal_text();
  }
  proto::Frame Heartbeat(uint64_t round) const {
    proto::Frame frame;
    frame.mutable_raft()->set_from(local_.id.value());
    frame.mutable_raft()->set_to(node_.id().value());
    frame.mutable_raft()->mutable_heartbeat()->set_round(round);
    return frame;
  }

 private:
  const PeerNode& node_;
  LocalNode local_;
  proto::Frame hello_;
};

}  // namespace mokv::peer
