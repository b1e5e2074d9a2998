#include "base/standard_streams.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

namespace mokv {

void OpenStandardStreams() {
  // open takes the lowest number that is free, so that it closes the gaps in order.
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
    if (fcntl(stream, F_GETFD) != -1 || errno != EBADF) continue;
    if (open("/dev/null", O_RDWR) != stream) std::abort();
  }
}

}  // namespace mokv
