#include "wafer/backend/opencl/opencl.h"

#include <sys/wait.h>
#include <unistd.h>

#include "wafer/backend/opencl/context.h"
#include "wafer/kernel/device/target.h"

namespace wafer::opencl {

namespace {
struct Found {
  cl_device_id id;
  Capabilities capabilities;
};

template <class T>
T number(const Api& api, cl_device_id device, cl_device_info what) {
  T value{};
  api.get_device_info(device, what, sizeof value, &value, nullptr);
  return value;
}

std::string text(const Api& api, cl_device_id device, cl_device_info what) {
  char value[512] = {};
  api.get_device_info(device, what, sizeof value - 1, value, nullptr);
  return value;
}

Capabilities capabilities_of(const Api& api, cl_platform_id platform, cl_device_id device) {
  Capabilities c;
  c.name = text(api, device, CL_DEVICE_NAME);
  c.driver = text(api, device, CL_DRIVER_VERSION);
  char name[512] = {};
  api.get_platform_info(platform, CL_PLATFORM_NAME, sizeof name - 1, name, nullptr);
  c.platform = name;
  c.is_cpu = number<cl_device_type>(api, device, CL_DEVICE_TYPE) & CL_DEVICE_TYPE_CPU;
  c.f64 = number<cl_device_fp_config>(api, device, CL_DEVICE_DOUBLE_FP_CONFIG) != 0;
  c.units = static_cast<int>(number<cl_uint>(api, device, CL_DEVICE_MAX_COMPUTE_UNITS));
  c.memory_bytes = number<cl_ulong>(api, device, CL_DEVICE_GLOBAL_MEM_SIZE);
  // An argument is a buffer and an offset.
  c.most_values = number<size_t>(api, device, CL_DEVICE_MAX_PARAMETER_SIZE) / 16;
  c.largest_buffer = number<cl_ulong>(api, device, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
  return c;
}

std::vector<Found> list_devices(const Api& api) {
  std::vector<Found> found;
  cl_platform_id platforms[16];
  cl_uint platform_count = 0;
  if (api.get_platforms(16, platforms, &platform_count) != CL_SUCCESS) return found;
  for (cl_uint p = 0; p < std::min<cl_uint>(platform_count, 16); ++p) {
    cl_device_id devices[16];
    cl_uint count = 0;
    if (api.get_devices(platforms[p], CL_DEVICE_TYPE_ALL, 16, devices, &count) != CL_SUCCESS)
      continue;
    for (cl_uint d = 0; d < std::min<cl_uint>(count, 16); ++d)
      found.push_back({devices[d], capabilities_of(api, platforms[p], devices[d])});
  }
  return found;
}

// Whether a process of its own survives loading the drivers and asking for their devices.
bool drivers_survive() {
  pid_t child = ::fork();
  if (child < 0) return true;
  if (child == 0) {
    std::string reason;
    if (const Api* api = load_api(reason)) list_devices(*api);
    ::_exit(0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status);
}
}  // namespace

Backend find_backend() {
  Backend backend{"opencl", {}, ""};
  try {
    if (!drivers_survive()) {
      backend.absent_reason = "an OpenCL driver crashed when it was asked for its devices";
      return backend;
    }
    const Api* api = load_api(backend.absent_reason);
    if (!api) return backend;
    std::vector<Found> found = list_devices(*api);
    if (found.empty()) {
      backend.absent_reason =
          "no OpenCL driver lists a device; pocl-opencl-icd of Debian runs on any CPU";
    }
    for (const Found& device : found) {
      // Never destroyed, see QueueDevice; the list keeps them in reach.
      static auto* contexts = new std::vector<ClContext*>();
      contexts->push_back(new ClContext(*api, device.id, device.capabilities));
      backend.devices.push_back(std::make_shared<kernel::QueueDevice>(
          str("opencl:", backend.devices.size()), *contexts->back()));
    }
  } catch (const std::exception& error) {
    if (backend.devices.empty()) backend.absent_reason = error.what();
  }
  return backend;
}

}  // namespace wafer::opencl
