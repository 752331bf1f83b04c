# Compiler, linker and cache settings that hold for every target of ours.
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_library(spanloom_flags INTERFACE)
target_compile_options(spanloom_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror
  -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 reports these falsely inside its own library at -O2 and above.
  target_compile_options(spanloom_flags INTERFACE -Wno-restrict -Wno-maybe-uninitialized
    -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread -Wno-dangling-pointer)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # libstdc++ 12's own std::stable_sort uses what it deprecates; g++ keeps quiet about it, and
  # about [[unlikely]] in what is C++17.
  target_compile_options(spanloom_flags INTERFACE -Wno-deprecated-declarations
    -Wno-c++20-attribute-extensions)
endif()
target_include_directories(spanloom_flags INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)

set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g1")
if(SPANLOOM_SANITIZE AND NOT SPANLOOM_FUZZ)
  # Instrumented code takes twice as long to compile optimised, and the tests are short.
  set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  # SSE4.2 and POPCNT are in every x86-64 server since 2009; wider kernels are chosen at run time.
  add_compile_options(-march=x86-64-v2)
endif()
if(SPANLOOM_SANITIZE)
  add_compile_options(-fsanitize=${SPANLOOM_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SPANLOOM_SANITIZE})
endif()
if(SPANLOOM_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
