# spanloom_embed(TARGET): compiles web/dist into the target as the table of api/static_files.h.
# Without web/dist (or with SPANLOOM_WEB=OFF) the table holds one page that says how to build it.
find_program(NODE_PROGRAM node HINTS ENV SPANLOOM_NODE_DIR)

function(spanloom_embed target)
  set(dist ${PROJECT_SOURCE_DIR}/web/dist)
  set(script ${PROJECT_SOURCE_DIR}/cmake/embed.mjs)
  set(output ${CMAKE_CURRENT_BINARY_DIR}/embedded_files.cc)
  set(inputs)
  if(SPANLOOM_WEB AND NODE_PROGRAM)
    file(GLOB_RECURSE inputs CONFIGURE_DEPENDS ${dist}/*)
  endif()
  if(inputs)
    add_custom_command(OUTPUT ${output}
      COMMAND ${NODE_PROGRAM} ${script} ${dist} ${output}
      DEPENDS ${script} ${inputs}
      COMMENT "Embedding the web UI" VERBATIM)
  else()
    configure_file(${PROJECT_SOURCE_DIR}/cmake/no_web.cc.in ${output} COPYONLY)
  endif()
  target_sources(${target} PRIVATE ${output})
endfunction()

# spanloom_embed_documents(TARGET): compiles pages of docs/user into the target as api/mcp_documents.h wants them.
function(spanloom_embed_documents target)
  foreach(page traceql configuration)
    set(file ${PROJECT_SOURCE_DIR}/docs/user/${page}.md)
    file(READ ${file} ${page}_document)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  endforeach()
  set(output ${CMAKE_CURRENT_BINARY_DIR}/mcp_documents.cc)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/mcp_documents.cc.in ${output} @ONLY)
  target_sources(${target} PRIVATE ${output})
endfunction()
