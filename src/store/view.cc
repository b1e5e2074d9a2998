#include "store/view.h"

#include <utility>

#include "store/state_machine.h"
#include "store/store.h"

namespace mokv::store {

void Cursor::Seek(std::string_view from) {
  FetchAt(from);
  position_ = 0;
  while (position_ < items_.size() && items_[position_]->key() < from) ++position_;
  SkipForward();
}

void Cursor::Next() {
  if (position_ < items_.size()) ++position_;
  SkipForward();
}

void Cursor::SkipForward() {
  while (position_ == items_.size() && run_.high) {
    const std::string from = *run_.high;
    FetchAt(from);
    position_ = 0;
    // The leaf that ended here may have been merged since: then items come again.
    while (position_ < items_.size() && items_[position_]->key() < from) ++position_;
  }
}

void Cursor::FetchAt(std::string_view key) {
  const EpochGuard guard(machine_->epochs());
  machine_->order().ReadAt(key, run_);
  items_.clear();
  for (const Item* newest : run_.items) {
    const Item* visible = ItemAccess::VisibleAt(newest, revision_);
    if (visible != nullptr) items_.push_back(visible);
  }
}

View::View(std::shared_ptr<const StateMachine> machine)
    : machine_(std::move(machine)), state_(machine_->published().PinNewest()) {}
View::~View() { machine_->published().Unpin(state_); }

const Item* View::Find(std::string_view key) const {
  const EpochGuard guard(machine_->epochs());
  return machine_->Find(key, revision());
}

Cursor View::Seek(std::string_view from) const {
  Cursor cursor(*machine_, revision());
  cursor.Seek(from);
  return cursor;
}

Reader::Reader(const Store& store) : store_(store), machine_(store.Newest()) {}

const Item* Reader::Find(std::string_view key) {
  Renew();
  // First inside, then the revision: what is visible at it then stays until Leave.
  if (slot_ == nullptr) slot_ = &machine_->epochs().Enter();
  const uint64_t hash = machine_->hash().Hash(key);
  Revision revision = machine_->published().revision();
  while (true) {
    const Item* newest = machine_->hash().Find(hash, key);
    if (newest == nullptr || newest->mod_revision() <= revision) {
      return ItemAccess::VisibleAt(newest, revision);
    }
    // The version at `revision` is unlinked once its successor is published, which may be now.
    const Item* visible = ItemAccess::VisibleAt(newest, revision);
    const Revision now = machine_->published().revision();
    if (now == revision) return visible;
    revision = now;
  }
}

void Reader::Leave() {
  if (slot_ == nullptr) return;
  Epochs::Leave(*std::exchange(slot_, nullptr));
  replaced_.clear();
}

// While this reader holds its state, no other can have that state's address.
void Reader::Renew() {
  if (store_.newest_address_.load(std::memory_order_acquire) == machine_.get()) [[likely]]
    return;
  if (slot_ != nullptr) {
    // Nobody changes a replaced state any more: its items live as long as it does.
    Epochs::Leave(*std::exchange(slot_, nullptr));
    replaced_.push_back(std::move(machine_));
  }
  machine_ = store_.Newest();
}

}  // namespace mokv::store
