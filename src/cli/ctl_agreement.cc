#include "cli/ctl_agreement.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/cluster.pb.h"

namespace mokv {
namespace {

using Digests = std::map<std::string, std::string>;  // By node.

// By index. What a node tells again is the same.
std::map<uint64_t, Digests> ByIndex(const std::map<std::string, api::StatusResponse>& nodes) {
  std::map<uint64_t, Digests> by_index;
  for (const auto& [name, node] : nodes) {
    for (const api::StateDigest& digest : node.digests()) {
      by_index[digest.index()][name] = fmt::format("{}/{}", digest.format(), DigestText(digest));
    }
  }
  return by_index;
}

}  // namespace

std::string DigestText(const api::StateDigest& digest) {
  return fmt::format("{:016x}{:016x}", digest.high(), digest.low());
}

Agreement FindAgreement(const std::map<std::string, api::StatusResponse>& nodes) {
  Agreement agreement;
  const Digests* told = nullptr;
  const std::map<uint64_t, Digests> by_index = ByIndex(nodes);
  for (const auto& [index, digests] : by_index) {
    if (told != nullptr && digests.size() < told->size()) continue;
    agreement.index = index;
    told = &digests;
  }
  if (told == nullptr) return agreement;
  std::string common;
  for (const auto& [name, digest] : *told) {
    const auto same = std::count_if(told->begin(), told->end(),
                                    [&](const auto& other) { return other.second == digest; });
    if (2 * static_cast<size_t>(same) > told->size()) common = digest;
  }
  for (const auto& [name, digest] : *told) agreement.by_name[name] = digest == common;
  agreement.digest = common.substr(common.find('/') + 1);
  return agreement;
}

std::string AgreementText(const Agreement& agreement) {
  if (agreement.by_name.size() < 2) return "";
  std::string others;
  for (const auto& [name, agrees] : agreement.by_name) {
    if (!agrees) others += (others.empty() ? "" : ", ") + name;
  }
  if (others.empty()) {
    return fmt::format("state: the same on {} nodes at entry {}, digest {}",
                       agreement.by_name.size(), agreement.index, agreement.digest);
  }
  if (agreement.digest.empty()) {
    return fmt::format("state: NO MAJORITY has the same at entry {}", agreement.index);
  }
  return fmt::format("state: {} DIFFERS from the others at entry {}, whose digest is {}", others,
                     agreement.index, agreement.digest);
}

}  // namespace mokv
