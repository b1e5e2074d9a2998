// Whether the nodes of a cluster have the same state, by the digests that they tell. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace api {
class StateDigest;
class StatusResponse;
}  // namespace api

namespace mokv {

struct Agreement {
  uint64_t index = 0;  // The newest entry for which most of them tell; 0: there is none.
  std::map<std::string, bool>
      by_name;         // Of those that tell for it: whether it has the common state.
  std::string digest;  // Of the common state; empty: no majority of them has one.
};

// 32 hexadecimal digits, as nodes log them.
std::string DigestText(const api::StateDigest& digest);

// Common is what more than half of those have that tell for the index. A node that has just been
// started tells for none, and is left out.
Agreement FindAgreement(const std::map<std::string, api::StatusResponse>& nodes);

// One line for people; empty where there is nothing to compare.
std::string AgreementText(const Agreement& agreement);

}  // namespace mokv
