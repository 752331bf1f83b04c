# Read by sdk.cmake: headers, library, CMake package, pkg-config file.
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
  ${CMAKE_CURRENT_LIST_DIR}/spanloom_opentelemetry_cpp.cmake DESTINATION ${spanloom_package_dir})

install(FILES ${spanloom_root}/src/instrumentation/opentelemetry_cpp.cc
  DESTINATION ${CMAKE_INSTALL_DATADIR}/spanloom)

list(JOIN spanloom_requires " " spanloom_requires_text)
file(RELATIVE_PATH spanloom_pc_to_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
configure_file(${CMAKE_CURRENT_LIST_DIR}/spanloom.pc.in ${CMAKE_CURRENT_BINARY_DIR}/spanloom.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/spanloom.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
