# Read by sdk.cmake: headers, libraries, CMake package, pkg-config files.
set(spanloom_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/spanloom)
install(DIRECTORY ${spanloom_include}/spanloom DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS spanloom_sdk EXPORT spanloom_targets)
install(EXPORT spanloom_targets NAMESPACE spanloom:: DESTINATION ${spanloom_package_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/spanloom-config.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/spanloom-config.cmake INSTALL_DESTINATION ${spanloom_package_dir}
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/spanloom-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/spanloom-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/spanloom-config-version.cmake
  ${CMAKE_CURRENT_LIST_DIR}/spanloom_nghttp2.cmake
  ${CMAKE_CURRENT_LIST_DIR}/spanloom_components.cmake
  ${CMAKE_CURRENT_LIST_DIR}/spanloom_opentelemetry_cpp.cmake DESTINATION ${spanloom_package_dir})

install(FILES ${spanloom_root}/src/instrumentation/opentelemetry_cpp.cc
  DESTINATION ${CMAKE_INSTALL_DATADIR}/spanloom)

list(JOIN spanloom_requires " " spanloom_requires_text)
file(RELATIVE_PATH spanloom_pc_to_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file(${CMAKE_CURRENT_LIST_DIR}/spanloom.pc.in ${CMAKE_CURRENT_BINARY_DIR}/spanloom.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/spanloom.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# Each component has an export set of its own: it is read only where it is asked for, for the library
# that it traces need not be where the package is used.
foreach(name ${SPANLOOM_INSTRUMENTATIONS})
  install(TARGETS spanloom_${name}_instrumentation EXPORT spanloom_${name}_targets)
  install(EXPORT spanloom_${name}_targets NAMESPACE spanloom:: DESTINATION ${spanloom_package_dir})
  cmake_parse_arguments(N "" "" "HEADER;SUFFIX;LIBRARIES;LIBRARIES_WHERE_THERE;USES;PKG_CONFIG" ${spanloom_${name}_needs})
  list(TRANSFORM N_USES PREPEND spanloom_)
  list(JOIN N_USES " " spanloom_component_uses)
  list(JOIN N_PKG_CONFIG " " spanloom_component_traces)
  set(spanloom_component ${name})
  set(spanloom_component_libs "")
  get_target_property(type spanloom_${name}_instrumentation TYPE)
  if(type STREQUAL "STATIC_LIBRARY")
    set(spanloom_component_libs "-L\${libdir} -lspanloom_${name}")
  endif()
  configure_file(${CMAKE_CURRENT_LIST_DIR}/spanloom_component.pc.in
    ${CMAKE_CURRENT_BINARY_DIR}/spanloom_${name}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/spanloom_${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
