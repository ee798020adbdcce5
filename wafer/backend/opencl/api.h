#pragma once
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <string>

// The functions of OpenCL 1.2 that this backend calls. The loader library is opened when somebody
// first asks for a device, so that wafer starts where there is none.
namespace wafer::opencl {

struct Api {
  decltype(&::clGetPlatformIDs) get_platforms;
  decltype(&::clGetPlatformInfo) get_platform_info;
  decltype(&::clGetDeviceIDs) get_devices;
  decltype(&::clGetDeviceInfo) get_device_info;
  decltype(&::clCreateContext) create_context;
  decltype(&::clCreateCommandQueue) create_queue;
  decltype(&::clCreateBuffer) create_buffer;
  decltype(&::clReleaseMemObject) release_buffer;
  decltype(&::clEnqueueReadBuffer) read_buffer;
  decltype(&::clEnqueueWriteBuffer) write_buffer;
  decltype(&::clEnqueueCopyBuffer) copy_buffer;
  decltype(&::clEnqueueFillBuffer) fill_buffer;
  decltype(&::clCreateProgramWithSource) create_program;
  decltype(&::clCreateProgramWithBinary) create_program_from_binary;
  decltype(&::clBuildProgram) build_program;
  decltype(&::clGetProgramBuildInfo) get_build_info;
  decltype(&::clGetProgramInfo) get_program_info;
  decltype(&::clReleaseProgram) release_program;
  decltype(&::clCreateKernel) create_kernel;
  decltype(&::clReleaseKernel) release_kernel;
  decltype(&::clSetKernelArg) set_kernel_argument;
  decltype(&::clEnqueueNDRangeKernel) enqueue_kernel;
  decltype(&::clFlush) flush;
  decltype(&::clFinish) finish;
  decltype(&::clGetEventProfilingInfo) get_event_times;
  decltype(&::clReleaseEvent) release_event;
};

// The loader's functions, or null with the reason.
const Api* load_api(std::string& reason);

// "out of resources (-5)".
std::string status_text(cl_int status);
// Throws unless the status is success: UserError where memory is short, else InternalError naming
// the call.
void check(cl_int status, const std::string& what);

}  // namespace wafer::opencl
