#include "load/schedule.h"

#include <cmath>

#include "base/check.h"

namespace mokv::load {

Schedule::Schedule(Arrivals arrivals, double rate, uint64_t begin_ns, uint32_t index,
                   uint32_t shares, uint64_t seed)
    : arrivals_(arrivals),
      begin_ns_(begin_ns),
      first_ns_(1e9 * index / rate),
      gap_ns_(1e9 * shares / rate),
      random_(seed),
      offset_ns_(arrivals == Arrivals::kEven ? first_ns_ : RandomGap()) {
  MOKV_CHECK(rate > 0);
  MOKV_CHECK_LT(index, shares);
}

void Schedule::Advance() {
  ++passed_;
  // Even arrivals by multiplication: a sum of rounded gaps would drift from the rate.
  offset_ns_ = arrivals_ == Arrivals::kEven ? first_ns_ + gap_ns_ * static_cast<double>(passed_)
                                            : offset_ns_ + RandomGap();
}

// Exponentially distributed: arrivals that know nothing of each other, as those of many clients.
double Schedule::RandomGap() {
  const double uniform = static_cast<double>(random_.Next() >> 11) * 0x1.0p-53;  // In [0, 1).
  return -std::log1p(-uniform) * gap_ns_;
}

}  // namespace mokv::load
