// Assertions of our own invariants. They stay on in release: a dead replica is repaired by its
// quorum, a wrong one is believed. Never used on input from a client, peer, disk or file.
#pragma once

#include <fmt/format.h>

#include <string>

namespace mokv {

// Prints `file:line: check failed: ...` to standard error and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const std::string& message);

}  // namespace mokv

#define MOKV_CHECK(condition)                              \
  do {                                                     \
    if (!(condition)) [[unlikely]] {                       \
      ::mokv::CheckFailed(__FILE__, __LINE__, #condition); \
    }                                                      \
  } while (false)

#define MOKV_CHECK_OP_(a, op, b)                                                        \
  do {                                                                                  \
    const auto& mokv_check_a = (a);                                                     \
    const auto& mokv_check_b = (b);                                                     \
    if (!(mokv_check_a op mokv_check_b)) [[unlikely]] {                                 \
      ::mokv::CheckFailed(                                                              \
          __FILE__, __LINE__,                                                           \
          fmt::format("{} {} {} ({} vs {})", #a, #op, #b, mokv_check_a, mokv_check_b)); \
    }                                                                                   \
  } while (false)

#define MOKV_CHECK_EQ(a, b) MOKV_CHECK_OP_(a, ==, b)
#define MOKV_CHECK_NE(a, b) MOKV_CHECK_OP_(a, !=, b)
#define MOKV_CHECK_LT(a, b) MOKV_CHECK_OP_(a, <, b)
#define MOKV_CHECK_LE(a, b) MOKV_CHECK_OP_(a, <=, b)
#define MOKV_CHECK_GT(a, b) MOKV_CHECK_OP_(a, >, b)
#define MOKV_CHECK_GE(a, b) MOKV_CHECK_OP_(a, >=, b)

// Only where checking costs more than the work that is checked.
#ifdef NDEBUG
#define MOKV_DCHECK(condition) \
  do {                         \
    (void)sizeof(condition);   \
  } while (false)
#else
#define MOKV_DCHECK(condition) MOKV_CHECK(condition)
#endif
