# Language level, warnings and instrumentation that every target of this build shares.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# -O2 compiles this code a third faster than -O3; kernels ask for more in their own folder.
set(CMAKE_CXX_FLAGS_RELEASE "-O2")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

add_library(wafer_warnings INTERFACE)
# -Wrestrict fires on std::string's operator+ in g++ 12 (its bug 105651). Warnings are errors of the
# compiler that the project is written with; clang, which builds for sanitizers and fuzzers, has
# others.
set(gnu $<CXX_COMPILER_ID:GNU>)
target_compile_options(wafer_warnings INTERFACE -Wall -Wextra -Wpedantic $<${gnu}:-Werror>
  -Wno-missing-field-initializers $<${gnu}:-Wno-restrict> $<$<NOT:${gnu}>:-Wno-unknown-pragmas>)
# g++ 12 warns of copies inside std::string that cannot happen, and through precompiled headers no
# longer sees that they are the standard library's.
target_compile_options(wafer_warnings INTERFACE
  $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds> $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow>)

if(WAFER_SANITIZE)
  add_compile_options(
    -fsanitize=${WAFER_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  # AddressSanitizer reports both, too, where memory is touched. Without them a build is faster.
  if(WAFER_SANITIZE MATCHES "address" AND WAFER_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize=null,object-size)
  endif()
  add_link_options(-fsanitize=${WAFER_SANITIZE})
endif()
if(WAFER_FUZZ AND NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "WAFER_FUZZ: libFuzzer comes with clang alone; see the preset asan-ubsan")
endif()
if(WAFER_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()
