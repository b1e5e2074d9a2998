// SessionMemory: where an nghttp2 session takes its memory from. Internal to the engine.
//
// A call costs nghttp2 six blocks: its stream, its frames, their headers. What one call has given back
// the next one takes, so that a busy connection does not call malloc.
//
// Owner:   the connection; it must outlive the session.
// Threads: confined to the connection's.
// Bounds:  kKeptBytesMax wait for the next call; what is more, or larger than kBlockBytesMax, goes to
//          malloc and free. A connection at rest keeps nothing (Trim).
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstddef>

namespace mokv::rpc {

class SessionMemory {
 public:
  // What nearly a hundred calls have at once.
  static constexpr size_t kKeptBytesMax = size_t{128} << 10;
  static constexpr size_t kBlockBytesMax = 1024;

  explicit SessionMemory(size_t kept_bytes_max = kKeptBytesMaxOfBuild())
      : kept_bytes_max_(kept_bytes_max) {}
  // The session must be gone.
  ~SessionMemory();
  SessionMemory(const SessionMemory&) = delete;
  SessionMemory& operator=(const SessionMemory&) = delete;

  // For nghttp2_session_server_new3 and its like, which copy them.
  nghttp2_mem hooks();

  // Gives back to malloc what waits for the next call.
  void Trim();
  size_t kept_bytes() const { return kept_bytes_; }
  // What the session has, and what waits for it.
  size_t bytes() const { return used_bytes_ + kept_bytes_; }

 private:
  // Stands before each block, and says which list takes it. It is as large as blocks are aligned.
  struct alignas(std::max_align_t) Head {
    size_t bytes;  // With this head.
    Head* next;    // While it waits.
  };
  // Lists by size: one cache line more each.
  static constexpr size_t kStepBytes = 64;
  static constexpr size_t kLists = kBlockBytesMax / kStepBytes;

  // Sanitizers see what is used after its end, or never freed, only where each block is malloc's own.
  static constexpr size_t kKeptBytesMaxOfBuild() {
#if defined(__SANITIZE_ADDRESS__)
    return 0;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return 0;
#endif
#endif
    return kKeptBytesMax;
  }

  static SessionMemory& Self(void* user) { return *static_cast<SessionMemory*>(user); }
  void* Allocate(size_t size);
  void Free(void* block);
  void* Reallocate(void* block, size_t size);

  const size_t kept_bytes_max_;
  size_t kept_bytes_ = 0;
  size_t used_bytes_ = 0;
  std::array<Head*, kLists> kept_{};
};

}  // namespace mokv::rpc
