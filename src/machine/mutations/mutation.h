// Deliberate bugs of the state machine, one of which the simulator can switch on, as
// src/raft/mutations has them of the core. kName.diff beside this header says what the bug changes;
// how diffs are made and put into a copy of the sources is in src/raft/mutations/README.md.
//
// Threads: `active_mutation` is set before the first machine is made and not while one runs.
#pragma once

#include <cstdint>
#include <string_view>

namespace mokv::machine {

// name, what it breaks
#define MOKV_MACHINE_MUTATION_LIST(X)                                                  \
  X(kAppliedAgain, "a write of a session that has an answer is carried out once more") \
  X(kEndedSessionApplied, "a write is carried out although its session has ended")     \
  X(kAnswerForgotten, "answers of a session are forgotten when it is kept alive")      \
  X(kExpiresWhileAlive, "a write in a session does not count as a sign of life")       \
  X(kSessionsNotSaved, "a snapshot has no sessions")

enum class Mutation : uint8_t {
  kNone,
#define MOKV_MACHINE_MUTATION_ENUMERATOR(name, text) name,
  MOKV_MACHINE_MUTATION_LIST(MOKV_MACHINE_MUTATION_ENUMERATOR)
#undef MOKV_MACHINE_MUTATION_ENUMERATOR
};

struct MutationInfo {
  Mutation mutation;
  std::string_view name;
  std::string_view text;
};

inline constexpr MutationInfo kMutations[] = {
#define MOKV_MACHINE_MUTATION_INFO(name, text) {Mutation::name, #name, text},
    MOKV_MACHINE_MUTATION_LIST(MOKV_MACHINE_MUTATION_INFO)
#undef MOKV_MACHINE_MUTATION_INFO
};

inline Mutation active_mutation = Mutation::kNone;
// Of the namespace that it stands in: core and replica have one of the same text.
#define MUTATED(name) (active_mutation == Mutation::name)

}  // namespace mokv::machine
