#include "serf/suspicion.h"

#include <algorithm>
#include <cmath>

namespace mokv::serf {

Duration Suspicion::TimeoutMin(size_t members, const Timing& timing) {
  const double scale = std::max(1.0, std::log10(static_cast<double>(std::max<size_t>(1, members))));
  const double ns =
      timing.suspicion_mult * scale * static_cast<double>(timing.probe_interval.count());
  return Duration(static_cast<int64_t>(ns));
}

Suspicion::Suspicion(std::string_view accuser, size_t members, const Timing& timing,
                     MonotonicTime now)
    : start_(now),
      check_pause_(timing.probe_interval / 2),
      min_(TimeoutMin(members, timing)),
      max_(min_ * timing.suspicion_max_timeout_mult),
      confirmations_wanted_(timing.suspicion_mult - 2) {
  // Too few others to ever confirm: there is nothing to wait for.
  if (static_cast<int64_t>(members) - 2 < confirmations_wanted_) confirmations_wanted_ = 0;
  accusers_.emplace(accuser);
  deadline_ = start_ + (confirmations_wanted_ < 1 ? min_ : max_);
}

bool Suspicion::Confirm(std::string_view from) {
  const int confirmations = static_cast<int>(accusers_.size()) - 1;
  if (confirmations >= confirmations_wanted_ || accusers_.contains(from)) return false;
  accusers_.emplace(from);
  const double share = std::log(confirmations + 2.0) / std::log(confirmations_wanted_ + 1.0);
  const double ns =
      static_cast<double>(max_.count()) - static_cast<double>((max_ - min_).count()) * share;
  const auto timeout =
      std::chrono::duration_cast<std::chrono::milliseconds>(Duration(static_cast<int64_t>(ns)));
  deadline_ = start_ + std::max(min_, Duration(timeout));
  return true;
}

MonotonicTime Suspicion::next_check() const {
  if (checks_left_ == 0) return MonotonicTime::Max();
  return deadline_ - check_pause_ * checks_left_;
}

void Suspicion::Checked(MonotonicTime now) {
  // Confirmations may have moved the deadline past several at once.
  while (checks_left_ > 0 && next_check() <= now) --checks_left_;
}

}  // namespace mokv::serf
