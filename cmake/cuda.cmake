# The plug-in of the cuda backend, libwafer_cuda.so beside libwafer, from the headers of the CUDA
# toolkit (12.8 or later) and, where they are, of cuDNN (9.8 or later) alone: driver, NVRTC,
# cuBLASLt and cuDNN are opened when a device is asked for.
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

find_path(WAFER_CUDNN_INCLUDE cudnn_graph.h HINTS "${WAFER_CUDA_INCLUDE}"
  DOC "Folder of cudnn_graph.h")
set(cudnn_version 0)
if(WAFER_CUDNN_INCLUDE AND EXISTS "${WAFER_CUDNN_INCLUDE}/cudnn_version.h")
  file(STRINGS "${WAFER_CUDNN_INCLUDE}/cudnn_version.h" parts
    REGEX "^#define CUDNN_(MAJOR|MINOR) [0-9]+")
  if(parts MATCHES "MAJOR ([0-9]+).*MINOR ([0-9]+)")
    set(cudnn_version "${CMAKE_MATCH_1}.${CMAKE_MATCH_2}")
  endif()
endif()
set(with_cudnn OFF)
if(cudnn_version VERSION_GREATER_EQUAL 9.8 AND cudnn_version VERSION_LESS 10)
  set(with_cudnn ON)
  message(STATUS "cuda plug-in: cuDNN ${cudnn_version} in ${WAFER_CUDNN_INCLUDE}")
else()
  message(STATUS "no headers of cuDNN 9.8 or later: the cuda plug-in computes convolutions as "
    "products; WAFER_CUDNN_INCLUDE names their folder")
endif()

# Objects, which tests link as well.
file(GLOB cuda_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/wafer/backend/cuda/*.cpp")
if(with_cudnn)
  list(FILTER cuda_sources EXCLUDE REGEX "/no_dnn\\.cpp$")
else()
  list(FILTER cuda_sources EXCLUDE REGEX "/(dnn|convolution|convolution_plan)\\.cpp$")
endif()
add_library(wafer_cuda_objects OBJECT ${cuda_sources})
target_include_directories(wafer_cuda_objects SYSTEM PUBLIC "${WAFER_CUDA_INCLUDE}")
if(with_cudnn)
  target_include_directories(wafer_cuda_objects SYSTEM PUBLIC "${WAFER_CUDNN_INCLUDE}")
endif()
target_compile_definitions(wafer_cuda_objects PRIVATE WAFER_VERSION="${PROJECT_VERSION}")
target_link_libraries(wafer_cuda_objects PRIVATE wafer wafer_warnings)
wafer_unite(wafer_cuda_objects)
add_library(wafer_cuda MODULE)
target_link_libraries(wafer_cuda PRIVATE wafer_cuda_objects wafer ${CMAKE_DL_LIBS})
# NVRTC, cuBLASLt and cuDNN are also searched in the toolkit that this was built with.
get_filename_component(cuda_folder "${WAFER_CUDA_INCLUDE}" DIRECTORY)
set(cuda_libraries "${cuda_folder}/lib64")
if(with_cudnn AND NOT WAFER_CUDNN_INCLUDE STREQUAL WAFER_CUDA_INCLUDE)
  get_filename_component(cudnn_folder "${WAFER_CUDNN_INCLUDE}" DIRECTORY)
  list(APPEND cuda_libraries "${cudnn_folder}/lib64" "${cudnn_folder}/lib")
endif()
set_target_properties(wafer_cuda PROPERTIES
  BUILD_RPATH "${cuda_libraries}" INSTALL_RPATH "$ORIGIN;${cuda_libraries}")
install(TARGETS wafer_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
