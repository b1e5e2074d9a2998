// StrongInt: a 64-bit number with a type of its own, so that an index is not passed as a term.
// Ordered and printable; arithmetic is only what counting needs. A plain value.
#pragma once

#include <fmt/format.h>

#include <compare>
#include <cstdint>

namespace mokv {

template <typename Tag>
class StrongInt {
 public:
  constexpr StrongInt() = default;
  constexpr explicit StrongInt(uint64_t value) : value_(value) {}

  constexpr uint64_t value() const { return value_; }
  constexpr StrongInt next() const { return StrongInt(value_ + 1); }

  constexpr StrongInt operator+(uint64_t n) const { return StrongInt(value_ + n); }
  constexpr StrongInt operator-(uint64_t n) const { return StrongInt(value_ - n); }
  constexpr uint64_t operator-(StrongInt other) const { return value_ - other.value_; }
  constexpr StrongInt& operator++() {
    ++value_;
    return *this;
  }
  constexpr auto operator<=>(const StrongInt&) const = default;

 private:
  uint64_t value_ = 0;
};

}  // namespace mokv

template <typename Tag>
struct fmt::formatter<mokv::StrongInt<Tag>> : fmt::formatter<uint64_t> {
  template <typename Context>
  auto format(mokv::StrongInt<Tag> number, Context& context) const {
    return fmt::formatter<uint64_t>::format(number.value(), context);
  }
};
