#include "auth/access.h"

#include <utility>

#include "base/check.h"

namespace mokv::auth {

Access::Access(std::shared_ptr<const Authorizer> rules, size_t io_threads)
    : seats_(io_threads), rules_(std::move(rules)), newest_(rules_.get()) {
  MOKV_CHECK(rules_ != nullptr);
  for (Seat& seat : seats_) seat.rules = rules_;
}

std::shared_ptr<const Authorizer> Access::rules() const {
  const MutexLock lock(mutex_);
  return rules_;
}

void Access::Replace(std::shared_ptr<const Authorizer> rules) {
  MOKV_CHECK(rules != nullptr);
  const MutexLock lock(mutex_);
  rules_.swap(rules);
  newest_.store(rules_.get(), std::memory_order_release);
}

}  // namespace mokv::auth
