// InternalQueries: answers the queries that Serf itself asks: whether a node can be reached, whose
// a name is, and which keys there are.
//
// Threads: confined to the owner's.
// Owner:   Queries. Borrows all that it is given.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "serf/environment.h"
#include "serf/members.h"

namespace mokv::serf {

inline constexpr std::string_view kInternalQueryPrefix = "_serf_";
inline constexpr std::string_view kConflictQuery = "_serf_conflict";

class InternalQueries {
 public:
  InternalQueries(Environment& env, const Members& members) : env_(env), members_(members) {}

  // Whether `query` would change a key, but names none; some agents crash on it.
  static bool LacksKey(const QueryMessage& query);

  // What to answer; nullopt: nothing. Queries about keys change them, and tell the owner.
  std::optional<std::string> Answer(const QueryMessage& query);

  // Whether the answer to a conflict query says that the name is at this node. nullopt: it cannot
  // be read.
  std::optional<bool> IsVoteForUs(std::string_view answer) const;

 private:
  std::optional<std::string> AnswerConflict(const QueryMessage& query) const;
  std::optional<std::string> AnswerKeyQuery(const QueryMessage& query);
  KeyResponse ChangeKeys(std::string_view name, std::string_view key);
  KeyResponse ListKeys() const;

  Environment& env_;
  const Members& members_;
};

}  // namespace mokv::serf
