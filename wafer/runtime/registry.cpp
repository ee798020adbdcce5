#include "wafer/runtime/registry.h"

#include <mutex>

#include "wafer/base/env.h"
#include "wafer/base/strings.h"

namespace wafer {

namespace {
// A backend of the table with what was found, once that was asked.
struct Looked {
  BackendEntry entry;
  std::once_flag once;
  Backend found;

  const Backend& get() {
    std::call_once(once, [this] { found = entry.find(); });
    return found;
  }
};

std::vector<std::unique_ptr<Looked>>& table() {
  static auto entries = [] {
    std::vector<std::unique_ptr<Looked>> list;
    for (BackendEntry& entry : backend_table()) {
      list.push_back(std::make_unique<Looked>());
      list.back()->entry = std::move(entry);
    }
    return list;
  }();
  return entries;
}
}  // namespace

const std::vector<Backend>& backends() {
  static const std::vector<Backend> found = [] {
    std::vector<Backend> list;
    for (auto& entry : table()) list.push_back(entry->get());
    return list;
  }();
  return found;
}

std::shared_ptr<Device> device(const std::string& name) {
  std::vector<std::string> names;
  for (auto& entry : table()) {
    if (split(name, ':')[0] != entry->entry.name) continue;
    const Backend& backend = entry->get();
    for (const auto& candidate : backend.devices) {
      names.push_back(candidate->info().name);
      if (names.back() == name) return candidate;
    }
    if (backend.devices.empty()) {
      throw UserError("device", str("'", name, "' is absent: ", backend.absent_reason),
                      {.hint = "`wafer devices` lists what is here"});
    }
  }
  if (names.empty()) {
    for (const Backend& backend : backends()) {
      for (const auto& candidate : backend.devices) names.push_back(candidate->info().name);
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
