# Every library here is a Debian 12 package; scripts/install_packages.sh installs them.
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(Protobuf 3.21 REQUIRED)
find_package(absl REQUIRED)
find_package(ZLIB REQUIRED)
find_package(spdlog REQUIRED)
find_package(fmt REQUIRED)
find_package(yaml-cpp REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(nghttp2 REQUIRED IMPORTED_TARGET libnghttp2)
# A shared library here. Its compile flags say how it was built, and its header must be read with them.
pkg_check_modules(httplib REQUIRED IMPORTED_TARGET cpp-httplib)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
# Serf's queries filter by RE2's expressions, in time linear in the input, which a stranger chooses.
# (Not named re2: gRPC's package looks for that name itself.)
pkg_check_modules(libre2 REQUIRED IMPORTED_TARGET re2)

# Asio is header-only and ships no CMake package in Debian.
find_path(ASIO_INCLUDE_DIR asio.hpp REQUIRED)
add_library(asio INTERFACE)
target_include_directories(asio SYSTEM INTERFACE ${ASIO_INCLUDE_DIR})
target_compile_definitions(asio INTERFACE ASIO_STANDALONE ASIO_NO_DEPRECATED)
target_link_libraries(asio INTERFACE Threads::Threads)

# So is CLI11.
find_path(CLI11_INCLUDE_DIR CLI/CLI.hpp REQUIRED)
add_library(cli11 INTERFACE)
target_include_directories(cli11 SYSTEM INTERFACE ${CLI11_INCLUDE_DIR})

# The allocator of the programs that hold a store: closer size classes than glibc's, and pages given
# back. Sanitizers bring their own.
add_library(mokv_allocator INTERFACE)
if(NOT MOKV_SANITIZE)
  pkg_check_modules(jemalloc REQUIRED IMPORTED_TARGET jemalloc)
  target_link_libraries(mokv_allocator INTERFACE PkgConfig::jemalloc)
  target_link_options(mokv_allocator INTERFACE -Wl,--no-as-needed)
endif()

if(MOKV_BUILD_TESTS)
  enable_testing()
  find_package(GTest REQUIRED)
  find_package(rapidcheck REQUIRED)
  include(GoogleTest)
endif()
if(MOKV_BUILD_BENCH)
  find_package(benchmark REQUIRED)
  find_package(gRPC QUIET)  # Only for the comparison servers.
endif()
