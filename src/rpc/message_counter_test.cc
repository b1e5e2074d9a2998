#include "rpc/message_counter.h"

#include <gtest/gtest.h>

#include "rpc/testing/raw_http2.h"

namespace mokv::rpc {
namespace {

TEST(MessageCounterTest, CountsEndsHoweverTheBytesAreCut) {
  const std::string bytes = Message("one") + Message("") + Message(std::string(300, 'x'));
  for (size_t size = 1; size <= bytes.size(); ++size) {
    MessageCounter counter;
    size_t messages = 0;
    for (size_t at = 0; at < bytes.size(); at += size) {
      messages += counter.Count(std::string_view(bytes).substr(at, size));
    }
    EXPECT_EQ(messages, size_t{3}) << size;
  }
}

TEST(MessageCounterTest, AMessageCountsWhenAllOfItIsThere) {
  MessageCounter counter;
  const std::string bytes = Message("abc");
  EXPECT_EQ(counter.Count(bytes.substr(0, 7)), size_t{0});
  EXPECT_EQ(counter.Count(bytes.substr(7)), size_t{1});
}

}  // namespace
}  // namespace mokv::rpc
