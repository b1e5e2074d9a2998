// HandshakeBudget: how many steps of TLS handshakes one I/O thread makes in one turn. Each takes some
// half of a millisecond, and any stranger may ask for one: without a bound, those whose connections are
// established would wait for hundreds of them.
//
// Owner:   an IoThread has one.
// Threads: confined to its I/O thread. Pure.
#pragma once

namespace mokv::net {

class HandshakeBudget {
 public:
  static constexpr int kStepsPerTurnMax = 2;

  // False: in the next turn; the socket is still ready then.
  bool TakeStep() {
    if (steps_ == 0) return false;
    --steps_;
    return true;
  }
  void BeginTurn() { steps_ = kStepsPerTurnMax; }

 private:
  int steps_ = kStepsPerTurnMax;
};

}  // namespace mokv::net
