// The whole state as bytes, for snapshots: blocks in named sections, in one order, so that the same
// state gives the same bytes on every node; and back.
//
//   "machine"  one record: what the state is in numbers (saved_state.proto)
//   "sessions" the cluster's time and the client sessions (session_record.proto), each behind its
//              length, a varint
//   "items"    the items, by key: five numbers of at most ten bytes each (length of the key and of
//              the value, modify revision, how much earlier the create revision was, version), the
//              lease, key and value
//
// Threads: a writer or a loader is confined to one thread, which need not be the replica's.
// Errors:  DATA_LOSS for what cannot be a state; FAILED_PRECONDITION for a section that this version
//          does not know, by name: to leave it out would lose what is in it.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "machine/machine.h"
#include "store/store.h"
#include "store/view.h"

namespace mokv::machine {

// A piece of a section. It holds whole records.
struct SavedBlock {
  std::string_view section;  // A literal.
  std::string payload;
  uint32_t records = 0;
};

class StateWriter {
 public:
  // A block ends with the record that reaches `block_bytes`.
  StateWriter(FrozenState state, size_t block_bytes);

  // False: nothing is left.
  bool Next(SavedBlock& block);

 private:
  void FillHead(SavedBlock& block) const;
  void FillSessions(SavedBlock& block);
  void FillItems(SavedBlock& block);

  const FrozenState state_;
  const size_t block_bytes_;
  bool head_is_out_ = false;
  size_t next_part_ = 0;  // Of the sessions.
  store::Cursor cursor_;
};

class StateLoader {
 public:
  // All that will be added has at most so many bytes: room is made for no more items than those can
  // hold, whatever they claim.
  explicit StateLoader(uint64_t bytes_max);
  ~StateLoader();

  absl::Status Add(std::string_view section, std::string_view payload, uint32_t records);
  // All has been added. DATA_LOSS also when the state is not the one that was saved, by its digest.
  // The loader is spent.
  absl::StatusOr<LoadedState> Finish();

 private:
  struct Head {
    Revision revision;
    store::Stats stats;
    store::Digest digest;
    uint64_t sessions = 0;
    store::Digest sessions_digest;
  };

  absl::Status AddHead(std::string_view payload);
  absl::Status AddSessions(std::string_view payload, uint32_t records);
  absl::Status AddItems(std::string_view payload, uint32_t records);
  absl::Status CheckStore(const store::Store& store) const;

  const uint64_t bytes_max_;
  std::optional<Head> head_;
  std::unique_ptr<store::BulkLoader> loader_;
  Sessions::Loader sessions_;
};

}  // namespace mokv::machine
