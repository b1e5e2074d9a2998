// Log: the segmented write-ahead log that keeps Raft's entries and hard state.
//
// What is appended queues, under a ticket of the caller's own; the log's own executor (the log
// thread) writes all that has queued as one batch, calls fdatasync once, and gives back the newest
// ticket that is durable now (group commit).
//
// Threads:  Append, CutHead, ResetTo, Read, PrepareRead, TermAt and the indexes are confined to one
//           caller (the replica thread); Admit, Tick and stats are thread-safe. Callbacks are
//           called on the log thread, or in Close. Segments are prepared on the background
//           executor. Both executors may be one, must outlive the log and run none of its tasks
//           after Close.
// Failure:  after a failed write or fdatasync nothing more is written and `on_failure` is called
//           once; the node must stop. An fdatasync is never tried again (see ATC'20, "Can
//           applications recover from fsync failures?").
// No space: is not a failure. Space is there before it is needed, so Admit knows: what it admits
//           has its space on disk. Beyond that only a small reserve is used, by what is appended
//           without asking: votes, cuts of the head, a leader's first entry. What finds no space at
//           all waits in the queue, in order, until there is some. Tick tries again. An entry that
//           is too large for a segment is refused by Admit until a segment of its own size is ready,
//           so that it holds up nobody. A follower's entries are appended without asking: one that
//           finds no space holds up all that comes behind it, votes too, however large it is.
// Format:   docs/log-format.md.
// Bounds:   Admit refuses when Options::queue_bytes_max bytes are appended and not yet durable.
//           Memory is bounded by that and by the largest entry, which is at most kEntryBytesMax of
//           wal/format.h.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/file.h"
#include "base/log_entry.h"

namespace mokv::wal {

// The caller's number for what it gives to the log. Each is greater than the one before, since the
// log was opened, but see CutHead; 0 is none.
using Ticket = StrongInt<struct TicketTag>;

struct Options {
  std::string directory;
  // One entry should stay well below: a larger one needs a file of its own size, which is made when
  // Admit is first asked for it, or else when it comes.
  uint64_t segment_bytes = uint64_t{32} << 20;
  uint64_t queue_bytes_max = uint64_t{32} << 20;
  // Segments that are kept ready.
  size_t ready_segments = 2;
};

// One turn's worth of Raft's output, in the order in which it takes effect.
struct AppendRequest {
  // Entries from here on are dropped (a conflict with a leader's log).
  std::optional<Index> truncate_from;
  // They follow each other and what is left of the log.
  std::vector<Entry> entries;
  std::optional<HardState> hard_state;
};

// What is about to be appended.
struct Demand {
  uint64_t entries = 0;
  uint64_t payload_bytes = 0;
  uint64_t largest_payload_bytes = 0;

  void Add(uint64_t payload) {
    ++entries;
    payload_bytes += payload;
    largest_payload_bytes = payload > largest_payload_bytes ? payload : largest_payload_bytes;
  }
};

// All that was given up to and including `ticket` is on disk (0: nothing yet), except cuts and
// resets that were given it after something else; the log there ends with `last`. Later requests
// may have dropped `last` since: only the term tells whether it is still the entry that the caller
// means.
struct Durable {
  Ticket ticket;
  Index last;
  Term last_term;
};

// An entry in somebody else's memory.
struct EntryView {
  Index index;
  Term term;
  EntryType type = EntryType::kNoOp;
  std::string_view payload;
};

// What a start found.
struct FoundLog {
  HardState hard_state;
  Index first_index;  // 1 until the head is cut.
  Index last_index;   // first_index - 1 when there are no entries.
  Term last_term;     // Of the entry before the first when there are none.
  uint64_t segments = 0;
  // At least so many bytes of a batch that was not written whole were cut off; 0 after a clean
  // stop. Damage to the very last batch of a log looks the same.
  uint64_t cut_bytes = 0;
};

struct Stats {
  uint64_t batches = 0;
  uint64_t entries = 0;
  uint64_t bytes = 0;            // Written as batches.
  uint64_t filled_bytes = 0;     // Written besides: zero bytes, to prepare new files.
  uint64_t segments = 0;         // That the log consists of now.
  uint64_t segments_bytes = 0;   // And their files.
  uint64_t segments_ready = 0;   // Prepared for what comes.
  uint64_t segments_reused = 0;  // Prepared from files that were cut off at the head.
  // Of all the log's files: those that it consists of, ready ones, and spare ones, which hold what
  // was cut off and are used again.
  uint64_t disk_bytes = 0;
  uint64_t cut_bytes = 0;       // See FoundLog.
  uint64_t queued_bytes = 0;    // Given and not yet durable.
  bool out_of_space = false;    // Ends by itself.
  Duration oldest_unsynced{0};  // How long the oldest write has been waiting to be durable.
};

class Log final {
 public:
  struct Callbacks {
    // Called once for each batch; tickets do not fall, and one may come again.
    absl::AnyInvocable<void(const Durable&)> on_durable;
    absl::AnyInvocable<void(absl::Status)> on_failure;
    // Time that one fdatasync took; may be null.
    absl::AnyInvocable<void(Duration)> on_sync;
  };
  // Gets the entries that a start finds, in the order in which they were appended, on the thread
  // that calls Open. One whose index is not the next replaces what had that index and all behind
  // it, as it did in the log; those outside of found().first_index to last_index do not count.
  // An error ends the start. The view is valid during the call.
  using OnEntry = absl::AnyInvocable<absl::Status(const EntryView&)>;
  // Called now and then between entries: none up to `index` will be replaced any more, since they
  // were known to be committed. An error ends the start.
  using OnCommitted = absl::AnyInvocable<absl::Status(Index index)>;

