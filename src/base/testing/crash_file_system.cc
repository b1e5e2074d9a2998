#include "base/testing/crash_file_system.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace mokv {
namespace {

constexpr uint64_t kSectorBytes = 512;
// What is torn near its end lacks up to so many words.
constexpr uint64_t kWordBytes = 8;
constexpr uint64_t kTornWordsMax = 8;

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

uint64_t Below(Random& random, uint64_t bound) { return random.Next() % bound; }

}  // namespace

class CrashFileSystem::OpenFile final : public File {
 public:
  OpenFile(CrashFileSystem& owner, std::string path, std::shared_ptr<Inode> inode, uint64_t life,
           bool writable)
      : owner_(owner),
        path_(std::move(path)),
        inode_(std::move(inode)),
        life_(life),
        writable_(writable) {}

  absl::Status WriteAt(uint64_t offset, std::string_view bytes) override {
    return Do(Operation::kWrite, Change::Write(offset, std::string(bytes)));
  }
  absl::Status Truncate(uint64_t size_bytes) override {
    return Do(Operation::kTruncate, Change::Resize(size_bytes, false));
  }
  absl::Status Preallocate(uint64_t size_bytes) override {
    return Do(Operation::kPreallocate, Change::Resize(size_bytes, true));
  }

  absl::StatusOr<uint64_t> ReadInto(uint64_t offset, std::span<char> buffer) const override {
    const MutexLock lock(owner_.mutex_);
    if (offset >= inode_->cache.size()) return 0;
    return inode_->cache.copy(buffer.data(), buffer.size(), offset);
  }
  absl::StatusOr<uint64_t> Size() const override {
    const MutexLock lock(owner_.mutex_);
    return inode_->cache.size();
  }

  absl::Status Sync() override {
    MutexLock lock(owner_.mutex_);
    while (owner_.syncs_hang_) owner_.syncs_go_on_.Wait(lock);
    MOKV_RETURN_IF_ERROR(CheckAlive());
    if (absl::Status status = owner_.Begin(Operation::kSync, path_); !status.ok()) {
      // When the machine stopped in here any part of the writes may still make it.
      if (!owner_.stopped_) inode_->unsynced.clear();
      return status;
    }
    ++owner_.syncs_;
    for (const Change& change : inode_->unsynced) Apply(change, inode_->disk);
    inode_->unsynced.clear();
    return absl::OkStatus();
  }

 private:
  absl::Status CheckAlive() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(owner_.mutex_) {
    if (life_ != owner_.life_) return Unavailable("{}: opened before the crash", path_);
    return absl::OkStatus();
  }

  absl::Status Do(Operation operation, Change change) {
    const MutexLock lock(owner_.mutex_);
    MOKV_RETURN_IF_ERROR(CheckAlive());
    if (!writable_) return ErrnoStatus(EBADF, fmt::format("write {}", path_));
    const bool stopped_before = owner_.stopped_;
    absl::Status status = owner_.Begin(operation, path_);
    if (!status.ok()) {
      if (stopped_before || !change.is_write) return status;
      change.bytes.resize(change.bytes.size() / 2);
    }
    const uint64_t size_max = inode_->cache.size() + owner_.RoomFor(*inode_);
    if (change.end() > size_max) {
      if (status.ok()) status = ErrnoStatus(ENOSPC, fmt::format("write {}", path_));
      if (!change.is_write || change.offset >= size_max) return status;
      change.bytes.resize(size_max - change.offset);
    }
    Apply(change, inode_->cache);
    inode_->unsynced.push_back(std::move(change));
    return status;
  }

  CrashFileSystem& owner_;
  const std::string path_;
  const std::shared_ptr<Inode> inode_;
  const uint64_t life_;
  const bool writable_;
};

class CrashFileSystem::HeldLock final : public FileLock {
 public:
  HeldLock(CrashFileSystem& owner, std::string path, uint64_t life)
      : owner_(owner), path_(std::move(path)), life_(life) {}
  ~HeldLock() override {
    const MutexLock lock(owner_.mutex_);
    if (life_ == owner_.life_) owner_.locks_.erase(path_);
  }

