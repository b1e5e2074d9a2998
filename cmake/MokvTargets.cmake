# The rules that every target of ours follows: warnings as errors, one include root; and the kinds of
# targets.
add_library(mokv_options INTERFACE)
# Designated initializers name what differs from the defaults; GCC 12 would have all of them named.
target_compile_options(mokv_options INTERFACE -Wall -Wextra -Wno-missing-field-initializers)
target_include_directories(mokv_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
# Some packages ask for it, and a precompiled header needs the flags of all who use it.
target_compile_options(mokv_options INTERFACE -pthread)
# The compiler that ships the product decides about warnings. Clang, which builds with sanitizers, checks
# what only it can: that members are touched under the lock that guards them.
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  target_compile_options(mokv_options INTERFACE -Wconversion -Werror)
else()
  target_compile_options(mokv_options INTERFACE -Wthread-safety -Werror=thread-safety)
  # libstdc++ uses what it calls deprecated itself.
  target_compile_options(mokv_options INTERFACE -Wno-deprecated-declarations)
endif()

include(Sanitizers)
target_link_libraries(mokv_options INTERFACE mokv_sanitizers)

# -O2 rather than CMake's -O3: smaller code, and nothing here gained from -O3. Frame pointers
# cost little and make every profile readable. MOKV_CHECK does not depend on NDEBUG.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG -fno-omit-frame-pointer")
# The sanitizers' builds: half the time to compile of -O2 -g, and traces with lines all the same.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1 -DNDEBUG")
if(MOKV_BUILD_TESTS)
  # Most of a test's own code runs once: compiling it is what takes the time, with sanitizers above all.
  add_library(mokv_test_options INTERFACE)
  target_link_libraries(mokv_test_options
                        INTERFACE mokv_options GTest::gtest GTest::gmock rapidcheck)
  if(MOKV_SANITIZE)
    target_compile_options(mokv_test_options INTERFACE -O0)
  else()
    # At this level GCC's idea of what may be uninitialized is often wrong.
    target_compile_options(mokv_test_options INTERFACE -O1 -Wno-maybe-uninitialized)
  endif()
endif()
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

include(PrecompiledHeaders)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

# mokv_library(NAME SOURCES a.cc b.cc [PROTOS p.proto] LINKS dep ... [PRIVATE_LINKS dep ...])
# One library a folder. LINKS are seen by users of the headers, PRIVATE_LINKS only by the .cc files.
function(mokv_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PROTOS;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC mokv_options ${ARG_LINKS} PRIVATE ${ARG_PRIVATE_LINKS})
  mokv_use_pch(${name} mokv_pch)
  if(ARG_PROTOS)
    mokv_protos(${name}_proto ${ARG_PROTOS})
    target_link_libraries(${name} PRIVATE ${name}_proto)
  endif()
endfunction()

# mokv_mutable_library(NAME SOURCES a.cc b.cc LINKS dep ... [PRIVATE_LINKS dep ...]): the folder's
# sources with its deliberate bugs in them, each behind a switch (src/raft/mutations/README.md). It is
# made of copies, and -iquote is searched before every -I, so users see the copies' headers, too.
function(mokv_mutable_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;PRIVATE_LINKS" ${ARGN})
  get_filename_component(folder ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  file(GLOB headers CONFIGURE_DEPENDS RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} *.h)
  file(GLOB diffs CONFIGURE_DEPENDS mutations/*.diff)
  set(root ${CMAKE_CURRENT_BINARY_DIR}/mutable)
  set(originals ${headers} ${ARG_SOURCES})
  list(TRANSFORM originals PREPEND ${root}/${folder}/ OUTPUT_VARIABLE copies)
  set(apply ${CMAKE_SOURCE_DIR}/src/raft/mutations/apply.py)
  add_custom_command(
    OUTPUT ${copies}
    COMMAND /usr/bin/python3 ${apply} ${root}/${folder} ${originals}
    DEPENDS ${originals} ${diffs} ${apply} mutations/mutation.h
    WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}
    COMMENT "Putting the mutations into a copy of src/${folder}"
    VERBATIM)
  mokv_library(${name} SOURCES ${copies} LINKS ${ARG_LINKS} PRIVATE_LINKS ${ARG_PRIVATE_LINKS})
  target_compile_options(${name} PUBLIC "SHELL:-iquote ${root}")
endfunction()

# mokv_protos(NAME p.proto ...): generated code in a library of its own, without our warnings.
# Included as "src-relative/path.pb.h" or, for api/, as "api/kv.pb.h".
function(mokv_protos name)
  file(RELATIVE_PATH relative ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  set(out_root ${CMAKE_BINARY_DIR}/gen)
  set(root ${CMAKE_SOURCE_DIR})
  if(relative MATCHES "^src/")
    set(root ${CMAKE_SOURCE_DIR}/src)
    string(REGEX REPLACE "^src/" "" relative ${relative})
  endif()
  file(MAKE_DIRECTORY ${out_root}/${relative})
  set(generated)
  foreach(proto ${ARGN})
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    set(out ${out_root}/${relative}/${stem}.pb)
    add_custom_command(
      OUTPUT ${out}.cc ${out}.h
      COMMAND protobuf::protoc --proto_path=${root} --cpp_out=${out_root} ${root}/${relative}/${proto}
      DEPENDS ${root}/${relative}/${proto}
      VERBATIM)
    list(APPEND generated ${out}.cc)
  endforeach()
  add_library(${name} STATIC ${generated})
  target_include_directories(${name} SYSTEM PUBLIC ${out_root})
  target_link_libraries(${name} PUBLIC protobuf::libprotobuf PRIVATE mokv_sanitizers)
endfunction()

# Which test programs to have (all when empty), and what their tests' names begin with: so that one
# ctest run can cover several builds, each compiling only what it tests.
set(MOKV_TESTS "" CACHE STRING "Test programs to build; empty: all")
set(MOKV_TEST_PREFIX "" CACHE STRING "Put before the name of every test")
add_custom_target(unit_tests)

# mokv_test(NAME SOURCES a_test.cc LINKS dep ...): one GoogleTest program, each test known to ctest.
function(mokv_test name)
  if(NOT MOKV_BUILD_TESTS OR (MOKV_TESTS AND NOT name IN_LIST MOKV_TESTS))
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE mokv_test_options ${ARG_LINKS} GTest::gtest_main
                        rapidcheck_gtest)
  mokv_use_pch(${name} mokv_test_pch)
  add_dependencies(unit_tests ${name})
  # Values print as addresses where a type has no printer: not in a name.
  gtest_discover_tests(${name} NO_PRETTY_VALUES TEST_PREFIX "${MOKV_TEST_PREFIX}${name}/" DISCOVERY_TIMEOUT 60
                       PROPERTIES TIMEOUT 300 LABELS unit
                       ENVIRONMENT "${MOKV_SANITIZER_ENVIRONMENT}")
endfunction()

add_custom_target(fuzzers)

# mokv_fuzz(NAME SOURCES a_fuzz.cc LINKS dep ...): one libFuzzer program, and the test fuzz/NAME that
# runs it for a short while from the inputs in testdata/fuzz/NAME beside its source, if there are
# any. New inputs that reach new code stay in the build directory, as does one that fails; libFuzzer
# prints its path, and the seed. Nothing at all unless MOKV_FUZZ is on.
function(mokv_fuzz name)
  if(NOT MOKV_FUZZ)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} EXCLUDE_FROM_ALL ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE mokv_options ${ARG_LINKS})
  mokv_use_pch(${name} mokv_pch)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  add_dependencies(fuzzers ${name})

  set(found ${CMAKE_BINARY_DIR}/fuzz/${name})
  file(MAKE_DIRECTORY ${found}/corpus)
  set(corpora ${found}/corpus)
  if(IS_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/testdata/fuzz/${name})
    list(APPEND corpora ${CMAKE_CURRENT_SOURCE_DIR}/testdata/fuzz/${name})
  endif()
  add_test(NAME fuzz/${name}
           COMMAND ${name} -max_total_time=${MOKV_FUZZ_SECONDS} -timeout=10 -rss_limit_mb=2048
                   -artifact_prefix=${found}/ -print_final_stats=1 ${corpora})
  math(EXPR timeout "${MOKV_FUZZ_SECONDS} + 120")
  set_tests_properties(fuzz/${name} PROPERTIES LABELS fuzz TIMEOUT ${timeout}
                       ENVIRONMENT "${MOKV_SANITIZER_ENVIRONMENT}")
endfunction()
