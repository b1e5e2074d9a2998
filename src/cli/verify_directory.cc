#include "cli/verify_directory.h"

#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/ctl_answer.h"
#include "cli/ctl_output.h"
#include "cli/stopped_node.h"
#include "node/data_directory.h"
#include "node/identity.h"
#include "replica/replay.h"
#include "replica/salvage.h"
#include "replica/snapshot_file.h"
#include "snapshot/directory.h"
#include "store/store.h"
#include "wal/log_scan.h"

namespace mokv {
namespace {

enum class Verdict {
  kOk,
  kBad,
  kNotPartOfState,
};

// What was found of one file, or of what several of them come to.
struct Finding {
  std::string kind;  // identity, snapshot, log, or state: all together.
  std::string path;
  Verdict verdict = Verdict::kOk;
  std::string text;
};

// Where the damage is, as the errors of log and snapshots say it: `FILE: block 3, at offset 4096,` and
// `FILE: damaged at offset 64:`. An absent number: the error is not about a place.
struct Place {
  std::string file;  // In a log it is one of several.
  std::optional<uint64_t> offset;
  std::optional<uint64_t> block;
};

std::optional<uint64_t> NumberAfter(std::string_view text, std::string_view word) {
  const size_t at = text.find(word);
  if (at == std::string_view::npos) return std::nullopt;
  const char* const begin = text.data() + at + word.size();
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), number);
  return error == std::errc() && end != begin ? std::optional(number) : std::nullopt;
}

Place PlaceOf(std::string_view message, const std::string& path) {
  Place place;
  // A name may have any of those words in it.
  if (!message.starts_with(path)) return place;
  const size_t colon = message.find(": ", path.size());
  if (colon == std::string_view::npos) return place;
  place.file = message.substr(0, colon);
  const std::string_view text = message.substr(colon);
  place.offset = NumberAfter(text, "at offset ");
  place.block = NumberAfter(text, ": block ");
  return place;
}

std::string NumberJson(std::optional<uint64_t> number) {
  return number.has_value() ? fmt::to_string(*number) : "null";
}

void PrintText(const Finding& finding) {
  if (finding.verdict == Verdict::kBad) return PrintLine("BAD " + finding.text);
  PrintLine(fmt::format("{}  {}: {}", finding.verdict == Verdict::kOk ? "OK" : "--", finding.path,
                        finding.text));
}

void PrintJson(const Finding& finding) {
  const Place place =
      finding.verdict == Verdict::kBad ? PlaceOf(finding.text, finding.path) : Place();
  PrintLine(fmt::format(
      R"({{"kind":{},"file":{},"part_of_state":{},"ok":{},"offset":{},"block":{},"message":{}}})",
      JsonString(finding.kind), JsonString(place.file.empty() ? finding.path : place.file),
      finding.verdict != Verdict::kNotPartOfState, finding.verdict != Verdict::kBad,
      NumberJson(place.offset), NumberJson(place.block), JsonString(finding.text)));
}

class Verification {
 public:
  Verification(FileSystem& files, std::string data_dir, CtlFormat format)
      : files_(files),
        data_dir_(std::move(data_dir)),
        format_(format),
        directory_(files, data_dir_) {}

  int Run() {
    Identify();
    CheckSnapshots();
    CheckLog();
    if (bad_ == 0) CheckTogether();
    if (format_ == CtlFormat::kJson) {
      PrintLine(fmt::format(
          R"({{"kind":"total","file":{},"ok":{},"checked":{},"bad":{},"not_part_of_state":{}}})",
          JsonString(data_dir_), bad_ == 0, ok_ + bad_, bad_, not_part_of_state_));
    }
    return bad_ == 0 ? kCtlDone : kCtlRefused;
  }

 private:
  void Tell(const Finding& finding) {
    switch (finding.verdict) {
      case Verdict::kOk:
        ++ok_;
        break;
      case Verdict::kBad:
        ++bad_;
        break;
      case Verdict::kNotPartOfState:
        ++not_part_of_state_;
        break;
    }
    format_ == CtlFormat::kJson ? PrintJson(finding) : PrintText(finding);
  }
  template <typename... Args>
  void Ok(std::string kind, const std::string& path, fmt::format_string<Args...> format,
          Args&&... args) {
    Tell({std::move(kind), path, Verdict::kOk, fmt::format(format, std::forward<Args>(args)...)});
  }
  void Mention(std::string kind, const std::string& path, std::string what) {
    Tell({std::move(kind), path, Verdict::kNotPartOfState, std::move(what)});
  }
  // `status` names the file.
  void Wrong(std::string kind, const std::string& path, const absl::Status& status) {
    Tell({std::move(kind), path, Verdict::kBad, std::string(MessageOf(status))});
  }

