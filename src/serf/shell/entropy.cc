#include "serf/shell/entropy.h"

#include <openssl/rand.h>

#include "base/check.h"

namespace mokv::serf {

uint64_t SystemRandom::Next() {
  if (next_ == buffer_.size()) {
    // Without entropy nothing can be encrypted safely.
    MOKV_CHECK_EQ(RAND_bytes(reinterpret_cast<unsigned char*>(buffer_.data()),
                             static_cast<int>(sizeof(buffer_))),
                  1);
    next_ = 0;
  }
  return buffer_[next_++];
}

}  // namespace mokv::serf
