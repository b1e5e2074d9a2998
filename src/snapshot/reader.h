// Reader: a snapshot file, block by block. Nothing is given out that did not verify, and the file is
// whole only if AtEnd has been reached.
//
// Threads: confined to one. Owner: borrows the file.
// Bounds:  memory for one block, and not before so many bytes are there.
// Errors:  DATA_LOSS and FAILED_PRECONDITION, naming file, block and offset.
#pragma once

#include <absl/status/statusor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/file.h"
#include "snapshot/format.h"

namespace mokv::snapshot {

// A block in the reader's memory, valid until the next call.
struct BlockView {
  std::string_view section;
  std::string_view payload;
  uint32_t records = 0;
};

class Reader {
 public:
  // Reads the header. `path` is for messages.
  static absl::StatusOr<Reader> Open(const File& file, std::string path);

  // The last entry of the log that is in the state.
  EntryId last() const { return last_; }
  uint64_t file_bytes() const { return file_bytes_; }
  // How far it has come.
  uint64_t offset() const { return offset_; }

  // Nothing behind the last block.
  absl::StatusOr<std::optional<BlockView>> Next();
  // An error about the block that Next gave last: its owner could not read it.
  absl::Status Refuse(const absl::Status& reason) const;

 private:
  Reader(const File& file, std::string path, EntryId last, uint64_t file_bytes);

  // At least `bytes` from offset_ on, in buffer_ from begin_ on.
  absl::Status Fill(size_t bytes);
  absl::Status Damage(std::string_view what) const;
  absl::StatusOr<std::optional<BlockView>> End(std::string_view payload);

  const File* file_;
  std::string path_;
  EntryId last_;
  uint64_t seed_;
  uint64_t file_bytes_;
  uint64_t offset_ = kHeaderBytes;  // Of the next block.
  uint64_t block_offset_ = 0;       // Of the one that was given last.
  EndRecord seen_;
  std::string buffer_;
  size_t begin_ = 0;
  std::string section_;
};

}  // namespace mokv::snapshot
