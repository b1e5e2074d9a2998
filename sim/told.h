// Told: what the clients of replicas were told, against what the log says and what others are told.
// Cores have no answer but "done" and "certainly not done", and rules.h judges those; replicas have
// more to say, and more ways to be wrong.
//
//   log        a write that is told as done is committed, one that is told as not done never is,
//              none is committed twice, and nothing is committed that nobody has asked for
//   answered   no write has two answers
//   lease      a node that would answer a read at once has all that anybody was told of by then
//   revision   one revision is one value everywhere, and one value one revision, however often it was
//              written in a session; and an answer is no older than its request allows
//   once       every state has what the reference (sim/reference.h) has made of the same log
//
// Values of writes are unique, so that a value names its write; deletes have none and are judged by
// the history alone. The text of a violation begins with the rule's name and a colon.
//
// Threads: confined to the run's. Units: revisions are the store's.
#pragma once

#include <fmt/format.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/log_entry.h"
#include "replica/write.h"
#include "sim/node.h"
#include "sim/reference.h"

namespace mokv::sim {

class Told {
 public:
  using Fate = replica::WriteResult::Fate;

  const std::string& violation() const { return violation_; }
  // The newest revision that anybody knows of.
  uint64_t newest() const { return newest_; }

  // The bytes of a value, some of them long; and the number that they stand for.
  static std::string ValueOf(uint64_t number);
  static uint64_t NumberOf(std::string_view value);

  void OnAsked(const ClientRequest& request);
  // By any node, in the order of its log.
  void OnCommitted(const Entry& entry);
  void OnAnswered(uint64_t request, const replica::WriteResult& result);
  // A read found `value` of `modified`, in a state of `revision`. `floor`: no less was allowed.
  void OnLook(Place place, uint64_t revision, uint64_t floor, uint64_t value, uint64_t modified);
  // `place` has applied so much.
  void CheckState(Place place, Index applied, uint64_t revision, uint64_t sessions);
  // `place` would answer from `revision` at once.
  void CheckLease(Place place, uint64_t revision);
  // The revision that was seen with the value; 0 for "missing".
  uint64_t RevisionOf(uint64_t value) const;

  template <typename... Args>
  void Fail(fmt::format_string<Args...> format, Args&&... args) {
    if (violation_.empty()) violation_ = fmt::format(format, std::forward<Args>(args)...);
  }

 private:
  void Learn(uint64_t revision, uint64_t value);

  Reference reference_;
  Index committed_;
  std::map<uint64_t, uint64_t> requests_;  // By value.
  std::map<uint64_t, uint64_t> values_;    // By request: of those that have one.
  std::map<uint64_t, uint64_t> attempts_;  // By value: in a session a write may have several.
  std::map<uint64_t, Index> entries_;      // By value.
  std::map<uint64_t, Fate> told_;          // By request.
  std::map<uint64_t, uint64_t> by_revision_;
  std::map<uint64_t, uint64_t> by_value_;
  uint64_t newest_ = 0;
  std::string violation_;
};

}  // namespace mokv::sim
