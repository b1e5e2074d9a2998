// Waiting for what another thread is to answer.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <future>

namespace mokv::service::testing {

// Waits, but not for ever: after a minute without an answer the test has failed, and gets an empty
// one.
template <typename Answer>
Answer Await(std::future<Answer> answer) {
  if (answer.wait_for(std::chrono::seconds(60)) == std::future_status::ready) return answer.get();
  ADD_FAILURE() << "no answer within a minute";
  return {};
}

}  // namespace mokv::service::testing
