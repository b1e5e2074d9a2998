#include "store/store.h"

#include <atomic>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/mutex.h"
#include "store/tree.h"

namespace mokv::store {
namespace {

static_assert(sizeof(StoredItem) < kItemOverheadBytes);

// One published state. Immutable.
class Snapshot final : public View {
 public:
  Snapshot(Ref<Node> root, Revision revision, Stats stats)
      : root_(std::move(root)), revision_(revision), stats_(stats) {}

  Revision revision() const override { return revision_; }
  uint64_t size() const override { return stats_.keys; }
  const Stats& stats() const { return stats_; }
  const Item* Find(std::string_view key) const override { return FindItem(*root_, key); }
  std::unique_ptr<Cursor> Seek(std::string_view from) const override {
    return std::make_unique<TreeCursor>(*root_, from);
  }

 private:
  const Ref<Node> root_;
  const Revision revision_;
  const Stats stats_;
};

using SnapshotPtr = std::shared_ptr<const Snapshot>;

uint64_t BytesOf(const Item& item) {
  return item.key.size() + item.value.size() + kItemOverheadBytes;
}

// Where the writer leaves each new state for the readers. Thread-safe.
class Publication {
 public:
  explicit Publication(SnapshotPtr first) : newest_(std::move(first)) {}

  // Every state that differs from the one before has a revision of its own, so the revision alone
  // tells a reader whether the state that it holds is still the newest.
  Revision revision() const { return Revision(revision_.load(std::memory_order_acquire)); }

  SnapshotPtr Newest() const {
    MutexLock lock(mutex_);
    return newest_;
  }

  void Replace(SnapshotPtr snapshot) {
    {
      MutexLock lock(mutex_);
      newest_.swap(snapshot);
      revision_.store(newest_->revision().value(), std::memory_order_release);
    }
    // The state before is dropped here, outside the lock: it can be much work.
  }

 private:
  mutable Mutex mutex_;
  SnapshotPtr newest_ ABSL_GUARDED_BY(mutex_);
  // In a cache line of its own: readers look at it all the time, and only publishing writes it.
  alignas(64) std::atomic<uint64_t> revision_{0};
};

// Holds the state it saw last, so that reading takes the lock only after something was published.
class PublicationReader final : public Reader {
 public:
  explicit PublicationReader(const Publication& publication) : publication_(publication) {}

  const Item* Find(std::string_view key) override {
    if (publication_.revision() != seen_) Refresh();
    return current_->Find(key);
  }

  void Leave() override {
    superseded_.clear();
    // Between turns a reader holds only what was the newest when it left: at most one old state.
    if (publication_.revision() != seen_) Forget();
  }

 private:
  static constexpr Revision kNothingSeen{std::numeric_limits<uint64_t>::max()};

  void Refresh() {
    // Items that this turn has already found stay valid until it ends.
    if (current_ != nullptr) superseded_.push_back(std::move(current_));
    current_ = publication_.Newest();
    seen_ = current_->revision();
  }

  void Forget() {
    current_ = nullptr;
    seen_ = kNothingSeen;
  }

  const Publication& publication_;
  SnapshotPtr current_;
  Revision seen_ = kNothingSeen;
  std::vector<SnapshotPtr> superseded_;
};

}  // namespace

class Store::Impl {
 public:
  ApplyResult Apply(const SetCommand& command);
  ApplyResult Apply(const DeleteCommand& command);
  void Publish();
  const Publication& publication() const { return publication_; }

 private:
  // The outcome if the condition does not hold.
  std::optional<ApplyResult> Refusal(const Item* found, std::optional<Revision> expected) const;

  // The writer's own; ahead of what is published.
  Tree tree_;
  Revision revision_;
  Stats stats_;

  Publication publication_{std::make_shared<Snapshot>(tree_.Freeze(), revision_, stats_)};
};

std::optional<ApplyResult> Store::Impl::Refusal(const Item* found,
                                                std::optional<Revision> expected) const {
  const Revision found_revision = found == nullptr ? Revision(0) : found->mod_revision;
  if (!expected || *expected == found_revision) return std::nullopt;
  return ApplyResult{.outcome = ApplyResult::Outcome::kConditionFailed,
                     .revision = revision_,
                     .found_revision = found_revision};
}

ApplyResult Store::Impl::Apply(const SetCommand& command) {
  const Item* old = tree_.Find(command.key);
  if (const auto refusal = Refusal(old, command.expected_revision)) return *refusal;
  ++revision_;
  Item item{.key = command.key,
            .value = command.value,
            .create_revision = old == nullptr ? revision_ : old->create_revision,
            .mod_revision = revision_,
            .version = old == nullptr ? 1 : old->version + 1,
            .lease = LeaseId(0)};
  if (old == nullptr) {
    ++stats_.keys;
  } else {
    MOKV_CHECK_LT(old->mod_revision, revision_);
    stats_.bytes -= BytesOf(*old);
  }
  stats_.bytes += BytesOf(item);
  tree_.Put(MakeRef<StoredItem>(std::move(item)));
  return ApplyResult{.revision = revision_};
}

ApplyResult Store::Impl::Apply(const DeleteCommand& command) {
  const Item* old = tree_.Find(command.key);
  if (const auto refusal = Refusal(old, command.expected_revision)) return *refusal;
  if (old == nullptr) return ApplyResult{.revision = revision_};
  ++revision_;
  MOKV_CHECK_GE(stats_.bytes, BytesOf(*old));
  stats_.bytes -= BytesOf(*old);
  --stats_.keys;
  MOKV_CHECK(tree_.Erase(command.key));
  return ApplyResult{.revision = revision_, .deleted = 1};
}

void Store::Impl::Publish() {
  if (revision_ == publication_.revision()) return;
  publication_.Replace(std::make_shared<Snapshot>(tree_.Freeze(), revision_, stats_));
}

Store::Store() : impl_(std::make_unique<Impl>()) {}
Store::~Store() = default;

ApplyResult Store::Apply(const Command& command) {
  return std::visit([this](const auto& known) { return impl_->Apply(known); }, command);
}

void Store::Publish() { impl_->Publish(); }

Revision Store::revision() const { return impl_->publication().revision(); }

Stats Store::stats() const { return impl_->publication().Newest()->stats(); }

std::unique_ptr<Reader> Store::NewReader() const {
  return std::make_unique<PublicationReader>(impl_->publication());
}

std::shared_ptr<const View> Store::TakeView() const { return impl_->publication().Newest(); }

}  // namespace mokv::store
