// Parts of snapshots as frames carry them, and back: what is asked for, and what is answered.
//
// Threads: plain functions.
// Bounds:  what is decoded comes from outside. Sizes and offsets in it are checked here; whether it
//          fits what was asked for, only who has asked can tell.
#pragma once

#include <absl/status/statusor.h>

#include <string_view>

#include "peer/frame.h"
#include "peer/peer.pb.h"
#include "replica/peers.h"

namespace mokv::peer {

// CHECKs that it asks for no more than one chunk may have.
void EncodeRead(const replica::SnapshotRead& read, proto::SnapshotRead& out);
// Its bytes become `attachment`. An offset behind the end of the file is answered as by one who
// does not have the snapshot: it is not the file that was being read.
void EncodeChunk(replica::SnapshotChunk chunk, proto::SnapshotChunk& out, Attachment& attachment);

// INVALID_ARGUMENT says what is wrong.
absl::StatusOr<replica::SnapshotRead> DecodeRead(const proto::SnapshotRead& read,
                                                 std::string_view attachment);
absl::StatusOr<replica::SnapshotChunk> DecodeChunk(const proto::SnapshotChunk& chunk,
                                                   std::string_view attachment);

}  // namespace mokv::peer
