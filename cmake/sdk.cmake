# The SDK alone, for programs that are traced: built inside theirs (add_subdirectory, FetchContent)
# or installed (find_package, pkg-config). No Boost, no protobuf, no gRPC library.
#
#   spanloom::sdk                 the API, the SDK and its exporters
#   spanloom::NAME                other libraries' calls as spans (spanloom_components.cmake)
#   spanloom::opentelemetry_cpp   opentelemetry-cpp's API on top of it (comes as source)
#
# What it is made of is compiled in few large units: that is what keeps a user's build short.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

option(SPANLOOM_TLS "send over TLS (needs OpenSSL)" ON)
option(SPANLOOM_GRPC "send by gRPC (needs nghttp2)" ON)
option(SPANLOOM_SHARED "build the SDK as a shared library" ${BUILD_SHARED_LIBS})
option(SPANLOOM_INSTRUMENTATION "offer components that trace other libraries, where these are installed" ON)
option(SPANLOOM_OPENTELEMETRY_CPP "offer spanloom::opentelemetry_cpp (needs its API headers)" OFF)
option(SPANLOOM_SDK_TESTS "build sdk_tests, the SDK's own tests, without those that need the server" OFF)
option(SPANLOOM_INSTALL "make rules to install the SDK" ${PROJECT_IS_TOP_LEVEL})

set(spanloom_requires "")  # what a static libspanloom needs of others, for pkg-config
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
list(APPEND spanloom_requires zlib)
if(SPANLOOM_TLS)
  find_package(OpenSSL 3 REQUIRED)
  list(APPEND spanloom_requires openssl)
endif()
include(${CMAKE_CURRENT_LIST_DIR}/spanloom_nghttp2.cmake)
if(SPANLOOM_GRPC)
  spanloom_find_nghttp2()
  if(NOT TARGET spanloom::nghttp2)
    message(FATAL_ERROR "spanloom sends gRPC through nghttp2, which was not found: install it "
      "(libnghttp2-dev, brew install libnghttp2), or build with -DSPANLOOM_GRPC=OFF")
  endif()
  list(APPEND spanloom_requires libnghttp2)
endif()
foreach(header fmt/core.h tl/expected.hpp)
  string(MAKE_C_IDENTIFIER ${header} name)
  find_path(SPANLOOM_${name} ${header} REQUIRED)
  list(APPEND spanloom_headers ${SPANLOOM_${name}})
endforeach()

