#include "tests/kernel_languages/cases.h"

#ifdef WAFER_TEST_OPENCL
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#endif

namespace wafer::testing {

#ifdef WAFER_TEST_OPENCL
namespace {
void check(cl_int status, const char* what) {
  if (status != CL_SUCCESS) throw InternalError(str(what, " failed with ", status));
}

class OpenCl {
 public:
  explicit OpenCl(cl_device_id device) : device_(device) {
    cl_int status;
    context_ = clCreateContext(nullptr, 1, &device_, nullptr, nullptr, &status);
    check(status, "clCreateContext");
    queue_ = clCreateCommandQueue(context_, device_, 0, &status);
    check(status, "clCreateCommandQueue");
  }
  ~OpenCl() {
    if (program_) clReleaseProgram(program_);
    clReleaseCommandQueue(queue_);
    clReleaseContext(context_);
  }
  OpenCl(const OpenCl&) = delete;
  OpenCl& operator=(const OpenCl&) = delete;

  void build(const std::string& source) {
    const char* text = source.c_str();
    cl_int status;
    program_ = clCreateProgramWithSource(context_, 1, &text, nullptr, &status);
    check(status, "clCreateProgramWithSource");
    if (clBuildProgram(program_, 1, &device_, "-cl-std=CL1.2 -Werror", nullptr, nullptr) ==
        CL_SUCCESS)
      return;
    std::string log(100000, '\0');
    size_t size = 0;
    clGetProgramBuildInfo(program_, device_, CL_PROGRAM_BUILD_LOG, log.size(), log.data(), &size);
    throw InternalError("the printed OpenCL C does not compile: " + log.substr(0, size));
  }

  std::vector<Bytes> run(const Case& a_case, const kernel::PrintedKernel& printed) {
    cl_int status;
    cl_kernel kernel = clCreateKernel(program_, printed.name.c_str(), &status);
    check(status, "clCreateKernel");
    std::vector<cl_mem> buffers;
    auto pass = [&](size_t bytes, const void* data) {
      cl_mem_flags flags = CL_MEM_READ_WRITE | (data ? CL_MEM_COPY_HOST_PTR : 0);
      buffers.push_back(clCreateBuffer(context_, flags, bytes, const_cast<void*>(data), &status));
      check(status, "clCreateBuffer");
      check(clSetKernelArg(kernel, static_cast<cl_uint>(buffers.size() - 1), sizeof(cl_mem),
                           &buffers.back()),
            "clSetKernelArg");
    };
    for (int i : printed.inputs) {
      const Bytes& bytes = a_case.inputs[static_cast<size_t>(i)];
      pass(bytes.size(), bytes.data());
    }
    std::vector<Bytes> outputs;
    for (const Type& type : a_case.output_types) outputs.emplace_back(type.bytes() + 1);
    for (int o : printed.outputs) pass(outputs[static_cast<size_t>(o)].size(), nullptr);
    size_t items = 16;  // fewer than elements: each takes several
    check(clEnqueueNDRangeKernel(queue_, kernel, 1, nullptr, &items, nullptr, 0, nullptr, nullptr),
          "clEnqueueNDRangeKernel");
    for (size_t k = 0; k < printed.outputs.size(); ++k) {
      Bytes& output = outputs[static_cast<size_t>(printed.outputs[k])];
      check(clEnqueueReadBuffer(queue_, buffers[printed.inputs.size() + k], CL_TRUE, 0,
                                output.size(), output.data(), 0, nullptr, nullptr),
            "clEnqueueReadBuffer");
    }
    for (cl_mem buffer : buffers) clReleaseMemObject(buffer);
    clReleaseKernel(kernel);
    return outputs;
  }

 private:
  cl_device_id device_;
  cl_context context_;
  cl_command_queue queue_;
  cl_program program_ = nullptr;
};
}  // namespace
#endif

std::vector<std::vector<Bytes>> run_opencl([[maybe_unused]] const std::vector<Case>& cases,
                                           [[maybe_unused]] std::string& reason) {
#ifdef WAFER_TEST_OPENCL
  cl_platform_id platform;
  cl_device_id device;
  cl_uint count = 0;
  if (clGetPlatformIDs(1, &platform, &count) != CL_SUCCESS || count == 0 ||
      clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &device, &count) != CL_SUCCESS) {
    reason = "no OpenCL device is here";
    return {};
  }
  OpenCl opencl(device);
  auto kernels = print_all(cases);
  opencl.build(whole_source(kernels, kernel::opencl_c));
  std::vector<std::vector<Bytes>> results;
  for (size_t k = 0; k < cases.size(); ++k) results.push_back(opencl.run(cases[k], kernels[k]));
  return results;
#else
  reason = "the tests were built without OpenCL";
  return {};
#endif
}

}  // namespace wafer::testing
