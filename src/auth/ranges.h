// Ranges: for one request whose object is left open, which objects are allowed, which are not, and which
// have to be asked for one by one. Pure functions.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "auth/program.h"
#include "auth/truth.h"

namespace mokv::auth {

// Objects from `begin` up to, but without, `end`, in byte order.
struct ObjectRange {
  std::string begin;
  std::optional<std::string> end;  // None: there is no end.
  Truth allowed = Truth::kFalse;   // kUnknown: they have to be asked for one by one.

  bool operator==(const ObjectRange&) const = default;
};

// The whole space of objects, in order, without gaps; neighbours differ in `allowed`. The request's own
// object is not looked at.
std::vector<ObjectRange> RangesOf(const Program& program,
                                  std::span<const std::string_view> request);

// Which of all ranges has this object. Whoever goes through objects in order keeps it until its end.
size_t RangeAt(std::span<const ObjectRange> ranges, std::string_view object);

// Whether there may be an object that is allowed.
bool MightAllowSome(std::span<const ObjectRange> ranges);

// What is allowed of all objects from `begin` up to, but without, `end` (none: to the end of all):
// kTrue or kFalse if it is so for every one of them, otherwise kUnknown. Of no object at all: kTrue.
Truth AllowedWithin(std::span<const ObjectRange> ranges, std::string_view begin,
                    std::optional<std::string_view> end);

}  // namespace mokv::auth
