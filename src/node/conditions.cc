#include "node/conditions.h"

#include <algorithm>

#include "base/logging.h"

namespace mokv {
namespace {

constexpr std::string_view kFenced = "fenced";
constexpr std::string_view kState = "state";
constexpr std::string_view kMember = "member";
constexpr std::string_view kLog = "acknowledged-entries";
constexpr std::string_view kSpace = "space";
constexpr std::string_view kSnapshots = "snapshots";
constexpr std::string_view kMemory = "memory";
constexpr std::string_view kFiles = "files";

bool Has(const std::vector<Condition>& conditions, const std::string& name) {
  return std::any_of(conditions.begin(), conditions.end(),
                     [&](const Condition& condition) { return condition.name == name; });
}

}  // namespace

std::vector<std::string> ConditionNames() {
  return {std::string(kFenced), std::string(kState),     std::string(kMember), std::string(kLog),
          std::string(kSpace),  std::string(kSnapshots), std::string(kMemory), std::string(kFiles)};
}

std::vector<Condition> FindConditions(const ConditionInputs& inputs) {
  std::vector<Condition> found;
  const auto add = [&](std::string_view name, std::string what, std::string text) {
    found.push_back({std::string(name), std::move(what), std::move(text)});
  };
  if (!inputs.fenced.empty()) add(kFenced, "fenced", inputs.fenced);
  if (!inputs.differing.empty()) {
    add(kState, "replicas differ",
        fmt::format("{}. Compare the nodes' data with a backup, and rebuild those that are wrong "
                    "(mokvctl rebuild)",
                    inputs.differing));
  }
  if (inputs.status.is_member) {
    // As it should be.
  } else if (inputs.is_rebuilt) {
    add(kMember, "rebuilt, waits to be added",
        fmt::format("was rebuilt, and waits until the leader puts it in the place of what it was: "
                    "by start-join-addrs, or with mokvctl member add {0} HOST:PORT. If that lasts, "
                    "the leader's log says why; one of an older version wants mokvctl member "
                    "remove {0} first",
                    inputs.node_name));
  } else if (inputs.met_as_another_instance) {
    add(kMember, "another instance is the member",
        fmt::format("another instance of {0} is the member, with another data directory. If that "
                    "is lost: stop this node, run mokvctl rebuild on its data-dir, and start it; "
                    "or mokvctl member remove {0} first, then this one is added",
                    inputs.node_name));
  } else {
    add(kMember, "waits to be added",
        fmt::format("waits to be added to a cluster: by start-join-addrs, or with mokvctl member "
                    "add {} HOST:PORT",
                    inputs.node_name));
  }
  if (inputs.status.lost_through != Index()) {
    add(kLog, "lacks acknowledged entries",
        fmt::format("lacks entries up to {} that it had acknowledged: was an older copy of its "
                    "data directory put back? It serves once it has them again",
                    inputs.status.lost_through));
  }
  if (inputs.out_of_space) {
    add(kSpace, "no space",
        "there is no space for the log: writes are refused until there is; make room in data-dir");
  }
  if (const std::string& error = inputs.status.snapshots.last_error; !error.empty()) {
    add(kSnapshots, "no new snapshots",
        fmt::format("the last snapshot could not be written or fetched: {}. It is tried again; "
                    "until then the log grows and nothing is lost. Make room in data-dir, or look "
                    "at its disk",
                    error));
  }
  if (inputs.memory_bytes_max > 0 && inputs.memory_bytes >= inputs.memory_bytes_max) {
    add(kMemory, "memory limit",
        fmt::format("the store has {} bytes, max-memory-bytes is {}: writes that may grow it are "
                    "refused; delete keys, or raise the limit",
                    inputs.memory_bytes, inputs.memory_bytes_max));
  }
  // Conditions are told to everybody; why, and in which file and line, only in the log.
  for (const std::string& what : inputs.not_reloaded) {
    add(kFiles, fmt::format("{} not reloaded", what),
        fmt::format("the {} were changed, but cannot be used; the old ones stay in force. The "
                    "node's log says why; if it does not, the disk or network that has their "
                    "files does not answer",
                    what));
  }
  return found;
}

void ConditionLog::Update(const std::vector<Condition>& now) {
  for (const Condition& condition : now) {
    if (Has(told_, condition.name)) continue;
    LogWarn(condition.what, {{"check", condition.name}, {"reason", condition.text}});
  }
  for (const Condition& condition : told_) {
    if (!Has(now, condition.name)) LogInfo("is over: " + condition.what);
  }
  told_ = now;
}

}  // namespace mokv
