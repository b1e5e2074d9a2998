// Raft's messages as frames carry them, and back.
//
// Threads: plain functions.
// Bounds:  what is decoded comes from outside. Everything in it is checked, here or by the core,
//          and kRecordsMax bounds how many objects it becomes in memory.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/log_entry.h"
#include "peer/frame.h"
#include "peer/peer.pb.h"
#include "raft/messages.h"

namespace mokv::peer {

// Entries, writes or results of one attachment: the smallest takes two bytes to send and some fifty
// in memory. An append of the smallest entries (raft::Options::append_bytes_max) stays below it.
inline constexpr size_t kRecordsMax = size_t{1} << 18;

// OK if `bytes` is a protobuf message of at most kRecordsMax fields: parsing makes an object of
// each.
absl::Status CheckRecords(std::string_view bytes);

void EncodePosition(raft::Position position, proto::Position& out);
// Where a snapshot ends. INVALID_ARGUMENT if no log has such an entry.
absl::StatusOr<raft::Position> DecodeSnapshotEnd(const proto::Position& position);

// Entries do not become part of `out`. CHECKs that a snapshot has a membership.
void EncodeMessage(const raft::Message& message, proto::Raft& out);
// The entries of an append, at least one, as an attachment.
Attachment EncodeEntries(const std::vector<Entry>& entries);

// INVALID_ARGUMENT says what is wrong.
absl::StatusOr<raft::Message> DecodeMessage(const proto::Raft& message,
                                            std::string_view attachment);

}  // namespace mokv::peer
