// Which sanitizer this was compiled with: under one everything takes several times as long, so tests
// of many random lives try fewer.
#pragma once

namespace mokv {

#if defined(__has_feature)  // Clang's; only Clang builds with sanitizers.
inline constexpr bool kAddressSanitizer = __has_feature(address_sanitizer);
inline constexpr bool kThreadSanitizer = __has_feature(thread_sanitizer);
#else
inline constexpr bool kAddressSanitizer = false;
inline constexpr bool kThreadSanitizer = false;
#endif

inline constexpr bool kSanitized = kAddressSanitizer || kThreadSanitizer;

}  // namespace mokv
