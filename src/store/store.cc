#include "store/store.h"

#include <utility>

#include "base/check.h"
#include "store/state_machine.h"

namespace mokv::store {
namespace {

class StoreReader final : public Reader {
 public:
  explicit StoreReader(const StateMachine& machine) : machine_(machine) {}
  ~StoreReader() override { StoreReader::Leave(); }

  const Item* Find(std::string_view key) override {
    // Inside before asking for the revision: what is visible now then stays until we leave.
    if (slot_ == nullptr) slot_ = &machine_.epochs().Enter();
    const uint64_t hash = machine_.hash().Hash(key);
    Revision revision = machine_.published().revision();
    while (true) {
      const Item* newest = machine_.hash().Find(hash, key);
      if (newest == nullptr || newest->mod_revision() <= revision) {
        return ItemAccess::VisibleAt(newest, revision);
      }
      // The version that we look for is unlinked once its successor is published, which may be now.
      const Item* visible = ItemAccess::VisibleAt(newest, revision);
      const Revision now = machine_.published().revision();
      if (now == revision) return visible;
      revision = now;
    }
  }

  void Leave() override {
    if (slot_ != nullptr) Epochs::Leave(*std::exchange(slot_, nullptr));
  }

 private:
  const StateMachine& machine_;
  Epochs::Slot* slot_ = nullptr;
};

// Holds a leaf's visible items at a time; an epoch only while it fetches them.
class ViewCursor final : public View::Cursor {
 public:
  ViewCursor(const StateMachine& machine, Revision revision)
      : machine_(machine), revision_(revision) {}

  void Seek(std::string_view from) {
    FetchAt(from);
    position_ = 0;
    while (position_ < items_.size() && items_[position_]->key() < from) ++position_;
    SkipForward();
  }

  void SeekBelow(std::optional<std::string_view> bound) {
    FetchBelow(bound);
    position_ = items_.size();
    while (bound && position_ > 0 && items_[position_ - 1]->key() >= *bound) --position_;
    StepBack();
  }

  const Item* item() const override {
    return position_ < items_.size() ? items_[position_] : nullptr;
  }

  void Next() override {
    if (before_first_) {
      // The run that was read last has nothing visible before it.
      before_first_ = false;
      position_ = 0;
    } else if (position_ < items_.size()) {
      ++position_;
    }
    SkipForward();
  }

  void Previous() override {
    if (!before_first_) StepBack();
  }

 private:
  // On from the end of a run to the next run that has something to see.
  void SkipForward() {
    while (position_ == items_.size() && run_.high) {
      const std::string from = *run_.high;
      FetchAt(from);
      position_ = 0;
      // The leaf that had ended here may have been merged since: what came before it comes again.
      while (position_ < items_.size() && items_[position_]->key() < from) ++position_;
    }
  }

  void StepBack() {
    while (position_ == 0 && run_.low) {
      const std::string bound = *run_.low;
      FetchBelow(bound);
      position_ = items_.size();
      while (position_ > 0 && items_[position_ - 1]->key() >= bound) --position_;
    }
    if (position_ > 0) {
      --position_;
    } else {
      before_first_ = true;
      position_ = items_.size();
    }
  }

  void FetchAt(std::string_view key) {
    const EpochGuard guard(machine_.epochs());
    machine_.order().ReadAt(key, run_);
    KeepVisible();
  }

  void FetchBelow(std::optional<std::string_view> bound) {
    const EpochGuard guard(machine_.epochs());
    machine_.order().ReadBelow(bound, run_);
    KeepVisible();
  }

  void KeepVisible() {
    items_.clear();
    for (const Item* newest : run_.items) {
      const Item* visible = ItemAccess::VisibleAt(newest, revision_);
      if (visible != nullptr) items_.push_back(visible);
    }
  }

  const StateMachine& machine_;
  const Revision revision_;
  OrderedIndex::Run run_;
  std::vector<const Item*> items_;
  size_t position_ = 0;  // In items_; its size means past the end.
  bool before_first_ = false;
};

class PinnedView final : public View {
 public:
  explicit PinnedView(std::shared_ptr<const StateMachine> machine)
      : machine_(std::move(machine)), state_(machine_->published().PinNewest()) {}
  ~PinnedView() override { machine_->published().Unpin(state_); }

  Revision revision() const override { return state_.revision; }
  const Stats& stats() const override { return state_.stats; }
  const Digest& digest() const override { return state_.digest; }

  const Item* Find(std::string_view key) const override {
    const EpochGuard guard(machine_->epochs());
    return machine_->Find(key, revision());
  }

  std::unique_ptr<Cursor> Seek(std::string_view from) const override {
    auto cursor = std::make_unique<ViewCursor>(*machine_, revision());
    cursor->Seek(from);
    return cursor;
  }

  std::unique_ptr<Cursor> SeekBelow(std::optional<std::string_view> bound) const override {
    auto cursor = std::make_unique<ViewCursor>(*machine_, revision());
    cursor->SeekBelow(bound);
    return cursor;
  }

 private:
  const std::shared_ptr<const StateMachine> machine_;
  State& state_;
};

}  // namespace

std::optional<std::string> BehindPrefix(std::string_view prefix) {
  std::string behind(prefix);
  while (!behind.empty() && behind.back() == '\xff') behind.pop_back();
  if (behind.empty()) return std::nullopt;
  behind.back() = static_cast<char>(static_cast<unsigned char>(behind.back()) + 1);
  return behind;
}

Store::Store() : Store(std::make_shared<StateMachine>(0)) {}
Store::Store(std::shared_ptr<StateMachine> machine) : machine_(std::move(machine)) {}
Store::~Store() = default;

ApplyResult Store::Apply(const Command& command) { return machine_->Apply(command); }

void Store::Apply(std::span<const Command> commands, std::vector<ApplyResult>& results) {
  machine_->Apply(commands, results);
}

void Store::Publish() { machine_->Publish(); }
void Store::Reclaim() { machine_->Reclaim(); }

Revision Store::revision() const { return machine_->published().revision(); }

Stats Store::stats() const { return TakeView()->stats(); }
Digest Store::digest() const { return TakeView()->digest(); }

uint64_t Store::memory_bytes() const { return machine_->memory_bytes(); }

std::unique_ptr<Reader> Store::NewReader() const {
  return std::make_unique<StoreReader>(*machine_);
}

std::shared_ptr<const View> Store::TakeView() const {
  return std::make_shared<PinnedView>(machine_);
}

}  // namespace mokv::store
