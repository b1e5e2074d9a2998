#include "sim/network.h"

#include <algorithm>

namespace mokv::sim {

Network::Fate Network::Send(Place from, Place to) {
  Link& link = links_[from][to];
  Fate fate;
  if (link.cut > 0 || dice_.Permille(static_cast<uint64_t>(std::min(link.loss, 950)))) {
    ++lost_;
    return fate;
  }
  fate.copies = 1;
  fate.delays[0] = Delay(link);
  if (dice_.Permille(static_cast<uint64_t>(std::min(link.duplication, 1000)))) {
    ++duplicated_;
    fate.copies = 2;
    // A duplicate may be very late: what it says is then long past.
    fate.delays[1] = fate.delays[0] + Delay(link) * (1 + static_cast<int64_t>(dice_.Below(20)));
  }
  if (link.echo > Duration(0) && fate.copies == 1) {
    fate.copies = 2;
    fate.delays[1] = link.echo + Delay(link);
  }
  return fate;
}

Duration Network::Delay(const Link& link) {
  Duration delay = link.delay + dice_.Between(delay_min_, delay_max_);
  if (link.jitter > Duration(0)) delay += dice_.Between(Duration(0), link.jitter);
  return delay;
}

void Network::Change(Place from, Place to, const Disturbance& by, int sign) {
  Link& link = links_[from][to];
  link.cut += by.cut ? sign : 0;
  link.loss += sign * by.loss;
  link.duplication += sign * by.duplication;
  link.delay += sign * by.delay;
  link.jitter += sign * by.jitter;
  link.echo += sign * by.echo;
}

}  // namespace mokv::sim
