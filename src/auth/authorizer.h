// Authorizer: which subject may do what to which object, as an access model and a policy say.
//
// Threads: immutable, so thread-safe. A reload makes a new one; shared ownership lets calls that
//          are under way finish with the old one.
// Cost:    Allows does two hash look-ups and no allocation; a rule for every object ends it there,
//          exact objects cost one more look-up, prefixes a binary search.
// Errors:  a model or a policy that is not wholly understood is refused, naming file and line:
//          half a policy could be more open than the whole one.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace mokv::auth {

inline constexpr std::string_view kConsume = "consume";  // Get, List.
inline constexpr std::string_view kProduce = "produce";  // Set, Delete.
inline constexpr std::string_view kAdmin = "admin";      // The cluster's service.

class Authorizer {
 public:
  // The names are for messages only. Which models there are: auth/model.h.
  static absl::StatusOr<std::shared_ptr<const Authorizer>> Create(const std::string& model_text,
                                                                  const std::string& model_name,
                                                                  const std::string& policy_text,
                                                                  const std::string& policy_name);
  // For a node without access files: every subject that the transport let in may do everything.
  static std::shared_ptr<const Authorizer> AllowAll();

  bool Allows(std::string_view subject, std::string_view object, std::string_view action) const;
  // Whether there is an object that Allows would allow.
  bool MightAllow(std::string_view subject, std::string_view action) const;
  // OK, or PERMISSION_DENIED: "SUBJECT not permitted to ACTION to OBJECT".
  absl::Status Check(std::string_view subject, std::string_view object,
                     std::string_view action) const;

 private:
  // Look-up by std::string_view without making a std::string of it.
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  template <typename Value>
  using Map = std::unordered_map<std::string, Value, Hash, std::equal_to<>>;
  using Set = std::unordered_set<std::string, Hash, std::equal_to<>>;

  // What one subject may do one action to.
  struct Objects {
    bool all = false;
    Set exact;
    // Sorted, and none begins with another: then only the last one that is not above an object can
    // be a prefix of it.
    std::vector<std::string> prefixes;

    bool Contains(std::string_view object) const;
    // Sorts `prefixes` and drops those that begin with another.
    void Tidy();
  };

  Authorizer() = default;
  const Objects* Find(std::string_view subject, std::string_view action) const;

  bool allow_all_ = false;
  Map<Map<Objects>> by_subject_and_action_;
};

}  // namespace mokv::auth
