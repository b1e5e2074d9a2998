#include "cli/ctl_snapshot.h"

#include <unistd.h>

#include <climits>
#include <csignal>
#include <memory>
#include <optional>
#include <utility>

#include "api/cluster.pb.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "base/status.h"
#include "cli/ctl_answer.h"
#include "cli/progress_bar.h"
#include "snapshot/reader.h"

namespace mokv {
namespace {

// A sync now and then: the disk works while more is on its way, and a full one is met early.
constexpr uint64_t kSyncBytes = uint64_t{64} << 20;

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Somebody who interrupts a long save does not want half of it either. One path at a time.
class RemovedOnSignal {
 public:
  explicit RemovedOnSignal(const std::string& path) {
    if (path.size() >= sizeof(path_)) return;
    path.copy(path_, path.size());
    path_[path.size()] = '\0';
    for (const int number : kSignals) {
      // As with nohup.
      if (std::signal(number, Remove) == SIG_IGN) std::signal(number, SIG_IGN);
    }
  }
  ~RemovedOnSignal() {
    for (const int number : kSignals) {
      if (std::signal(number, SIG_DFL) == SIG_IGN) std::signal(number, SIG_IGN);
    }
  }
  RemovedOnSignal(const RemovedOnSignal&) = delete;
  RemovedOnSignal& operator=(const RemovedOnSignal&) = delete;

 private:
  static constexpr int kSignals[] = {SIGHUP, SIGINT, SIGTERM};

  // Only what a handler may call.
  static void Remove(int number) {
    unlink(path_);
    std::signal(number, SIG_DFL);
    std::raise(number);
  }

  static inline char path_[PATH_MAX] = {};
};

// The file as it is being written. What is not finished goes with this object.
class NewFile {
 public:
  NewFile(FileSystem& files, std::string path)
      : files_(files),
        path_(std::move(path)),
        temporary_(fmt::format("{}.{}.tmp", path_, NewUniqueId())),
        removed_on_signal_(temporary_) {}
  ~NewFile() {
    if (file_ == nullptr) return;
    file_.reset();
    static_cast<void>(files_.Remove(temporary_));
  }
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  absl::Status Create() {
    MOKV_ASSIGN_OR_RETURN(file_, files_.Open(temporary_, FileSystem::OpenMode::kCreateNew));
    return absl::OkStatus();
  }
  absl::Status Append(std::string_view bytes) {
    MOKV_RETURN_IF_ERROR(file_->WriteAt(bytes_, bytes));
    bytes_ += bytes.size();
    if (bytes_ - synced_ < kSyncBytes) return absl::OkStatus();
    synced_ = bytes_;
    return file_->Sync();
  }
  // All is there: it becomes `path`, if it is what the node said that it would send.
  absl::Status Finish(const api::SnapshotMetadata& metadata, bool force) {
    MOKV_RETURN_IF_ERROR(file_->Sync());
    MOKV_RETURN_IF_ERROR(ReadBack(metadata));
    if (!force) MOKV_RETURN_IF_ERROR(CheckMissing(files_, path_));
    MOKV_RETURN_IF_ERROR(files_.Rename(temporary_, path_));
    file_.reset();
    return files_.SyncDirectory(DirectoryOf(path_));
  }

  static absl::Status CheckMissing(FileSystem& files, const std::string& path) {
    const absl::Status opened = files.Open(path, FileSystem::OpenMode::kRead).status();
    if (absl::IsNotFound(opened)) return absl::OkStatus();
    MOKV_RETURN_IF_ERROR(opened);
    return FailedPrecondition("{} is there already; --force replaces it", path);
  }

  uint64_t bytes() const { return bytes_; }

 private:
  absl::Status ReadBack(const api::SnapshotMetadata& metadata) const {
    MOKV_ASSIGN_OR_RETURN(snapshot::Reader reader, snapshot::Reader::Open(*file_, temporary_));
    if (reader.last() != EntryId{Index(metadata.index()), Term(metadata.term())}) {
      return DataLoss("{}: it is of entry {}, and {} was announced", temporary_,
                      reader.last().index, metadata.index());
    }
    while (true) {
      MOKV_ASSIGN_OR_RETURN(const std::optional<snapshot::BlockView> block, reader.Next());
      if (!block.has_value()) return absl::OkStatus();
    }
  }

  FileSystem& files_;
  const std::string path_;
  const std::string temporary_;
  const RemovedOnSignal removed_on_signal_;
  std::unique_ptr<File> file_;  // Null: there is no temporary one.
  uint64_t bytes_ = 0;
  uint64_t synced_ = 0;
};

// On the client's I/O thread: while this writes, no more is read from the node.
class SavedStream {
 public:
  explicit SavedStream(NewFile& file) : file_(file) {}

  absl::Status Take(std::string_view message) {
    api::SnapshotChunk chunk;
    if (!chunk.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      return absl::InternalError("a part of the snapshot does not parse");
    }
    if (chunk.has_metadata()) metadata_ = chunk.metadata();
    MOKV_RETURN_IF_ERROR(OfFile(file_.Append(chunk.data())));
    bar_.Show(file_.bytes(), metadata_.estimated_bytes());
    return absl::OkStatus();
  }

  const api::SnapshotMetadata& metadata() const { return metadata_; }

 private:
  NewFile& file_;
  ProgressBar bar_;
  api::SnapshotMetadata metadata_;
};

absl::Status Save(CtlClient& client, NewFile& file, bool force, api::SnapshotMetadata& metadata) {
  MOKV_RETURN_IF_ERROR(OfFile(file.Create()));
  SavedStream stream(file);
  absl::Status status =
      client.Download("/api.Cluster/SaveSnapshot", api::SaveSnapshotRequest().SerializeAsString(),
                      [&](std::string_view message) { return stream.Take(message); });
  if (!status.ok()) {
    if (file.bytes() == 0) return status;
    return absl::Status(status.code(), fmt::format("the snapshot broke off after {}: {}",
                                                   FormatBytes(file.bytes()), MessageOf(status)));
  }
  metadata = stream.metadata();
  return OfFile(file.Finish(metadata, force));
}

}  // namespace

int CtlSnapshotSave(const CtlConnection& connection, CtlFormat format, const std::string& path,
                    bool force) {
  if (path == "-") {
    return ComplainOfUsage(InvalidArgument(
        "a snapshot is written to a file, where it is read back; standard output is none"));
  }
  const auto client = CtlClient::Create(connection);
  if (!client.ok()) return ComplainOfUsage(client.status());
  FileSystem& files = PosixFileSystem();
  if (!force) {
    // Before anything is asked for; and once more at the end.
    const absl::Status missing = NewFile::CheckMissing(files, path);
    if (!missing.ok()) return CtlComplain(OfFile(missing));
  }
  NewFile file(files, path);
  api::SnapshotMetadata saved;
  if (const absl::Status status = Save(**client, file, force, saved); !status.ok()) {
    return CtlComplain(status);
  }
  PrintLine(
      format == CtlFormat::kJson
          ? fmt::format(
                R"({{"file":{},"index":{},"term":{},"revision":{},"keys":{},"bytes":{},"cluster_id":{}}})",
                JsonString(path), saved.index(), saved.term(), saved.revision(), saved.keys(),
                file.bytes(), JsonString(saved.cluster_id()))
          : fmt::format("saved {}: index {}, revision {}, {} keys, {} bytes", path, saved.index(),
                        saved.revision(), saved.keys(), file.bytes()));
  return kCtlDone;
}

}  // namespace mokv
