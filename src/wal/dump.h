// Prints a log for people: every file, batch and record, and where something is damaged. Takes no
// lock, changes nothing, holds one batch at a time; works on a log in use (whose last batch may
// then look unfinished) and on a damaged one, where it goes on with what can be read.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/file.h"

namespace mokv::wal {

struct DumpSummary {
  uint64_t segments = 0;  // Files with a segment's name.
  uint64_t batches = 0;
  uint64_t entries = 0;
  // Places where bytes do not verify although something after them does, and headers that do not
  // verify.
  uint64_t damages = 0;
};

// Calls `print` with each line, without its end. Errors are those of reading the directory; what is
// in the files is printed, whatever it is.
absl::StatusOr<DumpSummary> DumpLog(FileSystem& files, const std::string& directory,
                                    absl::AnyInvocable<void(std::string_view line)> print);

}  // namespace mokv::wal
