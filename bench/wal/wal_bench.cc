// The log alone, beside what the same machine does without it:
//   append:  Append + write + fdatasync of batches of 64-byte entries, beside a bare loop of pwrite
//            and fdatasync that moves as many bytes into files prepared alike;
//   cpu:     processor time of an entry at batch 256, on files that do nothing, beside memcpy and
//            checksum of the same bytes;
//   recover: Open of a log in the page cache, beside reading and checksumming the same files;
//   files:   fdatasync of small writes into files prepared in different ways.
//
// Contenders take turns, round by round; figures are medians over the rounds, with the smallest and
// the largest. usage: mokv_wal_bench DIRECTORY [ROUNDS [PART..]], the directory on the disk to be
// measured.
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/checksum.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/logging.h"
#include "base/status.h"
#include "wal/format.h"
#include "wal/log.h"

namespace mokv::wal {
namespace {

constexpr uint64_t kPayloadBytes = 64;
constexpr uint64_t kSegmentBytes = uint64_t{32} << 20;
constexpr uint64_t kFillBytes = uint64_t{1} << 20;

// Runs what was posted when told.
class Queue final : public Executor {
 public:
  void Post(Task task) override { tasks_.push_back(std::move(task)); }
  void RunAll() {
    while (!tasks_.empty()) {
      Task task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }

 private:
  std::deque<Task> tasks_;
};

// Keeps sizes, so that the log can work on it, and no bytes.
class NullFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(const std::string&, OpenMode) override {
    return std::make_unique<NullFile>();
  }
  absl::StatusOr<std::vector<std::string>> List(const std::string&) override {
    return std::vector<std::string>();
  }
  absl::Status CreateDirectories(const std::string&) override { return absl::OkStatus(); }
  absl::Status Rename(const std::string&, const std::string&) override { return absl::OkStatus(); }
  absl::Status Remove(const std::string&) override { return absl::OkStatus(); }
  absl::Status SyncDirectory(const std::string&) override { return absl::OkStatus(); }
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(const std::string&) override {
    return std::make_unique<FileLock>();
  }

 private:
  class NullFile final : public File {
   public:
    absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
      size_ = std::max(size_, offset + bytes.size());
      return absl::OkStatus();
    }
    absl::StatusOr<uint64_t> ReadInto(uint64_t, std::span<char>) const override { return 0; }
    absl::Status Sync() override { return absl::OkStatus(); }
    absl::StatusOr<uint64_t> Size() const override { return size_; }
    absl::Status Truncate(uint64_t size) override {
      size_ = size;
      return absl::OkStatus();
    }
    absl::Status Preallocate(uint64_t size) override {
      size_ = std::max(size_, size);
      return absl::OkStatus();
    }

   private:
    uint64_t size_ = 0;
  };
};

struct Opened {
  std::unique_ptr<Queue> log_thread = std::make_unique<Queue>();
  std::unique_ptr<Queue> background = std::make_unique<Queue>();
  std::unique_ptr<Log> log;
  Ticket last_ticket;

  void Append(AppendRequest request) { log->Append(++last_ticket, std::move(request)); }
};

Opened OpenLog(FileSystem& files, const std::string& directory, uint64_t* entries = nullptr) {
  Opened opened;
  Options options;
  options.directory = directory;
  options.segment_bytes = kSegmentBytes;
  Log::Callbacks callbacks;
  callbacks.on_durable = [](const Durable&) {};
  callbacks.on_failure = [](const absl::Status& status) {
    CheckFailed(__FILE__, __LINE__, std::string(MessageOf(status)));
  };
  auto log = Log::Open(files, SystemClock(), *opened.log_thread, *opened.background, options,
                       std::move(callbacks), [entries](const EntryView& entry) {
                         if (entries != nullptr) *entries += entry.payload.size() > 0;
                         return absl::OkStatus();
                       });
  MOKV_CHECK(log.ok());
  opened.log = *std::move(log);
  return opened;
}

// Entries for batches to come, made before the clock runs. A write has just been made when it comes
// to the log, so its payload is in the cache: few payloads are used again and again.
class Batches {
 public:
  Batches() {
    for (int i = 0; i < 256; ++i) {
      payloads_.push_back(
          std::make_shared<const std::string>(kPayloadBytes, static_cast<char>('a' + i % 26)));
    }
  }
  std::vector<AppendRequest> Make(Index after, uint64_t batches, uint64_t entries) const {
    std::vector<AppendRequest> requests(batches);
    for (AppendRequest& request : requests) {
      request.entries.reserve(entries);
      for (uint64_t i = 0; i < entries; ++i) {
        ++after;
        request.entries.push_back({after, Term(1), EntryType::kCommand, payloads_[i % 256]});
      }
    }
    return requests;
  }
  static uint64_t EncodedBytes(uint64_t entries) {
    return kBatchHeaderBytes + entries * RecordBytes(kPayloadBytes);
  }

 private:
  std::vector<std::shared_ptr<const std::string>> payloads_;
};

double Seconds(const std::function<void()>& work) {
  const MonotonicTime before = SystemClock().Now();
  work();
  return std::chrono::duration<double>(SystemClock().Now() - before).count();
}

double CpuSeconds(const std::function<void()>& work) {
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  };
  const double before = now();
  work();
  return now() - before;
}

