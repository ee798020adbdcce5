#include "wafer/backend/opencl/api.h"

#include "wafer/base/error.h"
#include "wafer/base/library.h"

namespace wafer::opencl {

namespace {
Api functions_of(LibraryFunctions& library) {
  Api api{};
  library.get(api.get_platforms, "clGetPlatformIDs");
  library.get(api.get_platform_info, "clGetPlatformInfo");
  library.get(api.get_devices, "clGetDeviceIDs");
  library.get(api.get_device_info, "clGetDeviceInfo");
  library.get(api.create_context, "clCreateContext");
  library.get(api.create_queue, "clCreateCommandQueue");
  library.get(api.create_buffer, "clCreateBuffer");
  library.get(api.release_buffer, "clReleaseMemObject");
  library.get(api.read_buffer, "clEnqueueReadBuffer");
  library.get(api.write_buffer, "clEnqueueWriteBuffer");
  library.get(api.copy_buffer, "clEnqueueCopyBuffer");
  library.get(api.fill_buffer, "clEnqueueFillBuffer");
  library.get(api.create_program, "clCreateProgramWithSource");
  library.get(api.create_program_from_binary, "clCreateProgramWithBinary");
  library.get(api.build_program, "clBuildProgram");
  library.get(api.get_build_info, "clGetProgramBuildInfo");
  library.get(api.get_program_info, "clGetProgramInfo");
  library.get(api.release_program, "clReleaseProgram");
  library.get(api.create_kernel, "clCreateKernel");
  library.get(api.release_kernel, "clReleaseKernel");
  library.get(api.set_kernel_argument, "clSetKernelArg");
  library.get(api.enqueue_kernel, "clEnqueueNDRangeKernel");
  library.get(api.flush, "clFlush");
  library.get(api.finish, "clFinish");
  library.get(api.get_event_times, "clGetEventProfilingInfo");
  library.get(api.release_event, "clReleaseEvent");
  return api;
}
}  // namespace

const Api* load_api(std::string& reason) {
  static const auto loaded = load_table<Api>({"libOpenCL.so.1"}, functions_of,
                                             "the OpenCL loader (libOpenCL.so.1) is not installed",
                                             "the OpenCL loader", "OpenCL 1.2");
  return loaded.get(reason);
}

std::string status_text(cl_int status) {
  const char* name = "error";
  switch (status) {
    case CL_DEVICE_NOT_AVAILABLE: name = "the device is not available"; break;
    case CL_MEM_OBJECT_ALLOCATION_FAILURE: name = "a buffer could not be allocated"; break;
    case CL_OUT_OF_RESOURCES: name = "out of resources"; break;
    case CL_OUT_OF_HOST_MEMORY: name = "out of host memory"; break;
    case CL_BUILD_PROGRAM_FAILURE: name = "a kernel does not compile"; break;
    case CL_INVALID_BUFFER_SIZE: name = "a buffer is larger than the device allows"; break;
    case CL_INVALID_KERNEL_ARGS: name = "wrong kernel arguments"; break;
    case CL_INVALID_WORK_GROUP_SIZE: name = "wrong size of work groups"; break;
    default: break;
  }
  return str(name, " (", status, ")");
}

void check(cl_int status, const std::string& what) {
  if (status == CL_SUCCESS) return;
  bool memory = status == CL_MEM_OBJECT_ALLOCATION_FAILURE || status == CL_OUT_OF_HOST_MEMORY ||
                status == CL_OUT_OF_RESOURCES || status == CL_INVALID_BUFFER_SIZE;
  if (memory) {
    throw UserError("opencl", str(what, ": ", status_text(status)),
                    {.hint = "use a smaller batch or model, or free memory"});
  }
  throw InternalError(str("OpenCL: ", what, ": ", status_text(status)));
}

}  // namespace wafer::opencl
