// HPACK for one connection, made for header blocks that repeat (RFC 7541).
//
// A load generator sends the same few header blocks and gets the same few back, so both sides keep
// whole blocks: a block of indexed fields alone changes no table, hence the same bytes mean the
// same headers until some other block changes the table.
// Threads: confined to the session's.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "load/session.h"

namespace mokv::load {

class HeaderEncoder {
 public:
  // `scheme` is http or https. `table_bytes` is what the server announced.
  HeaderEncoder(std::string scheme, std::string authority, uint32_t table_bytes);

  // The header block of a POST to `path`; valid until the next call. The first blocks bring the
  // fields into the server's table, later ones name them by index.
  const std::string& Encode(const std::string& path);

 private:
  struct Block {
    std::string path;
    size_t table_fields = 0;  // The table that `bytes` refers to had so many fields.
    std::string bytes;
  };

  void Rebuild(Block& block);
  void AppendField(std::string& out, uint32_t name_index, std::string_view name,
                   std::string_view value);

  std::string scheme_;
  std::string authority_;
  uint32_t table_bytes_max_;
  uint32_t table_bytes_ = 0;
  bool must_announce_size_;
  std::vector<std::pair<std::string, std::string>> table_;  // Oldest first; nothing is evicted.
  std::vector<Block> blocks_;
};

class HeaderDecoder {
 public:
  HeaderDecoder();
  ~HeaderDecoder();

  // UNAVAILABLE when the block is malformed; the connection is lost then.
  absl::StatusOr<AnswerStatus> Decode(std::string_view block);

 private:
  struct Inflater;
  struct Known {
    std::string block;
    AnswerStatus status;
  };

  absl::StatusOr<AnswerStatus> Inflate(std::string_view block);

  std::unique_ptr<Inflater> inflater_;
  std::array<Known, 4> known_;  // A server has one or two blocks that repeat.
  size_t next_known_ = 0;
};

}  // namespace mokv::load