struct Figures {
  std::vector<double> values;
  double Median() {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  }
  std::string Text(std::string_view unit) {
    const double median = Median();
    return fmt::format("{:9.2f} {} ({:.2f}-{:.2f})", median, unit, values.front(), values.back());
  }
};

// A file whose space was reserved, and filled when asked.
std::unique_ptr<File> PreparedFile(const std::string& path, bool fill, char byte) {
  FileSystem& files = PosixFileSystem();
  (void)files.Remove(path);
  auto file = files.Open(path, FileSystem::OpenMode::kCreateNew);
  MOKV_CHECK(file.ok() && (*file)->Preallocate(kSegmentBytes).ok());
  const std::string bytes(kFillBytes, byte);
  for (uint64_t offset = 0; fill && offset < kSegmentBytes; offset += bytes.size()) {
    MOKV_CHECK((*file)->WriteAt(offset, bytes).ok());
  }
  MOKV_CHECK((*file)->Sync().ok());
  return *std::move(file);
}

// Both are prepared before either is measured, and take turns every few batches.
void MeasureAppend(const std::string& directory, int rounds) {
  constexpr uint64_t kTurns = 20;
  constexpr uint64_t kBatchesATurn = 20;
  constexpr uint64_t kBatches = kTurns * kBatchesATurn;
  const Batches batches;
  for (const uint64_t entries : {1, 16, 256}) {
    const uint64_t size = Batches::EncodedBytes(entries);
    const std::string bytes(size, 'x');
    Figures bare;
    Figures ours;
    Figures ratio;
    for (int round = 0; round < rounds; ++round) {
      const auto file = PreparedFile(directory + "/bare", true, '\0');
      std::filesystem::remove_all(directory + "/log");
      Opened opened = OpenLog(PosixFileSystem(), directory + "/log");
      opened.background->RunAll();
      std::vector<AppendRequest> requests = batches.Make(Index(0), kBatches, entries);
      double bare_seconds = 0;
      double our_seconds = 0;
      for (uint64_t turn = 0; turn < kTurns; ++turn) {
        const uint64_t first = turn * kBatchesATurn;
        bare_seconds += Seconds([&] {
          for (uint64_t i = first; i < first + kBatchesATurn; ++i) {
            MOKV_CHECK(file->WriteAt(i * size, bytes).ok());
            MOKV_CHECK(file->Sync().ok());
          }
        });
        our_seconds += Seconds([&] {
          for (uint64_t i = first; i < first + kBatchesATurn; ++i) {
            opened.Append(std::move(requests[i]));
            opened.log_thread->RunAll();
          }
        });
      }
      bare.values.push_back(1e6 / kBatches * bare_seconds);
      ours.values.push_back(1e6 / kBatches * our_seconds);
      ratio.values.push_back(bare_seconds / our_seconds);
      MOKV_CHECK_EQ(opened.log->stats().batches, kBatches);
      opened.log->Close();
    }
    fmt::print("append  batch {:3}: bare {}, log {}, log/bare {} (target 0.9)\n", entries,
               bare.Text("us"), ours.Text("us"), ratio.Text("x"));
    std::fflush(stdout);
  }
}

void MeasureCpu(int rounds) {
  constexpr uint64_t kEntries = 256;
  constexpr uint64_t kBatches = 2000;
  const Batches batches;
  const uint64_t size = Batches::EncodedBytes(kEntries);
  Figures bare;
  Figures ours;
  for (int round = 0; round < rounds; ++round) {
    const std::string from(size, 'x');
    std::string to(size, '\0');
    uint64_t sum = 0;
    const double bare_seconds = CpuSeconds([&] {
      for (uint64_t i = 0; i < kBatches; ++i) {
        std::memcpy(to.data(), from.data(), size);
        to[i % size] = static_cast<char>(sum);
        sum += Checksum64(to, i);
      }
    });
    bare.values.push_back(bare_seconds * 1e9 / (kBatches * kEntries));
    NullFileSystem files;
    Opened opened = OpenLog(files, "log");
    std::vector<AppendRequest> requests = batches.Make(Index(0), kBatches, kEntries);
    const double seconds = CpuSeconds([&] {
      for (AppendRequest& request : requests) {
        opened.Append(std::move(request));
        opened.log_thread->RunAll();
      }
    });
    // Segments prepared meanwhile are not part of it: files that do nothing are ready at once.
    opened.background->RunAll();
    opened.log_thread->RunAll();
    ours.values.push_back(seconds * 1e9 / (kBatches * kEntries));
    opened.log->Close();
    if (sum == 0) fmt::print(" ");
  }
  const double ratio = ours.Median() / bare.Median();
  fmt::print(
      "cpu     batch 256: memcpy+checksum {} an entry, log {} an entry, {:.2f}x (target 3x)\n",
      bare.Text("ns"), ours.Text("ns"), ratio);
  std::fflush(stdout);
}