 private:
  CrashFileSystem& owner_;
  const std::string path_;
  const uint64_t life_;
};

CrashFileSystem::CrashFileSystem() : directories_({"/", "."}) {}
CrashFileSystem::~CrashFileSystem() = default;

void CrashFileSystem::SetFault(Fault fault) {
  const MutexLock lock(mutex_);
  fault_ = std::move(fault);
}

void CrashFileSystem::StopAfter(uint64_t n) {
  const MutexLock lock(mutex_);
  stop_armed_ = true;
  stopped_ = false;
  stop_after_ = n;
}

bool CrashFileSystem::stopped() const {
  const MutexLock lock(mutex_);
  return stopped_;
}

void CrashFileSystem::BeginAnew() {
  ++life_;
  stop_armed_ = stopped_ = false;
  locks_.clear();
}

void CrashFileSystem::Restart() {
  const MutexLock lock(mutex_);
  BeginAnew();
}

void CrashFileSystem::PowerLossNearEnd(Random& random) {
  const MutexLock lock(mutex_);
  BeginAnew();
  KeepSomeNames(random);
  cache_ = disk_;
  for (const auto& [path, inode] : disk_) {
    KeepAllButAnEnd(*inode, random);
    inode->unsynced.clear();
    inode->cache = inode->disk;
  }
}

void CrashFileSystem::PowerLoss(Random& random) {
  const MutexLock lock(mutex_);
  BeginAnew();
  KeepSomeNames(random);
  cache_ = disk_;
  // By path, so that a seed decides alike in every run.
  for (const auto& [path, inode] : disk_) {
    switch (Below(random, 8)) {
      case 0:
        break;
      case 1:
        for (const Change& change : inode->unsynced) Apply(change, inode->disk);
        break;
      case 2:
      case 3:
        KeepSomeChanges(*inode, random);
        break;
      default:
        KeepSomeSectors(*inode, random);
    }
    inode->unsynced.clear();
    inode->cache = inode->disk;
  }
}

void CrashFileSystem::KeepSomeNames(Random& random) {
  const bool any_set = Below(random, 2) == 0;
  const size_t kept = Below(random, unsynced_names_.size() + 1);
  for (size_t i = 0; i < unsynced_names_.size(); ++i) {
    if (any_set ? Below(random, 2) == 0 : i < kept) unsynced_names_[i].apply(disk_);
  }
  unsynced_names_.clear();
}

// Every change by itself: lost, kept, or cut at any byte.
void CrashFileSystem::KeepSomeChanges(Inode& inode, Random& random) {
  for (Change& change : inode.unsynced) {
    switch (Below(random, 3)) {
      case 0:
        break;
      case 1:
        Apply(change, inode.disk);
        break;
      default:
        if (change.is_write) change.bytes.resize(Below(random, change.bytes.size() + 1));
        Apply(change, inode.disk);
    }
  }
}

void CrashFileSystem::KeepAllButAnEnd(Inode& inode, Random& random) {
  for (Change& change : inode.unsynced) {
    if (&change == &inode.unsynced.back() && change.is_write) {
      const uint64_t lost = kWordBytes * Below(random, kTornWordsMax + 1);
      change.bytes.resize(change.bytes.size() - std::min<uint64_t>(lost, change.bytes.size()));
    }
    Apply(change, inode.disk);
  }
}

// A cache writes sectors back whole, whenever it likes: each is as it was after any of the writes.
void CrashFileSystem::KeepSomeSectors(Inode& inode, Random& random) {
  const std::vector<Change>& changes = inode.unsynced;
  std::vector<std::string> versions = {inode.disk};
  for (const Change& change : changes) {
    versions.push_back(versions.back());
    Apply(change, versions.back());
  }
  // The size is a number of its own in the file's metadata.
  const size_t size = versions[Below(random, versions.size())].size();
  inode.disk.assign(size, '\0');
  for (size_t at = 0; at < size; at += kSectorBytes) {
    const std::string& version = versions[Below(random, versions.size())];
    if (at < version.size()) version.copy(&inode.disk[at], std::min(kSectorBytes, size - at), at);
  }
}

