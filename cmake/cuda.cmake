# The plug-in of the cuda backend, libwafer_cuda.so beside libwafer, from the headers of the CUDA
# toolkit (12.8 or later) alone: driver, NVRTC and cuBLASLt are opened when a device is asked for.
option(WAFER_CUDA "Build the cuda plug-in where the CUDA toolkit's headers are" ON)
option(WAFER_CUDA_REQUIRED "Stop where the headers are missing" OFF)
if(NOT WAFER_CUDA)
  return()
endif()
find_path(WAFER_CUDA_INCLUDE nvrtc.h
  HINTS "$ENV{CUDA_HOME}/include" "$ENV{CUDA_PATH}/include" PATHS /usr/local/cuda/include
  DOC "Folder of cuda.h, nvrtc.h and cublasLt.h")
set(cuda_version 0)
if(WAFER_CUDA_INCLUDE AND EXISTS "${WAFER_CUDA_INCLUDE}/cuda.h"
    AND EXISTS "${WAFER_CUDA_INCLUDE}/cublasLt.h")
  file(STRINGS "${WAFER_CUDA_INCLUDE}/cuda.h" cuda_version REGEX "^#define CUDA_VERSION [0-9]+")
  string(REGEX REPLACE "[^0-9]" "" cuda_version "${cuda_version}")
endif()
if(cuda_version LESS 12080)
  set(kind STATUS)
  if(WAFER_CUDA_REQUIRED)
    set(kind FATAL_ERROR)
  endif()
  message(${kind} "no headers of CUDA 12.8 or later (cuda.h, nvrtc.h, cublasLt.h): built without "
    "the cuda plug-in; WAFER_CUDA_INCLUDE names their folder")
  return()
endif()
message(STATUS "cuda plug-in: CUDA ${cuda_version} in ${WAFER_CUDA_INCLUDE}")

# Objects, which tests link as well.
file(GLOB cuda_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/wafer/backend/cuda/*.cpp")
add_library(wafer_cuda_objects OBJECT ${cuda_sources})
target_include_directories(wafer_cuda_objects SYSTEM PUBLIC "${WAFER_CUDA_INCLUDE}")
target_compile_definitions(wafer_cuda_objects PRIVATE WAFER_VERSION="${PROJECT_VERSION}")
target_link_libraries(wafer_cuda_objects PRIVATE wafer wafer_warnings)
wafer_unite(wafer_cuda_objects)
add_library(wafer_cuda MODULE)
target_link_libraries(wafer_cuda PRIVATE wafer_cuda_objects wafer ${CMAKE_DL_LIBS})
# NVRTC and cuBLASLt are also searched in the toolkit that this was built with.
get_filename_component(cuda_folder "${WAFER_CUDA_INCLUDE}" DIRECTORY)
set_target_properties(wafer_cuda PROPERTIES
  BUILD_RPATH "${cuda_folder}/lib64" INSTALL_RPATH "$ORIGIN;${cuda_folder}/lib64")
install(TARGETS wafer_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
