#include "rpc/session_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace mokv::rpc {
namespace {

class SessionMemoryTest : public testing::Test {
 protected:
  void* Allocate(size_t size) { return hooks_.malloc(size, hooks_.mem_user_data); }
  void* AllocateZeroed(size_t size) { return hooks_.calloc(1, size, hooks_.mem_user_data); }
  void* Reallocate(void* block, size_t size) {
    return hooks_.realloc(block, size, hooks_.mem_user_data);
  }
  void Free(void* block) { hooks_.free(block, hooks_.mem_user_data); }

  // Sanitizers' builds would keep nothing.
  SessionMemory memory_{SessionMemory::kKeptBytesMax};
  nghttp2_mem hooks_ = memory_.hooks();
};

TEST_F(SessionMemoryTest, GivesBlocksThatWereGivenBack) {
  void* const block = Allocate(100);
  Free(block);
  EXPECT_GE(memory_.kept_bytes(), size_t{100});
  void* const again = Allocate(110);  // As many cache lines.
  EXPECT_EQ(again, block);
  EXPECT_EQ(memory_.kept_bytes(), size_t{0});
  Free(again);
}

TEST_F(SessionMemoryTest, ZeroesWhatWasUsedBefore) {
  void* const block = Allocate(64);
  std::memset(block, 0xff, 64);
  Free(block);
  const auto* const zeroed = static_cast<const char*>(AllocateZeroed(64));
  ASSERT_EQ(zeroed, block);
  EXPECT_EQ(std::string(zeroed, 64), std::string(64, '\0'));
  Free(block);
}

TEST_F(SessionMemoryTest, TakesNothingForNothing) {
  Free(nullptr);
  void* const block = Reallocate(nullptr, 10);
  ASSERT_NE(block, nullptr);
  Free(block);
}

TEST_F(SessionMemoryTest, RefusesSizesThatCannotBe) {
  EXPECT_EQ(Allocate(SIZE_MAX), nullptr);
  EXPECT_EQ(hooks_.calloc(SIZE_MAX / 2, 3, hooks_.mem_user_data), nullptr);
}

TEST_F(SessionMemoryTest, LargeBlocksGoBackAtOnce) {
  Free(Allocate(SessionMemory::kBlockBytesMax));
  EXPECT_EQ(memory_.kept_bytes(), size_t{0});
}

TEST_F(SessionMemoryTest, KeepsNoMoreThanItsBound) {
  std::vector<void*> blocks;
  for (size_t i = 0; i < 2 * SessionMemory::kKeptBytesMax / 512; ++i) {
    blocks.push_back(Allocate(500));
  }
  for (void* block : blocks) Free(block);
  EXPECT_LE(memory_.kept_bytes(), SessionMemory::kKeptBytesMax);
  EXPECT_GT(memory_.kept_bytes(), SessionMemory::kKeptBytesMax / 2);
  memory_.Trim();
  EXPECT_EQ(memory_.kept_bytes(), size_t{0});
}

// Goal:   blocks in use never overlap, are aligned as malloc's are, and keep what is in them when
//         they grow.
// Method: allocate, grow and free at random; each block is full of a byte of its own.
TEST_F(SessionMemoryTest, BlocksKeepWhatIsInThem) {
  struct Block {
    char* bytes;
    size_t size;
    char fill;
  };
  const auto expect_whole = [](const Block& block, size_t size) {
    EXPECT_EQ(std::string(block.bytes, size), std::string(size, block.fill));
  };
  std::mt19937 random(1);
  std::vector<Block> blocks;
  for (int i = 0; i < 20'000; ++i) {
    const size_t size = 1 + random() % 1500;
    const auto fill = static_cast<char>(random());
    const size_t choice = blocks.empty() ? 0 : random() % 3;
    if (choice == 0) {
      blocks.push_back({static_cast<char*>(Allocate(size)), size, fill});
    } else {
      std::swap(blocks[random() % blocks.size()], blocks.back());
      Block& block = blocks.back();
      expect_whole(block, block.size);
      if (choice == 1) {
        Free(block.bytes);
        blocks.pop_back();
        continue;
      }
      block.bytes = static_cast<char*>(Reallocate(block.bytes, size));
      expect_whole(block, std::min(size, block.size));
      block.size = size;
      block.fill = fill;
    }
    ASSERT_EQ(reinterpret_cast<uintptr_t>(blocks.back().bytes) % alignof(std::max_align_t), 0u);
    std::memset(blocks.back().bytes, fill, blocks.back().size);
  }
  for (const Block& block : blocks) {
    expect_whole(block, block.size);
    Free(block.bytes);
  }
}

}  // namespace
}  // namespace mokv::rpc