void CrashFileSystem::Apply(const Change& change, std::string& contents) {
  if (!change.is_write) {
    if (!change.grow_only || contents.size() < change.size) contents.resize(change.size, '\0');
    return;
  }
  contents.resize(std::max<size_t>(contents.size(), change.offset + change.bytes.size()), '\0');
  contents.replace(change.offset, change.bytes.size(), change.bytes);
}

uint64_t CrashFileSystem::UsedBytes() const {
  uint64_t bytes = 0;
  for (const auto& [path, inode] : cache_) bytes += inode->cache.size();
  return bytes;
}

uint64_t CrashFileSystem::RoomFor(const Inode& inode) const {
  // Far away, but an offset can be added to it.
  if (!capacity_bytes_.has_value()) return (uint64_t{1} << 62) - inode.cache.size();
  const uint64_t used = UsedBytes();
  return *capacity_bytes_ > used ? *capacity_bytes_ - used : 0;
}

void CrashFileSystem::SetCapacity(std::optional<uint64_t> bytes) {
  const MutexLock lock(mutex_);
  capacity_bytes_ = bytes;
}

uint64_t CrashFileSystem::used_bytes() const {
  const MutexLock lock(mutex_);
  return UsedBytes();
}

std::unique_ptr<CrashFileSystem> CrashFileSystem::Clone() const {
  auto clone = std::make_unique<CrashFileSystem>();
  const MutexLock lock(mutex_);
  const MutexLock clone_lock(clone->mutex_);
  clone->directories_ = directories_;
  for (const auto& [path, inode] : cache_) {
    auto copy = std::make_shared<Inode>();
    copy->cache = copy->disk = inode->cache;
    clone->cache_[path] = clone->disk_[path] = std::move(copy);
  }
  return clone;
}

void CrashFileSystem::HangSyncs(bool hang) {
  const MutexLock lock(mutex_);
  syncs_hang_ = hang;
  syncs_go_on_.NotifyAll();
}

void CrashFileSystem::FlipBit(const std::string& path, uint64_t bit) {
  const char byte = Contents(path).at(bit / 8);
  Damage(path, bit / 8, std::string(1, static_cast<char>(byte ^ (1 << bit % 8))));
}

void CrashFileSystem::Damage(const std::string& path, uint64_t offset, std::string_view bytes) {
  const MutexLock lock(mutex_);
  const auto found = cache_.find(path);
  MOKV_CHECK(found != cache_.end());
  Inode& inode = *found->second;
  MOKV_CHECK_LE(offset + bytes.size(), inode.cache.size());
  inode.cache.replace(offset, bytes.size(), bytes);
  if (offset + bytes.size() <= inode.disk.size()) inode.disk.replace(offset, bytes.size(), bytes);
}

std::string CrashFileSystem::Contents(const std::string& path) const {
  const MutexLock lock(mutex_);
  const auto found = cache_.find(path);
  MOKV_CHECK(found != cache_.end());
  return found->second->cache;
}

uint64_t CrashFileSystem::sync_count() const {
  const MutexLock lock(mutex_);
  return syncs_;
}

uint64_t CrashFileSystem::operation_count() const {
  const MutexLock lock(mutex_);
  return operations_;
}

absl::Status CrashFileSystem::Begin(Operation operation, const std::string& path) {
  if (stopped_) return Unavailable("{}: the machine has stopped", path);
  ++operations_;
  if (stop_armed_ && stop_after_-- == 0) {
    stopped_ = true;
    return Unavailable("{}: the machine stops here", path);
  }
  return fault_ ? fault_(operation, path) : absl::OkStatus();
}

void CrashFileSystem::ChangeNames(const std::string& path, std::function<void(Directory&)> change) {
  change(cache_);
  unsynced_names_.push_back({ParentOf(path), std::move(change)});
}

