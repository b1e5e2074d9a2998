// Result: what a command came to. The same on every node, since the log alone decides it.
//
// A plain value.
#pragma once

#include <cstdint>
#include <vector>

#include "base/ids.h"
#include "store/store.h"

namespace mokv::machine {

struct Result {
  enum class Outcome {
    kApplied,          // Done, which may mean that there was nothing to delete.
    kConditionFailed,  // An `expected_revision` did not hold; nothing changed.
    // Not carried out, because of its session:
    kNoSession,          // Unknown, closed, expired, or somebody else's.
    kAnswerGone,         // Below the lowest sequence whose answer is still kept.
    kTooManyUnanswered,  // The session keeps as many answers as it may.
    kTooManySessions,    // None was opened.
  };
  Outcome outcome = Outcome::kApplied;
  // What the operations came to; see store::ApplyResult. Of a write in a session that came again: the
  // first time.
  Revision revision{};
  Revision found_revision{};
  uint64_t failed_operation = 0;
  uint64_t deleted = 0;
  // Of OpenSession.
  SessionId session{};
  // Of KeepAlive: for each session, in order, how long it has from now on; 0: as kNoSession.
  std::vector<uint64_t> ttls_ms{};

  bool operator==(const Result&) const = default;
};

inline Result ResultOf(const store::ApplyResult& applied) {
  using Stored = store::ApplyResult::Outcome;
  return {.outcome = applied.outcome == Stored::kApplied ? Result::Outcome::kApplied
                                                         : Result::Outcome::kConditionFailed,
          .revision = applied.revision,
          .found_revision = applied.found_revision,
          .failed_operation = applied.failed_operation,
          .deleted = applied.deleted};
}

}  // namespace mokv::machine
