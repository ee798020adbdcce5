# Makes one table per folder of kernels: a line `WAFER_KERNEL(op)` in one of its files puts the op
# in it. The table is made at build time from the files' text, so a new kernel is one file and
# nothing else. `device` is what backends that compile kernels share.
set(kernel_folders backend/reference backend/cpu kernel/device)
foreach(folder ${kernel_folders})
  get_filename_component(backend "${folder}" NAME)
  file(GLOB_RECURSE kernel_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/wafer/${folder}/*.cpp")
  if(NOT dnnl_FOUND)
    list(FILTER kernel_sources EXCLUDE REGEX "/backend/cpu/onednn/")
  endif()
  set(table "${CMAKE_BINARY_DIR}/generated/${backend}_kernels.inc")
  add_custom_command(OUTPUT "${table}.stamp" BYPRODUCTS "${table}"
    COMMAND ${CMAKE_COMMAND} -D "OUTPUT=${table}" -D "SOURCES=${kernel_sources}"
      -P "${CMAKE_SOURCE_DIR}/cmake/make_kernel_table.cmake"
    COMMAND ${CMAKE_COMMAND} -E touch "${table}.stamp"
    DEPENDS ${kernel_sources} "${CMAKE_SOURCE_DIR}/cmake/make_kernel_table.cmake" VERBATIM)
  add_custom_target(${backend}_kernel_table DEPENDS "${table}.stamp")
  add_dependencies(wafer ${backend}_kernel_table)
endforeach()
target_include_directories(wafer PRIVATE "${CMAKE_BINARY_DIR}/generated")
