// Waiting for what another thread is about to do.
#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace mokv::net {

// Asks until `condition` holds, and says whether it did within half a minute: long
// enough for a loaded machine under a sanitizer.
inline bool Until(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace mokv::net