set(spanloom_root ${CMAKE_CURRENT_LIST_DIR}/..)
function(spanloom_collect out folder)
  cmake_parse_arguments(C "" "" "ONLY;WITHOUT" ${ARGN})
  if(C_ONLY)
    list(TRANSFORM C_ONLY PREPEND ${spanloom_root}/src/${folder}/)
    set(found ${C_ONLY})
  else()
    file(GLOB found CONFIGURE_DEPENDS ${spanloom_root}/src/${folder}/*.cc)
    list(FILTER found EXCLUDE REGEX "_test\\.cc$")
    foreach(name ${C_WITHOUT})
      list(FILTER found EXCLUDE REGEX "/${name}$")
    endforeach()
  endif()
  set(${out} ${${out}} ${found} PARENT_SCOPE)
endfunction()

# What runs for each span is compiled as fast as it gets; what runs once, or waits for the network,
# needs no more than -O1, which halves what it costs a user to compile it.
set(at_start composite_sampler.cc configured_exporter.cc console_exporter.cc environment_configuration.cc
  file_configuration.cc file_samplers.cc file_values.cc fork.cc http_strategy_source.cc
  in_memory_exporter.cc init.cc otlp_exporter.cc otlp_file_exporter.cc remote_sampler.cc resource.cc
  resource_detectors.cc sampling_strategy.cc signal_flush.cc substitution.cc yaml.cc)
set(per_span "")
spanloom_collect(per_span otlp WITHOUT json_read.cc json_text.cc)
spanloom_collect(per_span privacy)
spanloom_collect(per_span sdk WITHOUT ${at_start})
set(seldom "")
spanloom_collect(seldom base ONLY clock.cc glob.cc json_writer.cc random.cc result.cc text.cc)
set(send_without tls_absent.cc)
if(NOT SPANLOOM_TLS)
  set(send_without tls.cc)
endif()
if(SPANLOOM_GRPC)
  list(APPEND send_without grpc_absent.cc)
else()
  list(APPEND send_without grpc_exchange.cc)
endif()
spanloom_collect(seldom send WITHOUT ${send_without})
spanloom_collect(seldom sdk ONLY ${at_start})

# The public headers as users get them: what they declare is visible outside a shared library, and
# nothing else is.
set(spanloom_include ${CMAKE_CURRENT_BINARY_DIR}/spanloom_include)
file(GLOB_RECURSE public_headers CONFIGURE_DEPENDS RELATIVE ${spanloom_root}/include ${spanloom_root}/include/*.h)
foreach(header ${public_headers})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${spanloom_root}/include/${header})
  file(READ ${spanloom_root}/include/${header} text)
  string(REGEX REPLACE "(^|\n)namespace spanloom {" "\\1namespace [[gnu::visibility(\"default\")]] spanloom {" text "${text}")
  set(before "")
  if(EXISTS ${spanloom_include}/${header})
    file(READ ${spanloom_include}/${header} before)
  endif()
  if(NOT before STREQUAL text)
    file(WRITE ${spanloom_include}/${header} "${text}")
  endif()
endforeach()

if(SPANLOOM_SHARED)
  add_library(spanloom_sdk SHARED)
else()
  add_library(spanloom_sdk STATIC)
endif()
add_library(spanloom::sdk ALIAS spanloom_sdk)
set_target_properties(spanloom_sdk PROPERTIES
  OUTPUT_NAME spanloom EXPORT_NAME sdk VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
target_compile_features(spanloom_sdk INTERFACE cxx_std_17)
target_include_directories(spanloom_sdk
  PUBLIC $<BUILD_INTERFACE:${spanloom_include}> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(spanloom_sdk PRIVATE Threads::Threads ZLIB::ZLIB
  $<$<BOOL:${SPANLOOM_TLS}>:OpenSSL::SSL> $<$<BOOL:${SPANLOOM_GRPC}>:spanloom::nghttp2>)
set(with_per_span -O2)
set(with_seldom -O1)
set(with_format -O1)
set(format ${spanloom_root}/cmake/sdk_format.cc)
foreach(part per_span seldom format)
  add_library(spanloom_${part} OBJECT ${${part}})
  set_target_properties(spanloom_${part} PROPERTIES
    CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF CXX_SCAN_FOR_MODULES OFF
    POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 0)
  target_compile_definitions(spanloom_${part} PRIVATE SPANLOOM_VERSION="${PROJECT_VERSION}" _GNU_SOURCE=1)
  target_compile_options(spanloom_${part} PRIVATE $<$<CONFIG:Release,RelWithDebInfo>:${with_${part}}>)
  target_include_directories(spanloom_${part} PRIVATE ${spanloom_include} ${spanloom_root}/src)
  target_include_directories(spanloom_${part} SYSTEM PRIVATE ${spanloom_headers})
  target_link_libraries(spanloom_${part} PRIVATE Threads::Threads ZLIB::ZLIB
    $<$<BOOL:${SPANLOOM_TLS}>:OpenSSL::SSL> $<$<BOOL:${SPANLOOM_GRPC}>:spanloom::nghttp2>)
  target_sources(spanloom_sdk PRIVATE $<TARGET_OBJECTS:spanloom_${part}>)
endforeach()
if(SPANLOOM_SHARED AND UNIX AND NOT APPLE)
  # A thread of the SDK may be inside it at any time, so it is never unloaded; its third parties'
  # templates stay its own.
  target_link_options(spanloom_sdk PRIVATE -Wl,-z,nodelete -Wl,--exclude-libs,ALL
    -Wl,--version-script=${spanloom_root}/cmake/spanloom.map)
  set_property(TARGET spanloom_sdk PROPERTY LINK_DEPENDS ${spanloom_root}/cmake/spanloom.map)
endif()

set(SPANLOOM_INSTRUMENTATIONS "")
if(SPANLOOM_INSTRUMENTATION)
  include(${CMAKE_CURRENT_LIST_DIR}/instrumentation.cmake)
endif()

if(SPANLOOM_SDK_TESTS)
  find_path(DOCTEST_INCLUDE doctest/doctest.h REQUIRED)
  file(GLOB tests CONFIGURE_DEPENDS ${spanloom_root}/src/privacy/*_test.cc ${spanloom_root}/src/sdk/*_test.cc)
  foreach(name base/glob_test base/text_test otlp/tracestate_test send/hostile_test)
    list(APPEND tests ${spanloom_root}/src/${name}.cc)
  endforeach()
  add_executable(sdk_tests ${tests} ${spanloom_root}/test/doctest_main.cc)
  set_target_properties(sdk_tests PROPERTIES CXX_STANDARD 20 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS OFF)
  target_compile_definitions(sdk_tests PRIVATE FMT_HEADER_ONLY=1)
  target_include_directories(sdk_tests PRIVATE ${spanloom_root}/src ${spanloom_root})
  target_include_directories(sdk_tests SYSTEM PRIVATE ${spanloom_headers} ${DOCTEST_INCLUDE})
  target_link_libraries(sdk_tests PRIVATE spanloom_sdk Threads::Threads)
endif()
if(SPANLOOM_OPENTELEMETRY_CPP)
  include(${CMAKE_CURRENT_LIST_DIR}/spanloom_opentelemetry_cpp.cmake)
  spanloom_add_opentelemetry_cpp(${spanloom_root}/src/instrumentation/opentelemetry_cpp.cc)
endif()
if(SPANLOOM_INSTALL)
  include(${CMAKE_CURRENT_LIST_DIR}/install_sdk.cmake)
endif()