void MeasureRecover(const std::string& directory, int rounds) {
  constexpr uint64_t kSegments = 8;
  const Batches batches;
  const std::string log_directory = directory + "/log";
  for (const uint64_t entries : {16, 256}) {
    std::filesystem::remove_all(log_directory);
    uint64_t appended = 0;
    {
      Opened opened = OpenLog(PosixFileSystem(), log_directory);
      while (opened.log->stats().segments < kSegments) {
        for (AppendRequest& request : batches.Make(opened.log->last_index(), 64, entries)) {
          opened.Append(std::move(request));
        }
        opened.log_thread->RunAll();
        opened.background->RunAll();
        opened.log_thread->RunAll();
      }
      appended = opened.log->last_index().value();
      opened.log->Close();
    }
    Figures bare;
    Figures ours;
    uint64_t bytes = 0;
    for (int round = 0; round < rounds; ++round) {
      FileSystem& files = PosixFileSystem();
      uint64_t sum = 0;
      bytes = 0;
      std::vector<std::string> names = files.List(log_directory).value();
      names.erase(std::remove_if(names.begin(), names.end(),
                                 [](const std::string& name) { return !ParseSegmentName(name); }),
                  names.end());
      // Those behind are ready and hold nothing.
      names.resize(kSegments);
      const std::unique_ptr<char[]> buffer = std::make_unique<char[]>(size_t{256} << 10);
      const double bare_seconds = Seconds([&] {
        for (const std::string& name : names) {
          const auto file =
              files.Open(log_directory + "/" + name, FileSystem::OpenMode::kRead).value();
          for (uint64_t offset = 0;;) {
            const uint64_t got = file->ReadInto(offset, {buffer.get(), size_t{256} << 10}).value();
            if (got == 0) break;
            sum += Checksum64({buffer.get(), got}, offset);
            offset += got;
            bytes += got;
          }
        }
      });
      uint64_t found = 0;
      const double seconds = Seconds([&] {
        Opened opened = OpenLog(files, log_directory, &found);
        MOKV_CHECK_EQ(opened.log->found().last_index, Index(appended));
      });
      MOKV_CHECK_EQ(found, appended);
      if (sum == 0) fmt::print(" ");
      bare.values.push_back(static_cast<double>(bytes) / 1e6 / bare_seconds);
      ours.values.push_back(static_cast<double>(bytes) / 1e6 / seconds);
    }
    const double ratio = ours.Median() / bare.Median();
    fmt::print("recover batch {:3}: {} MB: read+checksum {}, log {}, {:.2f}x (target 0.7x)\n",
               entries, bytes / 1'000'000, bare.Text("MB/s"), ours.Text("MB/s"), ratio);
    std::fflush(stdout);
  }
}

void MeasureFiles(const std::string& directory, int rounds) {
  struct Kind {
    std::string_view name;
    bool fill;
    char byte;
  };
  const std::vector<Kind> kinds = {{"reserved only (fallocate)", false, '\0'},
                                   {"filled with zeros", true, '\0'},
                                   {"used before", true, 'x'}};
  for (const uint64_t entries : {1, 16, 256}) {
    const std::string bytes(Batches::EncodedBytes(entries), 'y');
    std::vector<Figures> figures(kinds.size());
    for (int round = 0; round < rounds; ++round) {
      for (size_t k = 0; k < kinds.size(); ++k) {
        const auto file = PreparedFile(directory + "/file", kinds[k].fill, kinds[k].byte);
        constexpr uint64_t kCount = 400;
        figures[k].values.push_back(1e6 / kCount * Seconds([&] {
                                      for (uint64_t i = 0; i < kCount; ++i) {
                                        MOKV_CHECK(file->WriteAt(i * bytes.size(), bytes).ok());
                                        MOKV_CHECK(file->Sync().ok());
                                      }
                                    }));
      }
    }
    for (size_t k = 0; k < kinds.size(); ++k) {
      fmt::print("files   batch {:3}: {:26} {} a write and fdatasync\n", entries, kinds[k].name,
                 figures[k].Text("us"));
    }
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace mokv::wal

int main(int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') {
    fmt::print(stderr, "usage: {} DIRECTORY [ROUNDS [append|cpu|recover|files]..]\n", argv[0]);
    return 2;
  }
  mokv::SetLogLevel(mokv::LogLevel::kError);
  const std::string directory = std::string(argv[1]) + "/mokv-wal-bench";
  const int rounds = argc > 2 ? std::max(1, std::atoi(argv[2])) : 5;
  const std::vector<std::string_view> parts(argv + std::min(argc, 3), argv + argc);
  const auto wanted = [&](std::string_view part) {
    return parts.empty() || std::find(parts.begin(), parts.end(), part) != parts.end();
  };
  std::filesystem::create_directories(directory);
  if (wanted("append")) mokv::wal::MeasureAppend(directory, rounds);
  if (wanted("cpu")) mokv::wal::MeasureCpu(rounds);
  if (wanted("recover")) mokv::wal::MeasureRecover(directory, rounds);
  if (wanted("files")) mokv::wal::MeasureFiles(directory, rounds);
  std::filesystem::remove_all(directory);
  return 0;
}
