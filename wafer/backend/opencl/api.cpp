#include "wafer/backend/opencl/api.h"

#include <dlfcn.h>

#include "wafer/base/error.h"

namespace wafer::opencl {

namespace {
struct Loader {
  void* library;
  std::string missing;  // a function that the library lacks

  template <class Function>
  void get(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(library, name));
    if (!function && missing.empty()) missing = name;
  }
};

Api functions_of(Loader& loader) {
  Api api{};
  loader.get(api.get_platforms, "clGetPlatformIDs");
  loader.get(api.get_platform_info, "clGetPlatformInfo");
  loader.get(api.get_devices, "clGetDeviceIDs");
  loader.get(api.get_device_info, "clGetDeviceInfo");
  loader.get(api.create_context, "clCreateContext");
  loader.get(api.create_queue, "clCreateCommandQueue");
  loader.get(api.create_buffer, "clCreateBuffer");
  loader.get(api.release_buffer, "clReleaseMemObject");
  loader.get(api.read_buffer, "clEnqueueReadBuffer");
  loader.get(api.write_buffer, "clEnqueueWriteBuffer");
  loader.get(api.copy_buffer, "clEnqueueCopyBuffer");
  loader.get(api.fill_buffer, "clEnqueueFillBuffer");
  loader.get(api.create_program, "clCreateProgramWithSource");
  loader.get(api.create_program_from_binary, "clCreateProgramWithBinary");
  loader.get(api.build_program, "clBuildProgram");
  loader.get(api.get_build_info, "clGetProgramBuildInfo");
  loader.get(api.get_program_info, "clGetProgramInfo");
  loader.get(api.release_program, "clReleaseProgram");
  loader.get(api.create_kernel, "clCreateKernel");
  loader.get(api.release_kernel, "clReleaseKernel");
  loader.get(api.set_kernel_argument, "clSetKernelArg");
  loader.get(api.enqueue_kernel, "clEnqueueNDRangeKernel");
  loader.get(api.flush, "clFlush");
  loader.get(api.finish, "clFinish");
  loader.get(api.get_event_times, "clGetEventProfilingInfo");
  loader.get(api.release_event, "clReleaseEvent");
  return api;
}
}  // namespace

const Api* load_api(std::string& reason) {
  static std::string why;
  static const Api* loaded = []() -> const Api* {
    Loader loader{::dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL), ""};
    if (!loader.library) {
      why = "the OpenCL loader (libOpenCL.so.1) is not installed";
      return nullptr;
    }
    static const Api api = functions_of(loader);
    if (!loader.missing.empty()) {
      why = "the OpenCL loader is older than OpenCL 1.2: it has no " + loader.missing;
      return nullptr;
    }
    return &api;
  }();
  reason = why;
  return loaded;
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