  void Identify() {
    const std::string path = data_dir_ + "/identity";
    const absl::StatusOr<std::string> text = files_.ReadFile(path);
    if (!text.ok()) return Wrong("identity", path, text.status());
    const absl::StatusOr<Identity> identity = DecodeIdentity(path, *text);
    if (!identity.ok()) return Wrong("identity", path, identity.status());
    cluster_id_ = identity->cluster_id;
    Ok("identity", path, "node {}, instance {}, {}", identity->node_name, identity->instance_id,
       cluster_id_.empty() ? "of no cluster yet" : "cluster " + cluster_id_);
  }

  void CheckSnapshots() {
    const std::string path = directory_.snapshots_path();
    const absl::StatusOr<std::vector<std::string>> names = files_.List(path);
    if (absl::IsNotFound(names.status())) return;
    if (!names.ok()) return Wrong("snapshot", path, names.status());
    for (const std::string& name : *names) {
      const std::string file = fmt::format("{}/{}", path, name);
      if (snapshot::ParseFileName(name).has_value()) {
        CheckSnapshot(file);
      } else {
        // Such names, and no others, are made beside the snapshots' own.
        Mention("snapshot", file,
                name.ends_with(".damaged")
                    ? "was set aside by a start that found it damaged; may be removed"
                    : "not part of the state: unfinished, or not ours");
      }
    }
  }

  void CheckSnapshot(const std::string& path) {
    const absl::StatusOr<replica::LoadedSnapshot> loaded = replica::LoadSnapshot(files_, path);
    if (!loaded.ok()) return Wrong("snapshot", path, loaded.status());
    const raft::SnapshotMeta& meta = loaded->meta;
    if (!path.ends_with("/" + snapshot::FileName(meta.last))) {
      return Wrong("snapshot", path,
                   DataLoss("{}: it is of entry {}, term {}, which its name does not say", path,
                            meta.last.index, meta.last.term));
    }
    if (meta.membership->cluster_id() != cluster_id_ && !cluster_id_.empty()) {
      return Wrong("snapshot", path,
                   DataLoss("{}: it is of cluster {}, the identity of {}", path,
                            meta.membership->cluster_id(), cluster_id_));
    }
    Ok("snapshot", path, "snapshot of entry {}, term {}: revision {}, {} keys, {} bytes",
       meta.last.index, meta.last.term, loaded->state.store->revision(),
       loaded->state.store->stats().keys, loaded->file_bytes);
  }

  void CheckLog() {
    const std::string path = directory_.log_path();
    wal::Log::OnEntry on_entry = [](const wal::EntryView&) { return absl::OkStatus(); };
    wal::Log::OnCommitted on_committed;
    const absl::StatusOr<wal::FoundLog> found = wal::ReadLog(files_, path, on_entry, on_committed);
    if (absl::IsNotFound(found.status()) && cluster_id_.empty()) {
      return Mention("log", path, "missing; the node has not been part of a cluster");
    }
    if (!found.ok()) return Wrong("log", path, found.status());
    Ok("log", path,
       "entries {} to {}, the last of term {}; {} segments; known to be committed up to {}",
       found->first_index, found->last_index, found->last_term, found->segments,
       found->hard_state.commit);
    if (found->cut_bytes > 0) {
      Mention("log", path,
              fmt::format("its last batch was not written whole: a start cuts off {} bytes, "
                          "of which nobody was told",
                          found->cut_bytes));
    }
  }

  // Each part is whole; a start needs them to fit.
  void CheckTogether() {
    if (cluster_id_.empty()) return;
    const absl::StatusOr<replica::SalvagedState> state =
        replica::Salvage(files_, {directory_.snapshots_path(), directory_.log_path()});
    if (!state.ok()) {
      return Wrong("state", data_dir_,
                   absl::Status(state.status().code(),
                                fmt::format("{}: {}", data_dir_, MessageOf(state.status()))));
    }
    if (state->membership->cluster_id() != cluster_id_) {
      return Wrong("state", data_dir_,
                   FailedPrecondition("{}: the identity is of cluster {}, the log of {}", data_dir_,
                                      cluster_id_, state->membership->cluster_id()));
    }
    Ok("state", data_dir_, "a start finds revision {}, {} keys, all up to entry {}",
       state->machine->revision(), state->machine->stats().keys, state->last.index);
  }

  FileSystem& files_;
  const std::string data_dir_;
  const CtlFormat format_;
  const DataDirectory directory_;
  std::string cluster_id_;  // Of the identity.
  uint64_t ok_ = 0;
  uint64_t bad_ = 0;
  uint64_t not_part_of_state_ = 0;
};

}  // namespace

int CtlVerify(CtlFormat format, const std::string& data_dir) {
  FileSystem& files = PosixFileSystem();
  if (const absl::Status listed = files.List(data_dir).status(); !listed.ok()) {
    return CtlComplain(OfFile(listed));
  }
  const absl::StatusOr<std::unique_ptr<FileLock>> lock = LockStoppedNode(files, data_dir);
  if (!lock.ok()) return CtlComplain(OfFile(lock.status()));
  return Verification(files, data_dir, format).Run();
}

}  // namespace mokv