  // Called once when all has been read, before anything is done. An error ends the start.
  using OnFound = absl::AnyInvocable<absl::Status(const FoundLog& found)>;

  // Opens or creates the log in `options.directory` and reads it; all that it reports is durable.
  // DATA_LOSS, naming file and offset, for damage below the durable mark; FAILED_PRECONDITION for a
  // format version that is newer than ours, for records of a Raft group that we do not know, or
  // when another process has the log open; RESOURCE_EXHAUSTED when there is no space for a new log
  // (an old one opens).
  static absl::StatusOr<std::unique_ptr<Log>> Open(FileSystem& files, const Clock& clock,
                                                   Executor& log_thread, Executor& background,
                                                   Options options, Callbacks callbacks,
                                                   OnEntry on_entry,
                                                   OnCommitted on_committed = nullptr,
                                                   OnFound on_found = nullptr);

  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  const FoundLog& found() const;

  // Whether these entries may be appended now. OK on the caller's thread means that their space is
  // there, up to the next Append; elsewhere it is a good guess. RESOURCE_EXHAUSTED: the queue is
  // full, or there is no space, or not yet; all may pass. UNAVAILABLE: the log has failed.
  absl::Status Admit(const Demand& demand) const;

  // After a crash a prefix of the entries may be there, never without the truncation and a hard
  // state of this request (its commit index lowered to what is there). What changes nothing is
  // durable with what came before it. Does nothing after a failure.
  void Append(Ticket ticket, AppendRequest request);
  // Entries up to `up_to` are not needed any more: they are in a snapshot that is durable. Files
  // that hold nothing else are removed or used again.
  //
  // This and ResetTo need no ticket of their own: `ticket` may be that of what was given last, and 0
  // stands for it. Nobody is then told when they are durable, since that ticket may be told as soon
  // as what it was first given for is; but whatever is given after them is durable after them.
  void CutHead(Ticket ticket, Index up_to);
  // A snapshot that ends with entry `last` has been installed: all entries go, the next one is last
  // + 1; the hard state stays.
  void ResetTo(Ticket ticket, Index last, Term last_term);

  Index first_index() const;
  Index last_index() const;
  // The term of an entry that is held, or of the one before the first; nothing for others.
  std::optional<Term> TermAt(Index index) const;

  // Entries from `first` on, at least one if there is one and otherwise as many as have at most
  // `payload_bytes_max` together; durable or not. OUT_OF_RANGE below first_index(); DATA_LOSS,
  // naming file and offset, for bytes that do not verify.
  absl::StatusOr<std::vector<Entry>> Read(Index first, uint64_t payload_bytes_max) {
    return PrepareRead(first, payload_bytes_max)();
  }

  // The same in two steps: the second, which does the reading, is to be called once, on any thread,
  // while the log is open. It finds what there was at the first, unless that has been cut or
  // replaced since: then it may fail with DATA_LOSS or OUT_OF_RANGE, or find what is there now.
  using ReadTask = absl::AnyInvocable<absl::StatusOr<std::vector<Entry>>()>;
  ReadTask PrepareRead(Index first, uint64_t payload_bytes_max);

  // To be called several times a second: after a lack of space, tries again.
  void Tick();
  Stats stats() const;

  // Writes and syncs what is still queued, as far as there is space, then closes, on the calling
  // thread. Called once, after the executors have stopped. Without it what is queued is lost, as in
  // a crash.
  void Close();

 private:
  struct Parts;
  explicit Log(std::unique_ptr<Parts> parts);

  const std::unique_ptr<Parts> parts_;
};

}  // namespace mokv::wal
