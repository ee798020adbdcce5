# The messages of the ONNX format, generated from its .proto files and compiled apart, without
# warnings. Only the sources of deploy/onnx/proto include them: they are long to compile.
if(WAFER_ONNX)
  set(onnx_generated "${CMAKE_BINARY_DIR}/generated/onnx")
  file(MAKE_DIRECTORY "${onnx_generated}")
  set(onnx_messages "${onnx_generated}/onnx/onnx-ml.pb.cc" "${onnx_generated}/onnx/onnx-data.pb.cc")
  add_custom_command(
    OUTPUT ${onnx_messages} "${onnx_generated}/onnx/onnx-ml.pb.h"
      "${onnx_generated}/onnx/onnx-data.pb.h"
    COMMAND protobuf::protoc "--cpp_out=lite:${onnx_generated}"
      "--proto_path=${WAFER_DEPENDENCIES}/onnx" onnx/onnx-ml.proto onnx/onnx-data.proto
    DEPENDS "${WAFER_ONNX_PROTO}" VERBATIM)
  add_library(wafer_onnx_messages OBJECT ${onnx_messages})
  target_compile_options(wafer_onnx_messages PRIVATE -w -O1)
  file(GLOB onnx_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/wafer/deploy/onnx/proto/*.cpp")
  add_library(wafer_onnx_files OBJECT ${onnx_sources})
  target_link_libraries(wafer_onnx_files PRIVATE wafer_warnings)
  wafer_unite(wafer_onnx_files)
  add_dependencies(wafer_onnx_files wafer_onnx_messages)
  foreach(target wafer_onnx_messages wafer_onnx_files)
    target_include_directories(${target} PRIVATE "${CMAKE_SOURCE_DIR}")
    target_include_directories(${target} SYSTEM PRIVATE
      "${onnx_generated}" ${Protobuf_INCLUDE_DIRS})
    target_sources(wafer PRIVATE $<TARGET_OBJECTS:${target}>)
  endforeach()
  target_link_libraries(wafer PRIVATE $<BUILD_INTERFACE:protobuf::libprotobuf-lite>)
  target_link_libraries(wafer PRIVATE $<BUILD_INTERFACE:PkgConfig::RE2>)
  target_link_libraries(wafer_front_end PRIVATE $<BUILD_INTERFACE:PkgConfig::RE2>)
  target_compile_definitions(wafer_front_end PRIVATE WAFER_ONNX)
endif()
