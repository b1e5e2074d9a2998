#include "replica/apply.h"

#include <utility>

#include "base/status.h"

namespace mokv::replica {
namespace {

// Commands that are decoded and applied together: enough for the store to fetch memory ahead.
constexpr size_t kTogetherMax = 128;
// And their bytes, as decoding copies them.
constexpr uint64_t kTogetherBytesMax = uint64_t{1} << 20;

// From entries to the state machine, some commands at a time.
class Applier {
 public:
  Applier(store::Store& store, std::vector<store::ApplyResult>& results)
      : store_(store), results_(results) {}

  absl::Status Add(const Entry& entry) {
    switch (entry.type) {
      case EntryType::kNoOp:
      case EntryType::kConfiguration:  // The core's.
        Flush();
        results_.emplace_back();
        return absl::OkStatus();
      case EntryType::kCommand:
        return AddCommand(entry);
    }
    return DataLoss("log entry {} has type {}, which this version does not know", entry.index,
                    static_cast<int>(entry.type));
  }

  void Flush() {
    store_.Apply(commands_, results_);
    commands_.clear();
    bytes_ = 0;
  }

 private:
  absl::Status AddCommand(const Entry& entry) {
    absl::StatusOr<store::Command> command = store::DecodeCommand(entry.bytes());
    if (!command.ok()) {
      return DataLoss("log entry {}: {}", entry.index, MessageOf(command.status()));
    }
    commands_.push_back(*std::move(command));
    bytes_ += entry.bytes().size();
    if (commands_.size() >= kTogetherMax || bytes_ >= kTogetherBytesMax) Flush();
    return absl::OkStatus();
  }

  store::Store& store_;
  std::vector<store::ApplyResult>& results_;
  std::vector<store::Command> commands_;
  uint64_t bytes_ = 0;
};

}  // namespace

absl::Status ApplyEntries(store::Store& store, std::span<const Entry> entries,
                          std::vector<store::ApplyResult>& results) {
  results.reserve(results.size() + entries.size());
  Applier applier(store, results);
  for (const Entry& entry : entries) MOKV_RETURN_IF_ERROR(applier.Add(entry));
  applier.Flush();
  return absl::OkStatus();
}

}  // namespace mokv::replica
