#include "store/state_machine.h"

#include <algorithm>
#include <array>
#include <string>
#include <variant>

#include "base/check.h"

namespace mokv::store {
namespace {

// Old versions looked at in one Reclaim: about a millisecond, so that a large view that has ended
// does not hold up the writer.
constexpr size_t kReleasedAtOnce = 4096;

const Item* Alive(const Item* newest) {
  return newest == nullptr || ItemAccess::IsTombstone(*newest) ? nullptr : newest;
}

const std::string& KeyOf(const Command& command) {
  return std::visit([](const auto& known) -> const std::string& { return known.key; }, command);
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

std::optional<ApplyResult> StateMachine::Refusal(const Item* found,
                                                 std::optional<Revision> expected) const {
  const Revision found_revision = found == nullptr ? Revision(0) : found->mod_revision();
  if (!expected || *expected == found_revision) return std::nullopt;
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

void StateMachine::Put(const Place& place, const Item* newest, const Item& item) {
  if (newest == nullptr) {
    hash_.Insert(place.hash, item);
    order_.Insert(item);
    return;
  }
  MOKV_CHECK_LT(newest->mod_revision(), item.mod_revision());
  hash_.Replace(place.hash, *newest, item);
  order_.Replace(item, place.spot);
  superseded_.push_back({&item, newest});
}

ApplyResult StateMachine::Apply(const Command& command) {
  const std::string& key = KeyOf(command);
  return Apply(command, {hash_.Hash(key), order_.Locate(key)});
}

void StateMachine::Apply(std::span<const Command> commands, std::vector<ApplyResult>& results) {
  std::array<Place, kFetchedAhead> places;  // Of the commands between fetched and applied.
  constexpr size_t kHalf = kFetchedAhead / 2;
  for (size_t i = 0; i < commands.size() + kFetchedAhead; ++i) {
    Place& place = places[i % kFetchedAhead];
    if (i >= kFetchedAhead) results.push_back(Apply(commands[i - kFetchedAhead], place));
    if (i < commands.size()) {
      place.hash = hash_.Hash(KeyOf(commands[i]));
      hash_.Prefetch(place.hash);
    }
    if (i >= kHalf && i - kHalf < commands.size()) {
      Place& halfway = places[(i - kHalf) % kFetchedAhead];
      hash_.PrefetchItem(halfway.hash);
      halfway.spot = order_.Locate(KeyOf(commands[i - kHalf]));
    }
  }
}

ApplyResult StateMachine::Apply(const Command& command, const Place& place) {
  return std::visit([&](const auto& known) { return Apply(known, place); }, command);
}

ApplyResult StateMachine::Apply(const SetCommand& command, const Place& place) {
  const Item* newest = hash_.Find(place.hash, command.key);
  const Item* old = Alive(newest);
  if (const auto refusal = Refusal(old, command.expected_revision)) return *refusal;
  ++revision_;
  const Item& item =
      *ItemAccess::Make(heap_,
                        {.key = command.key,
                         .value = command.value,
                         .create_revision = old == nullptr ? revision_ : old->create_revision(),
                         .mod_revision = revision_,
                         .version = old == nullptr ? 1 : old->version() + 1,
                         .lease = LeaseId(0)},
                        newest);
  if (old != nullptr) CountOut(*old);
  CountIn(item);
  Put(place, newest, item);
  return ApplyResult{.revision = revision_};
}

ApplyResult StateMachine::Apply(const DeleteCommand& command, const Place& place) {
  const Item* old = Alive(hash_.Find(place.hash, command.key));
  if (const auto refusal = Refusal(old, command.expected_revision)) return *refusal;
  if (old == nullptr) return ApplyResult{.revision = revision_};
  ++revision_;
  CountOut(*old);
  Put(place, old, *ItemAccess::MakeTombstone(heap_, command.key, revision_, old));
  return ApplyResult{.revision = revision_, .deleted = 1};
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
    // More than may have been added, or what views have left would grow.
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
  memory_bytes_.store(heap_.used_bytes(), std::memory_order_relaxed);
}

void StateMachine::Unlink(const Item& by, const Item& item) {
  ItemAccess::SetPrevious(by, ItemAccess::Previous(item));
  epochs_.Retire(const_cast<Item*>(&item));
  // A deletion that hides nothing any more has done its work, once everybody sees it.
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
  machine_.hash_.Prefetch(pending_.back().hash);
  if (pending_.size() == kPendingMax) InsertPending();
}

void StateMachine::Loading::InsertPending() {
  for (const Pending& one : pending_) machine_.hash_.Insert(one.hash, *one.item);
  pending_.clear();
}

void StateMachine::Loading::Finish(Revision revision) {
  InsertPending();
  order_.Finish();
  machine_.revision_ = revision;
  machine_.Publish();
}

}  // namespace mokv::store
