#include "snapshot/directory.h"

#include <algorithm>
#include <charconv>

#include "base/status.h"

namespace mokv::snapshot {
namespace {

constexpr std::string_view kPrefix = "snapshot-";
constexpr std::string_view kSuffix = ".snap";
constexpr size_t kDigits = 16;
constexpr std::string_view kWritten = ".writing";
constexpr std::string_view kFetched = ".fetching";
constexpr std::string_view kDamaged = ".damaged";

std::optional<uint64_t> ParseHex(std::string_view digits) {
  uint64_t number = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), number, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

}  // namespace

std::string FileName(EntryId last) {
  return fmt::format("{}{:016x}-{:016x}{}", kPrefix, last.index.value(), last.term.value(),
                     kSuffix);
}

std::optional<EntryId> ParseFileName(std::string_view name) {
  if (name.size() != kPrefix.size() + kDigits + 1 + kDigits + kSuffix.size()) return std::nullopt;
  const auto index = ParseHex(name.substr(kPrefix.size(), kDigits));
  const auto term = ParseHex(name.substr(kPrefix.size() + kDigits + 1, kDigits));
  if (!index.has_value() || !term.has_value()) return std::nullopt;
  const EntryId last{Index(*index), Term(*term)};
  if (name != FileName(last)) return std::nullopt;
  return last;
}

std::string Directory::PathOf(EntryId last) const { return path_ + "/" + FileName(last); }

std::string Directory::WrittenPathOf(EntryId last) const {
  return fmt::format("{}{}", PathOf(last), kWritten);
}

std::string Directory::FetchedPathOf(EntryId last) const {
  return fmt::format("{}{}", PathOf(last), kFetched);
}

absl::StatusOr<std::vector<EntryId>> Directory::Open() const {
  MOKV_RETURN_IF_ERROR(files_.CreateDirectories(path_));
  MOKV_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.List(path_));
  std::vector<EntryId> found;
  for (const std::string& name : names) {
    if (const auto last = ParseFileName(name)) {
      found.push_back(*last);
    } else if (name.ends_with(kWritten)) {
      MOKV_RETURN_IF_ERROR(files_.Remove(path_ + "/" + name));
    }
  }
  std::sort(found.begin(), found.end(), [](const EntryId& one, const EntryId& other) {
    return one.index != other.index ? one.index > other.index : one.term > other.term;
  });
  return found;
}

absl::StatusOr<std::unique_ptr<File>> Directory::Create(const std::string& path) const {
  auto file = files_.Open(path, FileSystem::OpenMode::kCreateNew);
  if (file.ok() || !absl::IsAlreadyExists(file.status())) return file;
  MOKV_ASSIGN_OR_RETURN(file, files_.Open(path, FileSystem::OpenMode::kReadWrite));
  MOKV_RETURN_IF_ERROR((*file)->Truncate(0));
  return file;
}

absl::StatusOr<uint64_t> Directory::OpenFetched(EntryId last, std::unique_ptr<File>& file) const {
  MOKV_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.List(path_));
  const std::string path = FetchedPathOf(last);
  bool is_there = false;
  for (const std::string& name : names) {
    const std::string other = path_ + "/" + name;
    if (other == path) {
      is_there = true;
    } else if (name.ends_with(kFetched)) {
      MOKV_RETURN_IF_ERROR(files_.Remove(other));
    }
  }
  const auto mode = is_there ? FileSystem::OpenMode::kReadWrite : FileSystem::OpenMode::kCreateNew;
  MOKV_ASSIGN_OR_RETURN(file, files_.Open(path, mode));
  return file->Size();
}

absl::Status Directory::Publish(const std::string& path, EntryId last) const {
  MOKV_RETURN_IF_ERROR(files_.Rename(path, PathOf(last)));
  return files_.SyncDirectory(path_);
}

absl::Status Directory::SetAside(EntryId last) const {
  MOKV_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.List(path_));
  for (const std::string& name : names) {
    if (name.ends_with(kDamaged)) MOKV_RETURN_IF_ERROR(files_.Remove(path_ + "/" + name));
  }
  const std::string path = PathOf(last);
  MOKV_RETURN_IF_ERROR(files_.Rename(path, fmt::format("{}{}", path, kDamaged)));
  return files_.SyncDirectory(path_);
}

absl::Status Directory::Remove(const std::string& path) const {
  const absl::Status status = files_.Remove(path);
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

}  // namespace mokv::snapshot
