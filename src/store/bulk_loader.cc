#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "base/utf8.h"
#include "store/state_machine.h"
#include "store/store.h"

namespace mokv::store {

class BulkLoader::Impl {
 public:
  explicit Impl(uint64_t expected_items)
      : machine(std::make_shared<StateMachine>(expected_items)), loading(*machine) {}
  ~Impl() { Finish(newest); }  // Not finished: its items are freed with it.

  void Finish(Revision revision) {
    if (!std::exchange(finished, true)) loading.Finish(revision);
  }

  std::shared_ptr<StateMachine> machine;
  StateMachine::Loading loading;
  std::string last_key;
  bool any = false;
  bool finished = false;
  Revision newest;
};

BulkLoader::BulkLoader(uint64_t expected_items) : impl_(std::make_unique<Impl>(expected_items)) {}
BulkLoader::~BulkLoader() = default;

absl::Status BulkLoader::Add(const ItemFields& item) {
  MOKV_CHECK(impl_ != nullptr);
  if (impl_->any && item.key <= impl_->last_key) {
    return DataLoss("items out of order: key {} follows {}", Quoted(item.key),
                    Quoted(impl_->last_key));
  }
  if (item.version == 0 || item.create_revision == Revision(0) ||
      item.create_revision > item.mod_revision || item.mod_revision > kRevisionMax) {
    return DataLoss("key {}: version {}, created at revision {}, modified at {}", Quoted(item.key),
                    item.version, item.create_revision, item.mod_revision);
  }
  impl_->loading.Append(item);
  impl_->last_key = item.key;
  impl_->any = true;
  impl_->newest = std::max(impl_->newest, item.mod_revision);
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Store>> BulkLoader::Finish(Revision revision) {
  MOKV_CHECK(impl_ != nullptr);
  const std::unique_ptr<Impl> impl = std::move(impl_);
  if (revision > kRevisionMax) {
    return DataLoss("revision {} is above the limit of {}", revision, kRevisionMax);
  }
  if (impl->newest > revision) {
    return DataLoss("an item of revision {} in a state of revision {}", impl->newest, revision);
  }
  impl->Finish(revision);
  return std::unique_ptr<Store>(new Store(impl->machine));
}

}  // namespace mokv::store
