// Configuration files: any bytes are refused with a line that names the file, or their values are
// stored or refused one by one.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/status.h"
#include "node/config_keys.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A file in memory, so that the code that reads files is part of it.
  static const int file = memfd_create("config", MFD_CLOEXEC);
  static const std::string path = "/proc/self/fd/" + std::to_string(file);
  MOKV_CHECK_EQ(ftruncate(file, 0), 0);
  MOKV_CHECK_EQ(pwrite(file, data, size, 0), static_cast<ssize_t>(size));

  const mokv::Environment environment = {{"HOME", "/home/a"}, {"A", "127.0.0.1:8400"}};
  const auto values = mokv::ReadConfigFile(path, environment);
  if (!values.ok()) {
    MOKV_CHECK(mokv::MessageOf(values.status()).find(path) != std::string_view::npos);
    return 0;
  }
  mokv::Config config;
  for (const mokv::GivenValue& given : *values) {
    const absl::Status stored = mokv::StoreValue(given, config);
    if (stored.ok()) continue;
    MOKV_CHECK(mokv::MessageOf(stored).find(given.key->name) != std::string_view::npos);
  }
  return 0;
}
