#include "wafer/runtime/registry.h"

#include <mutex>

#include "wafer/base/env.h"
#include "wafer/base/strings.h"

namespace wafer {

const std::vector<Backend>& backends() {
  static const std::vector<Backend> found = find_backends();
  return found;
}

std::shared_ptr<Device> device(const std::string& name) {
  std::vector<std::string> names;
  for (const Backend& backend : backends()) {
    for (const auto& candidate : backend.devices) {
      names.push_back(candidate->info().name);
      if (names.back() == name) return candidate;
    }
    bool same_backend = split(name, ':')[0] == backend.name;
    if (same_backend && backend.devices.empty()) {
      throw UserError("device", str("'", name, "' is absent: ", backend.absent_reason),
                      {.hint = "`wafer devices` lists what is here"});
    }
  }
  throw UserError("device", str("no device '", name, "'", did_you_mean(name, names)),
                  {.expected = "one of " + join(names, ", ")});
}

namespace {
std::mutex default_mutex;
std::shared_ptr<Device> default_setting;
}  // namespace

std::shared_ptr<Device> default_device() {
  std::lock_guard lock(default_mutex);
  if (!default_setting) default_setting = device(environment("WAFER_DEVICE").value_or("cpu"));
  return default_setting;
}

void set_default_device(std::shared_ptr<Device> device) {
  std::lock_guard lock(default_mutex);
  default_setting = std::move(device);
}

}  // namespace wafer
