#include "machine/machine.h"

#include <optional>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/status.h"
#include "machine/command.h"

namespace mokv::machine {
namespace {

// Commands that are decoded and applied together: enough for the store to fetch memory ahead.
constexpr size_t kTogetherMax = 128;
// And their bytes, as decoding copies them.
constexpr uint64_t kTogetherBytesMax = uint64_t{1} << 20;

}  // namespace

// From entries to the state: operations go to the store some commands at a time. Whatever has to do
// with sessions waits until those before it have been carried out.
class Machine::Applier {
 public:
  Applier(Machine& machine, std::vector<Result>& results)
      : store_(machine.store_),
        sessions_(*machine.sessions_),
        sessions_changed_(machine.sessions_changed_),
        results_(results) {}

  void Add(DecodedEntry& entry) {
    Command& command = entry.command;
    if (command.operations.empty() || command.session.has_value()) {
      Flush();
      results_.push_back(AloneOf(entry.index, command));
      return;
    }
    transactions_.push_back(std::move(command.operations));
    bytes_ += entry.bytes;
    if (transactions_.size() >= kTogetherMax || bytes_ >= kTogetherBytesMax) Flush();
  }

  void Flush() {
    if (transactions_.empty()) return;
    applied_.clear();
    applied_.reserve(transactions_.size());
    store_.Apply(transactions_, applied_);
    for (const store::ApplyResult& applied : applied_) results_.push_back(ResultOf(applied));
    transactions_.clear();
    bytes_ = 0;
  }

 private:
  Result AloneOf(Index index, Command& command) {
    if (std::holds_alternative<std::monostate>(command.control) && command.operations.empty()) {
      return {};  // The core's.
    }
    sessions_changed_ = true;
    if (command.operations.empty()) return Control(index, command.control);
    return InSession(*command.session, std::move(command.operations));
  }

  Result InSession(const SessionContext& context, store::Transaction operations) {
    if (std::optional<Result> known = sessions_.Begin(context)) return *std::move(known);
    applied_.clear();
    store_.Apply({&operations, 1}, applied_);
    sessions_.Answer(context, applied_.front());
    return ResultOf(applied_.front());
  }

  Result Control(Index index, const Command::Control& control) {
    if (const auto* open = std::get_if<OpenSession>(&control)) {
      return sessions_.Open(SessionId(index.value()), *open);
    }
    if (const auto* keep_alive = std::get_if<KeepAlive>(&control)) {
      return sessions_.Renew(*keep_alive);
    }
    if (const auto* close = std::get_if<CloseSession>(&control)) return sessions_.Close(*close);
    sessions_.AdvanceTo(std::get<AdvanceTime>(control).to);
    return {};
  }

  store::Store& store_;
  Sessions& sessions_;
  bool& sessions_changed_;
  std::vector<Result>& results_;
  std::vector<store::Transaction> transactions_;
  std::vector<store::ApplyResult> applied_;
  uint64_t bytes_ = 0;
};

absl::StatusOr<DecodedEntry> Decode(const Entry& entry) {
  DecodedEntry decoded{.index = entry.index, .command = {}, .bytes = entry.bytes().size()};
  switch (entry.type) {
    case EntryType::kNoOp:
    case EntryType::kConfiguration:  // The core's.
      return decoded;
    case EntryType::kCommand: {
      absl::StatusOr<Command> command = DecodeCommand(entry.bytes());
      if (!command.ok()) {
        return DataLoss("log entry {}: {}", entry.index, MessageOf(command.status()));
      }
      decoded.command = *std::move(command);
      return decoded;
    }
  }
  return DataLoss("log entry {} has type {}, which this version does not know", entry.index,
                  static_cast<int>(entry.type));
}

absl::Status Machine::Apply(std::span<const Entry> entries, std::vector<Result>& results) {
  results.reserve(results.size() + entries.size());
  Applier applier(*this, results);
  for (const Entry& entry : entries) {
    MOKV_ASSIGN_OR_RETURN(DecodedEntry decoded, Decode(entry));
    applier.Add(decoded);
  }
  applier.Flush();
  return absl::OkStatus();
}

void Machine::Apply(std::span<DecodedEntry> entries, std::vector<Result>& results) {
  results.reserve(results.size() + entries.size());
  Applier applier(*this, results);
  for (DecodedEntry& entry : entries) applier.Add(entry);
  applier.Flush();
}

void Machine::Publish() {
  store_.Publish();
  if (std::exchange(sessions_changed_, false)) PublishSessions();
}

void Machine::PublishSessions() {
  sessions_bytes_.store(sessions_->memory_bytes(), std::memory_order_relaxed);
  sessions_count_.store(sessions_->size(), std::memory_order_relaxed);
  const store::Digest digest = sessions_->digest();
  const MutexLock lock(mutex_);
  sessions_digest_ = digest;
}

Machine::Replaced Machine::Install(LoadedState loaded) {
  MOKV_CHECK(loaded.store != nullptr && loaded.sessions != nullptr);
  Replaced replaced{.store = store_.Install(std::move(loaded.store)),
                    .sessions = std::exchange(sessions_, std::move(loaded.sessions))};
  PublishSessions();
  return replaced;
}

store::Digest Machine::digest() const {
  store::Digest digest = store_.digest();
  const MutexLock lock(mutex_);
  digest += sessions_digest_;
  return digest;
}

}  // namespace mokv::machine
