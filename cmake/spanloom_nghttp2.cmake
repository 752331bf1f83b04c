# spanloom::nghttp2, wherever it is: it comes without a CMake package on most systems. Also read by
# the installed package, for a static libspanloom.
function(spanloom_find_nghttp2)
  if(TARGET spanloom::nghttp2)
    return()
  endif()
  find_path(SPANLOOM_NGHTTP2_INCLUDE nghttp2/nghttp2.h)
  find_library(SPANLOOM_NGHTTP2_LIBRARY nghttp2)
  mark_as_advanced(SPANLOOM_NGHTTP2_INCLUDE SPANLOOM_NGHTTP2_LIBRARY)
  if(SPANLOOM_NGHTTP2_INCLUDE AND SPANLOOM_NGHTTP2_LIBRARY)
    add_library(spanloom::nghttp2 UNKNOWN IMPORTED GLOBAL)
    set_target_properties(spanloom::nghttp2 PROPERTIES
      IMPORTED_LOCATION ${SPANLOOM_NGHTTP2_LIBRARY}
      INTERFACE_INCLUDE_DIRECTORIES ${SPANLOOM_NGHTTP2_INCLUDE})
  endif()
endfunction()
