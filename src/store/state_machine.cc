#include "store/state_machine.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <string>
#include <variant>

#include "base/check.h"

namespace mokv::store {
namespace {

// So many old versions are looked at in one Reclaim. That takes about a millisecond, so that the
// end of a large view does not hold up the writer.
constexpr size_t kReleasedAtOnce = 4096;

const Item* Alive(const Item* newest) {
  return newest == nullptr || ItemAccess::IsTombstone(*newest) ? nullptr : newest;
}

}  // namespace

StateMachine::~StateMachine() {
  order_.ForEach([this](const Item& newest) {
    for (const Item* item = &newest; item != nullptr;) {
      const Item* previous = ItemAccess::Previous(*item);
      heap_.Free(const_cast<Item*>(item));
      item = previous;
    }
  });
}

std::optional<ApplyResult> StateMachine::Refusal(const Operation& operation,
                                                 const Item* found) const {
  const std::optional<Revision> expected = ExpectedOf(operation);
  if (!expected.has_value()) return std::nullopt;
  const Revision found_revision = found == nullptr ? Revision(0) : found->mod_revision();
  if (*expected == found_revision) return std::nullopt;
  return ApplyResult{.outcome = ApplyResult::Outcome::kConditionFailed,
                     .revision = revision_,
                     .found_revision = found_revision};
}

void StateMachine::CountIn(const Item& item) {
  ++stats_.keys;
  stats_.data_bytes += item.key().size() + item.value().size();
  digest_.Add(item.fields());
}

void StateMachine::CountOut(const Item& item) {
  const uint64_t bytes = item.key().size() + item.value().size();
  MOKV_CHECK_GE(stats_.keys, 1u);
  MOKV_CHECK_GE(stats_.data_bytes, bytes);
  --stats_.keys;
  stats_.data_bytes -= bytes;
  digest_.Remove(item.fields());
}

void StateMachine::Put(const Place& place, const Item& item) {
  if (place.newest == nullptr) {
    hash_.Insert(place.hash, item);
    order_.Insert(item);
    return;
  }
  MOKV_CHECK_LT(place.newest->mod_revision(), item.mod_revision());
  hash_.Replace(place.hash, *place.newest, item);
  order_.Replace(item, place.spot);
  superseded_.push_back({&item, place.newest});
}

ApplyResult StateMachine::Apply(const Operation& operation) {
  const std::string& key = KeyOf(operation);
  Place place{.hash = hash_.Hash(key), .spot = order_.Locate(key)};
  return Apply({&operation, 1}, {&place, 1});
}

void StateMachine::Apply(std::span<const Transaction> transactions,
                         std::vector<ApplyResult>& results) {
  operations_.clear();
  for (const Transaction& transaction : transactions) {
    for (const Operation& operation : transaction) operations_.push_back(&operation);
  }
  const size_t count = operations_.size();
  places_.resize(count);
  constexpr size_t kHalf = kFetchedAhead / 2;
  auto next = transactions.begin();
  size_t applied = 0;  // Operations.
  for (size_t i = 0; next != transactions.end(); ++i) {
    // Its turn has come once its last operation was fetched so long ago.
    while (next != transactions.end() && applied + next->size() + kFetchedAhead <= i + 1) {
      results.push_back(Apply(*next, std::span(places_).subspan(applied, next->size())));
      applied += next->size();
      ++next;
    }
    if (i < count) {
      places_[i].hash = hash_.Hash(KeyOf(*operations_[i]));
      hash_.Prefetch(places_[i].hash);
    }
    if (i >= kHalf && i - kHalf < count) {
      Place& halfway = places_[i - kHalf];
      hash_.PrefetchItem(halfway.hash);
      halfway.spot = order_.Locate(KeyOf(*operations_[i - kHalf]));
    }
  }
}

// All conditions first: if one does not hold, nothing may have changed.
ApplyResult StateMachine::Apply(std::span<const Operation> operations, std::span<Place> places) {
  MOKV_CHECK_EQ(operations.size(), places.size());
  for (size_t i = 0; i < operations.size(); ++i) {
    places[i].newest = hash_.Find(places[i].hash, KeyOf(operations[i]));
    if (auto refusal = Refusal(operations[i], Alive(places[i].newest))) {
      refusal->failed_operation = i;
      return *refusal;
    }
  }
  const Revision revision(revision_.value() + 1);
  uint64_t written = 0;
  uint64_t deleted = 0;
  for (size_t i = 0; i < operations.size(); ++i) {
    if (const auto* set = std::get_if<Set>(&operations[i])) {
      Apply(*set, places[i], revision);
      ++written;
    } else {
      deleted += Apply(std::get<Delete>(operations[i]), places[i], revision) ? 1 : 0;
    }
  }
  if (written + deleted > 0) revision_ = revision;
  return ApplyResult{.revision = revision_, .deleted = deleted};
}

void StateMachine::Apply(const Set& set, const Place& place, Revision revision) {
  const Item* old = Alive(place.newest);
  const Item& item =
      *ItemAccess::Make(heap_,
                        {.key = set.key,
                         .value = set.value,
                         .create_revision = old == nullptr ? revision : old->create_revision(),
                         .mod_revision = revision,
                         .version = old == nullptr ? 1 : old->version() + 1,
                         .lease = LeaseId(0)},
                        place.newest);
  if (old != nullptr) CountOut(*old);
  CountIn(item);
  Put(place, item);
}

bool StateMachine::Apply(const Delete& erase, const Place& place, Revision revision) {
  const Item* old = Alive(place.newest);
  if (old == nullptr) return false;
  CountOut(*old);
  Put(place, *ItemAccess::MakeTombstone(heap_, erase.key, revision, old));
  return true;
}

void StateMachine::Publish() {
  size_t budget = kReleasedAtOnce;
  if (revision_ != published_.revision()) {
    published_.Publish(revision_, stats_, digest_);
    State* const holder = published_.NewestHolder();
    for (const Superseded& one : superseded_) {
      if (holder != nullptr && one.item->mod_revision() <= holder->revision) {
        holder->held.push_back(one.item);
      } else {
        Unlink(*one.by, *one.item);
      }
    }
    // Twice what this publication may have added, so that what is left to release does not grow.
    budget = std::max(budget, 2 * superseded_.size());
    superseded_.clear();
  }
  published_.ReleaseUnpinned(budget, [this](const Item& item) { UnlinkHeld(item); });
  epochs_.Reclaim(false);
  memory_bytes_.store(heap_.used_bytes(), std::memory_order_relaxed);
}

void StateMachine::Reclaim() {
  published_.ReleaseUnpinned(kReleasedAtOnce, [this](const Item& item) { UnlinkHeld(item); });
  epochs_.Reclaim(true);
  // Kept for their capacity only, from one batch to the next.
  Release(operations_);
  Release(places_);
  if (superseded_.empty()) Release(superseded_);
  memory_bytes_.store(heap_.used_bytes(), std::memory_order_relaxed);
}

void StateMachine::Unlink(const Item& by, const Item& item) {
  ItemAccess::SetPrevious(by, ItemAccess::Previous(item));
  epochs_.Retire(const_cast<Item*>(&item));
  // Once everybody sees the deletion, and it hides no older version, it is not needed any more.
  if (!ItemAccess::IsTombstone(by) || ItemAccess::Previous(by) != nullptr ||
      by.mod_revision() > published_.revision()) {
    return;
  }
  const uint64_t hash = hash_.Hash(by.key());
  if (hash_.Find(hash, by.key()) != &by) return;
  hash_.Erase(hash, by);
  order_.Erase(by.key());
  epochs_.Retire(const_cast<Item*>(&by));
}

void StateMachine::UnlinkHeld(const Item& item) {
  const Item* by = hash_.Find(hash_.Hash(item.key()), item.key());
  MOKV_CHECK(by != nullptr && by != &item);
  while (ItemAccess::Previous(*by) != &item) {
    by = ItemAccess::Previous(*by);
    MOKV_CHECK(by != nullptr);
  }
  Unlink(*by, item);
}

void StateMachine::Loading::Append(const ItemFields& fields) {
  const Item& item = *ItemAccess::Make(machine_.heap_, fields, nullptr);
  machine_.CountIn(item);
  order_.Append(item);
  pending_.push_back({machine_.hash_.Hash(item.key()), &item});
  if (pending_.size() == kPendingMax) InsertPending();
}

void StateMachine::Loading::InsertPending() {
  const auto group = [](const Pending& one) { return one.hash >> (64 - kGroupBits); };
  std::array<size_t, size_t{1} << kGroupBits> next{};  // Where a group's next item goes.
  for (const Pending& one : pending_) ++next[group(one)];
  std::exclusive_scan(next.begin(), next.end(), next.begin(), size_t{0});
  sorted_.resize(pending_.size());
  for (const Pending& one : pending_) sorted_[next[group(one)]++] = one;
  pending_.clear();
  for (size_t i = 0; i < sorted_.size(); ++i) {
    if (i + kFetchedAhead < sorted_.size()) {
      machine_.hash_.Prefetch(sorted_[i + kFetchedAhead].hash);
    }
    machine_.hash_.Insert(sorted_[i].hash, *sorted_[i].item);
  }
}

void StateMachine::Loading::Finish(Revision revision) {
  InsertPending();
  order_.Finish();
  machine_.revision_ = revision;
  machine_.Publish();
}

}  // namespace mokv::store
