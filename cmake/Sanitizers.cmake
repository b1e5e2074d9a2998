# Builds that watch what the program does: MOKV_SANITIZE for tests, MOKV_FUZZ for fuzzers as well. Both
# need Clang, which compiles them in two thirds of GCC's time.
set(MOKV_SANITIZE "" CACHE STRING "Sanitizers to compile with: address,undefined or thread")
option(MOKV_FUZZ "Build the libFuzzer programs, too" OFF)
set(MOKV_FUZZ_SECONDS 10 CACHE STRING "How long ctest runs each fuzzer")
if(MOKV_FUZZ)
  set(MOKV_SANITIZE address,undefined)
endif()

# In a library of its own, so that generated code gets these without our warnings.
add_library(mokv_sanitizers INTERFACE)
if(MOKV_SANITIZE)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL Clang)
    message(FATAL_ERROR "MOKV_SANITIZE and MOKV_FUZZ need -DCMAKE_CXX_COMPILER=clang++-19")
  endif()
  # addr2line is always there; llvm-symbolizer would be one more package. Without either, names are not
  # known, and no suppression is found.
  find_program(MOKV_ADDR2LINE addr2line REQUIRED)
  set(MOKV_TSAN_OPTIONS
      "suppressions=${CMAKE_SOURCE_DIR}/cmake/tsan.supp:external_symbolizer_path=${MOKV_ADDR2LINE}")
  # For the tests.
  set(MOKV_SANITIZER_ENVIRONMENT "TSAN_OPTIONS=${MOKV_TSAN_OPTIONS}"
      "ASAN_SYMBOLIZER_PATH=${MOKV_ADDR2LINE}")
  target_compile_options(mokv_sanitizers INTERFACE -fsanitize=${MOKV_SANITIZE}
                         -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(mokv_sanitizers INTERFACE -fsanitize=${MOKV_SANITIZE})
  # libstdc++'s own checks find an index past the end also where memory happens to follow.
  target_compile_definitions(mokv_sanitizers INTERFACE _GLIBCXX_ASSERTIONS)
endif()
if(MOKV_FUZZ)
  target_compile_options(mokv_sanitizers INTERFACE -fsanitize=fuzzer-no-link)
endif()
