// Deliberate bugs of the log on disk, one of which the simulator can switch on, as
// src/raft/mutations has them of the core. kName.diff beside this header says what the bug changes;
// how diffs are made and put into a copy of the sources is in src/raft/mutations/README.md.
//
// Threads: `active_mutation` is set before the first log is opened and not while one runs.
#pragma once

#include <cstdint>
#include <string_view>

namespace mokv::wal {

// name, what it breaks
#define MOKV_WAL_MUTATION_LIST(X)                                                            \
  X(kChecksumNotSalted, "what a file held in an earlier use verifies")                       \
  X(kHardStateLostByCut, "a cut of the log loses the hard state that was written before it") \
  X(kSyncTriedAgain, "a sync that failed is tried again, and its success is believed")

enum class Mutation : uint8_t {
  kNone,
#define MOKV_WAL_MUTATION_ENUMERATOR(name, text) name,
  MOKV_WAL_MUTATION_LIST(MOKV_WAL_MUTATION_ENUMERATOR)
#undef MOKV_WAL_MUTATION_ENUMERATOR
};

struct MutationInfo {
  Mutation mutation;
  std::string_view name;
  std::string_view text;
};

inline constexpr MutationInfo kMutations[] = {
#define MOKV_WAL_MUTATION_INFO(name, text) {Mutation::name, #name, text},
    MOKV_WAL_MUTATION_LIST(MOKV_WAL_MUTATION_INFO)
#undef MOKV_WAL_MUTATION_INFO
};

inline Mutation active_mutation = Mutation::kNone;
// Of the namespace that it stands in: core, replica and machine have one of the same text.
#define MUTATED(name) (active_mutation == Mutation::name)

}  // namespace mokv::wal
