// Forwarded writes and requests, and their answers, as frames carry them, and back.
//
// Threads: plain functions.
// Bounds:  as in message_codec.h. An answer has as many results as its sender chose; the replica
//          checks that they are as many as the writes.
#pragma once

#include <absl/status/statusor.h>

#include <string_view>

#include "peer/frame.h"
#include "peer/peer.pb.h"
#include "replica/peers.h"

namespace mokv::peer {

// Writes become an attachment, which is left empty otherwise.
void EncodeForward(const replica::Forward& forward, proto::Forward& out, Attachment& attachment);
void EncodeAnswer(const replica::ForwardAnswer& answer, proto::ForwardAnswer& out,
                  Attachment& attachment);

// INVALID_ARGUMENT says what is wrong; UNIMPLEMENTED: of a kind that is not known here.
absl::StatusOr<replica::Forward> DecodeForward(const proto::Forward& forward,
                                               std::string_view attachment);
absl::StatusOr<replica::ForwardAnswer> DecodeAnswer(const proto::ForwardAnswer& answer,
                                                    std::string_view attachment);

}  // namespace mokv::peer
