// Encoder: makes the bytes of a snapshot, front to back, from the blocks that it is given.
//
// Threads: confined to one. Bounds: holds what was added and not taken yet, and nothing else.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "snapshot/format.h"

namespace mokv::snapshot {

class Encoder {
 public:
  // `last`: the last entry of the log that is in the state.
  explicit Encoder(EntryId last) : seed_(SeedOf(last)), out_(EncodeHeader(last)) {}

  void Add(const Block& block) {
    EncodeBlock(block, taken_ + out_.size(), seed_, out_);
    ++end_.blocks;
    end_.records += block.records;
  }
  // Nothing may be added any more.
  void Finish() { Add({.section = std::string(kEndSection), .payload = EncodeEnd(end_)}); }

  // What has been made and not taken yet.
  std::string Take() {
    taken_ += out_.size();
    return std::exchange(out_, {});
  }

 private:
  const uint64_t seed_;
  std::string out_;
  uint64_t taken_ = 0;
  EndRecord end_;
};

}  // namespace mokv::snapshot
