// ItemFilter: which items one call may show its subject, as it goes through the keys in order. The
// rules come as ranges of keys, so most items cost a comparison of texts, and keys that are not
// allowed are stepped over.
//
// Threads: confined to one thread at a time; the rules may be replaced meanwhile by any.
// Owner:   a call's source. Borrows the access rules.
#pragma once

#include <absl/status/status.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "auth/access.h"

namespace mokv::service {

class ItemFilter {
 public:
  // Of keys that begin with `prefix`. `object_is_any`: one question, about `*`, decides of them all.
  ItemFilter(const auth::Access& access, std::string subject, std::string prefix,
             bool object_is_any);

  // Whether there may be a key at all, with this prefix or another, that is allowed.
  bool MightShowAny() const;

  struct Answer {
    bool allowed = false;
    // Where to go on if this key is not allowed. A key: none between this one and that one is. Empty: only
    // this key is known not to be allowed; try the one behind it. None: no key behind it is allowed.
    std::optional<std::string_view> next;
  };
  // Keys must come in ascending order. The view is valid until the next call.
  Answer Ask(std::string_view key);

  // To be called now and then. When other rules are in force by which something of the prefix from
  // `from` on is not allowed any more, or may not be: PERMISSION_DENIED, and the call is to end. Rules
  // that only allow more are taken over.
  absl::Status Renew(std::string_view from);

 private:
  std::vector<auth::ObjectRange> RangesOf(const auth::Authorizer& rules) const;

  const auth::Access& access_;
  const std::string subject_;
  const std::string prefix_;
  const bool object_is_any_;
  std::shared_ptr<const auth::Authorizer> rules_;
  std::vector<auth::ObjectRange> ranges_;
  size_t at_ = 0;  // The range that has the last key.
};

}  // namespace mokv::service
