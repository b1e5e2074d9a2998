#include "machine/machine.h"

#include <utility>

#include "base/status.h"
#include "machine/command.h"

namespace mokv::machine {
namespace {

// Commands that are decoded and applied together: enough for the store to fetch memory ahead.
constexpr size_t kTogetherMax = 128;
// And their bytes, as decoding copies them.
constexpr uint64_t kTogetherBytesMax = uint64_t{1} << 20;

// From entries to the store, some commands at a time.
class Applier {
 public:
  Applier(store::Store& store, std::vector<Result>& results) : store_(store), results_(results) {}

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
    store_.Apply(transactions_, results_);
    transactions_.clear();
    bytes_ = 0;
  }

 private:
  absl::Status AddCommand(const Entry& entry) {
    absl::StatusOr<Command> command = DecodeCommand(entry.bytes());
    if (!command.ok()) {
      return DataLoss("log entry {}: {}", entry.index, MessageOf(command.status()));
    }
    transactions_.push_back(std::move(command->operations));
    bytes_ += entry.bytes().size();
    if (transactions_.size() >= kTogetherMax || bytes_ >= kTogetherBytesMax) Flush();
    return absl::OkStatus();
  }

  store::Store& store_;
  std::vector<Result>& results_;
  std::vector<store::Transaction> transactions_;
  uint64_t bytes_ = 0;
};

}  // namespace

absl::Status Machine::Apply(std::span<const Entry> entries, std::vector<Result>& results) {
  results.reserve(results.size() + entries.size());
  Applier applier(store_, results);
  for (const Entry& entry : entries) MOKV_RETURN_IF_ERROR(applier.Add(entry));
  applier.Flush();
  return absl::OkStatus();
}

}  // namespace mokv::machine
