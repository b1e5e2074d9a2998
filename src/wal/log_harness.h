// For the tests of this folder: a log on files that can crash, with a log
// thread that runs when told.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/testing/crash_file_system.h"
#include "base/testing/fake_clock.h"
#include "base/testing/manual_executor.h"
#include "wal/format.h"
#include "wal/log.h"

namespace mokv::wal {

inline Entry MakeEntry(uint64_t index, uint64_t term, std::string payload) {
  return {.index = Index(index),
          .term = Term(term),
          .type = EntryType::kCommand,
          .payload = std::make_shared<const std::string>(std::move(payload))};
}

// As text, so that a failed comparison shows what differs.
inline std::string ToString(const Entry& entry) {
  return fmt::format("{}/{} type {} {}", entry.index, entry.term, static_cast<int>(entry.type),
                     entry.bytes());
}

class LogHarness {
 public:
  explicit LogHarness(uint64_t segment_bytes = 4096) {
    options.directory = "/data/log";
    options.segment_bytes = segment_bytes;
  }

  absl::Status Open() {
    log.reset();
    executor.DropAll();
    entries.clear();
    committed = Index(0);
    durable.clear();
    batches.clear();
    failures.clear();
    syncs = 0;
    Log::Callbacks callbacks;
    callbacks.on_durable = [this](const Durable& d) {
      durable.emplace_back(d.last.value(), d.last_term.value());
      durable_ticket = d.ticket;
      batches.push_back(d);
      if (on_durable) on_durable();
    };
    callbacks.on_failure = [this](const absl::Status& status) { failures.push_back(status); };
    callbacks.on_sync = [this](Duration) { ++syncs; };
    last_ticket = durable_ticket = Ticket(0);
    auto opened = Log::Open(
        *file_system, clock, *log_thread, *background, options, std::move(callbacks),
        [this](const EntryView& entry) {
          // What was told to be committed is never replaced.
          MOKV_CHECK_GT(entry.index, committed);
          Keep(entry);
          return absl::OkStatus();
        },
        [this](Index index) {
          MOKV_CHECK_GT(index, committed);
          committed = index;
          return absl::OkStatus();
        });
    if (!opened.ok()) return opened.status();
    log = *std::move(opened);
    // What was found and then dropped or cut off.
    while (!entries.empty() && entries.back().index > log->last_index()) entries.pop_back();
    const Index first = log->first_index();
    std::erase_if(entries, [&](const Entry& entry) { return entry.index < first; });
    return absl::OkStatus();
  }

  // The process dies without a word to the log; the machine lives on.
  void Kill() {
    log.reset();
    executor.DropAll();
    files.Restart();
  }

  // Appends one entry in a batch of its own.
  void Write(uint64_t index, uint64_t term, std::string payload) {
    Append({.entries = {MakeEntry(index, term, std::move(payload))}});
    executor.RunAll();
  }

  Ticket Append(AppendRequest request) {
    log->Append(++last_ticket, std::move(request));
    return last_ticket;
  }
  Ticket CutHead(uint64_t up_to) {
    log->CutHead(++last_ticket, Index(up_to));
    return last_ticket;
  }
  Ticket ResetTo(uint64_t last, uint64_t last_term) {
    log->ResetTo(++last_ticket, Index(last), Term(last_term));
    return last_ticket;
  }

  std::string PathOf(uint64_t generation) const {
    return fmt::format("{}/log-{:016x}.seg", options.directory, generation);
  }

  std::vector<std::string> EntryTexts() const {
    std::vector<std::string> texts;
    for (const Entry& entry : entries) texts.push_back(ToString(entry));
    return texts;
  }

  Options options;
  FakeClock clock;
  CrashFileSystem files;
  FileSystem* file_system = &files;
  ManualExecutor executor;
  Executor* log_thread = &executor;
  Executor* background = &executor;
  std::unique_ptr<Log> log;
  std::vector<Entry> entries;  // That the last Open found.
  Index committed;             // The last one that Open told to be so.
  std::vector<std::pair<uint64_t, uint64_t>> durable;
  std::vector<Durable> batches;
  std::vector<absl::Status> failures;
  Ticket last_ticket;
  Ticket durable_ticket;
  std::function<void()> on_durable;  // Besides; on the log thread.
  int syncs = 0;

 private:
  void Keep(const EntryView& view) {
    while (!entries.empty() && entries.back().index >= view.index) entries.pop_back();
    if (!entries.empty() && entries.back().index.next() != view.index) entries.clear();
    entries.push_back({.index = view.index,
                       .term = view.term,
                       .type = view.type,
                       .payload = std::make_shared<const std::string>(view.payload)});
  }
};

}  // namespace mokv::wal