absl::StatusOr<std::unique_ptr<File>> CrashFileSystem::Open(const std::string& path,
                                                            OpenMode mode) {
  const MutexLock lock(mutex_);
  const auto found = cache_.find(path);
  if (mode != OpenMode::kCreateNew) {
    if (found == cache_.end()) return ErrnoStatus(ENOENT, fmt::format("open {}", path));
    return std::make_unique<OpenFile>(*this, path, found->second, life_,
                                      mode == OpenMode::kReadWrite);
  }
  if (found != cache_.end()) return ErrnoStatus(EEXIST, fmt::format("create {}", path));
  if (!directories_.contains(ParentOf(path))) {
    return ErrnoStatus(ENOENT, fmt::format("create {}", path));
  }
  MOKV_RETURN_IF_ERROR(Begin(Operation::kCreate, path));
  auto inode = std::make_shared<Inode>();
  ChangeNames(path, [path, inode](Directory& names) { names[path] = inode; });
  return std::make_unique<OpenFile>(*this, path, std::move(inode), life_, true);
}

absl::StatusOr<std::vector<std::string>> CrashFileSystem::List(const std::string& directory) {
  const MutexLock lock(mutex_);
  if (!directories_.contains(directory)) {
    return ErrnoStatus(ENOENT, fmt::format("list {}", directory));
  }
  std::vector<std::string> names;
  const auto add = [&](const std::string& path) {
    if (path != directory && ParentOf(path) == directory) {
      names.push_back(path.substr(path.rfind('/') + 1));
    }
  };
  for (const auto& [path, inode] : cache_) add(path);
  for (const std::string& path : directories_) add(path);
  std::sort(names.begin(), names.end());
  return names;
}

absl::Status CrashFileSystem::CreateDirectories(const std::string& directory) {
  const MutexLock lock(mutex_);
  for (std::string path = directory; !directories_.contains(path); path = ParentOf(path)) {
    directories_.insert(path);
  }
  return absl::OkStatus();
}

absl::Status CrashFileSystem::Rename(const std::string& from, const std::string& to) {
  const MutexLock lock(mutex_);
  const auto found = cache_.find(from);
  if (found == cache_.end()) return ErrnoStatus(ENOENT, fmt::format("rename {} to {}", from, to));
  MOKV_RETURN_IF_ERROR(Begin(Operation::kRename, from));
  ChangeNames(to, [to, inode = found->second](Directory& names) {
    // By inode, not by `from`: an earlier rename of the same file may have been lost.
    std::erase_if(names, [&](const auto& name) { return name.second == inode; });
    names[to] = inode;
  });
  return absl::OkStatus();
}

absl::Status CrashFileSystem::Remove(const std::string& path) {
  const MutexLock lock(mutex_);
  if (!cache_.contains(path)) return ErrnoStatus(ENOENT, fmt::format("remove {}", path));
  MOKV_RETURN_IF_ERROR(Begin(Operation::kRemove, path));
  ChangeNames(path, [path](Directory& names) { names.erase(path); });
  return absl::OkStatus();
}

absl::Status CrashFileSystem::SyncDirectory(const std::string& directory) {
  const MutexLock lock(mutex_);
  if (!directories_.contains(directory)) {
    return ErrnoStatus(ENOENT, fmt::format("open directory {}", directory));
  }
  MOKV_RETURN_IF_ERROR(Begin(Operation::kSyncDirectory, directory));
  for (const NameChange& change : unsynced_names_) {
    if (change.directory == directory) change.apply(disk_);
  }
  std::erase_if(unsynced_names_,
                [&](const NameChange& change) { return change.directory == directory; });
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<FileLock>> CrashFileSystem::Lock(const std::string& path) {
  const MutexLock lock(mutex_);
  if (!locks_.insert(path).second) {
    return FailedPrecondition("{} is locked by another process", path);
  }
  return std::make_unique<HeldLock>(*this, path, life_);
}

}  // namespace mokv
