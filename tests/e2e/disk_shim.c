// A disk that hangs, fails or is full when the test says so; loaded into a node with LD_PRELOAD.
//
// In the directory MOKV_DISK_CONTROL: while a file `hang` exists, fdatasync, fsync and pwrite wait;
// while a file `fail` exists, fdatasync and fsync return EIO and pwrite does as it is told; while a
// file `full` exists, no file can be given more space.
//
// Threads: any.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static int Told(const char* what) {
  const char* directory = getenv("MOKV_DISK_CONTROL");
  char path[PATH_MAX];
  if (directory == NULL) return 0;
  const int length = snprintf(path, sizeof(path), "%s/%s", directory, what);
  if (length < 0 || (size_t)length >= sizeof(path)) return 0;
  const int saved = errno;
  const int exists = access(path, F_OK) == 0;
  errno = saved;
  return exists;
}

static void WaitWhileHanging(void) {
  const struct timespec interval = {.tv_sec = 0, .tv_nsec = 2000000};
  while (Told("hang")) nanosleep(&interval, NULL);
}

static int Sync(const char* name, int fd) {
  WaitWhileHanging();
  if (Told("fail")) {
    errno = EIO;
    return -1;
  }
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  const int result = real(fd);
  WaitWhileHanging();  // Also one that was under way is not over before the disk is back.
  return result;
}

int fdatasync(int fd) { return Sync("fdatasync", fd); }
int fsync(int fd) { return Sync("fsync", fd); }

int fallocate(int fd, int mode, off_t offset, off_t length) {
  if (Told("full")) {
    errno = ENOSPC;
    return -1;
  }
  int (*real)(int, int, off_t, off_t) =
      (int (*)(int, int, off_t, off_t))dlsym(RTLD_NEXT, "fallocate");
  return real(fd, mode, offset, length);
}

static int IsBehindTheEnd(int fd, off_t end) {
  struct stat file;
  return fstat(fd, &file) == 0 && end > file.st_size;
}

ssize_t pwrite(int fd, const void* bytes, size_t count, off_t offset) {
  WaitWhileHanging();
  if (Told("full") && IsBehindTheEnd(fd, offset + (off_t)count)) {
    errno = ENOSPC;
    return -1;
  }
  ssize_t (*real)(int, const void*, size_t, off_t) =
      (ssize_t(*)(int, const void*, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
  return real(fd, bytes, count, offset);
}
