// The queries that Serf itself asks: whether a node can be reached, whose a name is, and which keys
// there are.
//
// Threads: confined to the owner's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "serf/environment.h"
#include "serf/members.h"

namespace mokv::serf {

inline constexpr std::string_view kInternalQueryPrefix = "_serf_";
inline constexpr std::string_view kConflictQuery = "_serf_conflict";

// Whether `query` would change a key, but names none; some agents crash on it.
bool LacksKey(const QueryMessage& query);

// What to answer; nullopt: nothing. Queries about keys change those of `env`, and tell the owner.
std::optional<std::string> AnswerInternalQuery(Environment& env, const Members& members,
                                               const QueryMessage& query);

// Whether an answer to a conflict query says that the name is at `node`. nullopt: it is malformed.
std::optional<bool> IsVoteFor(const Endpoint& node, std::string_view answer);

}  // namespace mokv::serf
