#include "rpc/session_memory.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace mokv::rpc {

SessionMemory::~SessionMemory() { Trim(); }

void SessionMemory::Trim() {
  for (Head*& first : kept_) {
    while (first != nullptr) {
      Head* const head = first;
      first = head->next;
      std::free(head);
    }
  }
  kept_bytes_ = 0;
}

void* SessionMemory::Allocate(size_t size) {
  if (size > SIZE_MAX - sizeof(Head) - kStepBytes) return nullptr;
  const size_t bytes = (size + sizeof(Head) + kStepBytes - 1) / kStepBytes * kStepBytes;
  if (bytes <= kBlockBytesMax) {
    Head*& first = kept_[bytes / kStepBytes - 1];
    if (first != nullptr) {
      Head* const head = first;
      first = head->next;
      kept_bytes_ -= bytes;
      used_bytes_ += bytes;
      return head + 1;
    }
  }
  Head* const head = static_cast<Head*>(std::malloc(bytes));
  if (head == nullptr) return nullptr;
  head->bytes = bytes;
  used_bytes_ += bytes;
  return head + 1;
}

void SessionMemory::Free(void* block) {
  if (block == nullptr) return;
  Head* const head = static_cast<Head*>(block) - 1;
  used_bytes_ -= head->bytes;
  if (head->bytes > kBlockBytesMax || kept_bytes_ + head->bytes > kept_bytes_max_) {
    std::free(head);
    return;
  }
  Head*& first = kept_[head->bytes / kStepBytes - 1];
  head->next = first;
  first = head;
  kept_bytes_ += head->bytes;
}

void* SessionMemory::Reallocate(void* block, size_t size) {
  if (block == nullptr) return Allocate(size);
  const size_t room = (static_cast<Head*>(block) - 1)->bytes - sizeof(Head);
  if (size <= room) return block;
  void* const larger = Allocate(size);
  if (larger == nullptr) return nullptr;
  std::memcpy(larger, block, room);
  Free(block);
  return larger;
}

nghttp2_mem SessionMemory::hooks() {
  nghttp2_mem hooks{};
  hooks.mem_user_data = this;
  hooks.malloc = [](size_t size, void* user) { return Self(user).Allocate(size); };
  hooks.free = [](void* block, void* user) { Self(user).Free(block); };
  hooks.calloc = [](size_t count, size_t size, void* user) -> void* {
    if (size != 0 && count > SIZE_MAX / size) return nullptr;
    void* const block = Self(user).Allocate(count * size);
    if (block != nullptr) std::memset(block, 0, count * size);
    return block;
  };
  hooks.realloc = [](void* block, size_t size, void* user) {
    return Self(user).Reallocate(block, size);
  };
  return hooks;
}

}  // namespace mokv::rpc
