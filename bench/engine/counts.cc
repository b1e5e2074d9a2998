// Defines malloc and its family, and the system calls of sockets, for the whole program, shared libraries
// included: the dynamic linker looks into the program first. Each counts, and hands on to glibc's or the
// kernel.
#include "engine/counts.h"

#include <errno.h>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "engine/process_usage.h"

namespace {

struct Counts {
  std::atomic<int64_t> allocations{0};
  std::atomic<int64_t> heap_bytes{0};  // In use, as glibc rounds them.
  std::atomic<int64_t> reads{0};
  std::atomic<int64_t> writes{0};
  std::atomic<int64_t> waits{0};
  std::atomic<int64_t> poll_changes{0};
};
// Constant-initialized: malloc is called before any constructor runs.
constinit Counts counts;

void Add(std::atomic<int64_t>& count, int64_t value) {
  count.fetch_add(value, std::memory_order_relaxed);
}

void* Allocated(void* memory) {
  Add(counts.allocations, 1);
  Add(counts.heap_bytes, static_cast<int64_t>(malloc_usable_size(memory)));
  return memory;
}

// Of the kernel's, which returns the error where C's functions set errno.
ssize_t Result(long result) { return static_cast<ssize_t>(result); }

}  // namespace

extern "C" {

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* memory, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* memory);

void* malloc(size_t size) { return Allocated(__libc_malloc(size)); }
void* calloc(size_t count, size_t size) { return Allocated(__libc_calloc(count, size)); }
void* realloc(void* memory, size_t size) {
  Add(counts.heap_bytes, -static_cast<int64_t>(malloc_usable_size(memory)));
  return Allocated(__libc_realloc(memory, size));
}
void* memalign(size_t alignment, size_t size) {
  return Allocated(__libc_memalign(alignment, size));
}
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void** memory, size_t alignment, size_t size) {
  *memory = memalign(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}
void free(void* memory) {
  Add(counts.heap_bytes, -static_cast<int64_t>(malloc_usable_size(memory)));
  __libc_free(memory);
}

ssize_t read(int fd, void* buffer, size_t size) {
  Add(counts.reads, 1);
  return Result(syscall(SYS_read, fd, buffer, size));
}
ssize_t recv(int fd, void* buffer, size_t size, int flags) {
  Add(counts.reads, 1);
  return Result(syscall(SYS_recvfrom, fd, buffer, size, flags, nullptr, nullptr));
}
ssize_t write(int fd, const void* buffer, size_t size) {
  Add(counts.writes, 1);
  return Result(syscall(SYS_write, fd, buffer, size));
}
ssize_t send(int fd, const void* buffer, size_t size, int flags) {
  Add(counts.writes, 1);
  return Result(syscall(SYS_sendto, fd, buffer, size, flags, nullptr, 0));
}
ssize_t writev(int fd, const iovec* parts, int count) {
  Add(counts.writes, 1);
  return Result(syscall(SYS_writev, fd, parts, count));
}
int epoll_wait(int epoll_fd, epoll_event* events, int events_max, int timeout_ms) {
  Add(counts.waits, 1);
  return static_cast<int>(
      syscall(SYS_epoll_pwait, epoll_fd, events, events_max, timeout_ms, nullptr, 0));
}
int epoll_ctl(int epoll_fd, int operation, int fd, epoll_event* event) noexcept {
  Add(counts.poll_changes, 1);
  return static_cast<int>(syscall(SYS_epoll_ctl, epoll_fd, operation, fd, event));
}

}  // extern "C"

namespace mokv::bench {

std::string CountsJson() {
  return fmt::format(
      R"({{"cpu_us":{},"resident_bytes":{},"allocations":{},"heap_bytes":{},"reads":{},"writes":{},)"
      R"("waits":{},"poll_changes":{}}})",
      CpuMicroseconds(), ResidentBytes(), counts.allocations.load(), counts.heap_bytes.load(),
      counts.reads.load(), counts.writes.load(), counts.waits.load(), counts.poll_changes.load());
}

}  // namespace mokv::bench
