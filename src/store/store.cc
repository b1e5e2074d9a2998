#include "store/store.h"

#include <utility>

#include "base/check.h"
#include "store/state_machine.h"

namespace mokv::store {

Store::Store() : Store(std::make_shared<StateMachine>(0)) {}
Store::Store(std::shared_ptr<StateMachine> machine)
    : machine_(std::move(machine)), newest_address_(machine_.get()), newest_(machine_) {}
Store::~Store() = default;

ApplyResult Store::Apply(const Operation& operation) { return machine_->Apply(operation); }

void Store::Apply(std::span<const Transaction> transactions, std::vector<ApplyResult>& results) {
  machine_->Apply(transactions, results);
}

void Store::Publish() { machine_->Publish(); }
void Store::Reclaim() { machine_->Reclaim(); }

Revision Store::revision() const { return Newest()->published().revision(); }
Stats Store::stats() const { return TakeView()->stats(); }
Digest Store::digest() const { return TakeView()->digest(); }
uint64_t Store::memory_bytes() const { return Newest()->memory_bytes(); }

std::shared_ptr<const View> Store::TakeView() const { return std::make_shared<View>(Newest()); }

std::shared_ptr<const StateMachine> Store::Newest() const {
  const MutexLock lock(mutex_);
  return newest_;
}

std::shared_ptr<const void> Store::Install(std::unique_ptr<Store> loaded) {
  MOKV_CHECK(loaded != nullptr && loaded->machine_ != machine_);
  std::shared_ptr<const void> before = std::exchange(machine_, loaded->machine_);
  // Both under the lock: whoever has taken a view of the state must not find an older one with a
  // Reader.
  const MutexLock lock(mutex_);
  newest_ = machine_;
  newest_address_.store(machine_.get(), std::memory_order_release);
  return before;
}

}  // namespace mokv::store
