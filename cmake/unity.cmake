# wafer_unite(TARGET [EXCEPT REGEX]): compiles the sources of a folder a few at a time, as one, but
# those whose path matches. Headers and what they instantiate are two thirds of a compile, and are
# paid once for each group. It asks that names be unique within a folder, those of anonymous
# namespaces too. Without WAFER_UNITY (preset debug) each source stands alone, so that
# a missing include is found.
set(wafer_unity_size 6)  # more would make the rebuild after an edit slow

function(wafer_unite target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "EXCEPT" "")
  if(NOT WAFER_UNITY)
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  # g++ takes a class with members from an anonymous namespace for one that several files define.
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
  get_target_property(sources ${target} SOURCES)
  foreach(source ${sources})
    if(NOT source MATCHES "\\.(cpp|cc)$" OR (arg_EXCEPT AND source MATCHES "${arg_EXCEPT}"))
      continue()
    endif()
    get_filename_component(folder "${source}" ABSOLUTE)
    get_filename_component(folder "${folder}" DIRECTORY)
    file(RELATIVE_PATH folder "${CMAKE_SOURCE_DIR}" "${folder}")
    string(MAKE_C_IDENTIFIER "${folder}" folder)
    if(NOT DEFINED ${folder})
      set(${folder} 0)
    endif()
    math(EXPR group "${${folder}} / ${wafer_unity_size}")
    set_source_files_properties("${source}" PROPERTIES UNITY_GROUP "${folder}_${group}")
    math(EXPR ${folder} "${${folder}} + 1")
  endforeach()
endfunction()
