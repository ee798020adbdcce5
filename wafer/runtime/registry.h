#pragma once
#include <memory>
#include <string>
#include <vector>

#include "wafer/runtime/device.h"

namespace wafer {

// A backend as backend/all.cpp names it: the devices it found, or why there are none.
struct Backend {
  std::string name;
  std::vector<std::shared_ptr<Device>> devices;
  std::string absent_reason;  // empty when there are devices
};

// Every backend of this build. Each is looked for once, when somebody first asks for it or for all:
// to find one may mean to load a driver.
const std::vector<Backend>& backends();

// The device of that name ("cpu", "opencl:0"); UserError with the reason, or "did you mean", when
// absent.
std::shared_ptr<Device> device(const std::string& name);

// WAFER_DEVICE, or "cpu".
std::shared_ptr<Device> default_device();
// Sets what default_device() gives from now on.
void set_default_device(std::shared_ptr<Device> device);

// A backend's name and what looks for its devices; that never throws.
struct BackendEntry {
  std::string name;
  Backend (*find)();
};
// Defined in backend/all.cpp, the only place that names backends.
std::vector<BackendEntry> backend_table();

}  // namespace wafer
