#include <cstdio>
#include <iostream>

#include "wafer/base/strings.h"
#include "wafer/cli/command.h"
#include "wafer/runtime/peak.h"
#include "wafer/runtime/registry.h"

namespace wafer::cli {

namespace {
// In 10^9 a second, with three digits.
std::string rate(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", value < 1e11 ? 1 : 0, value * 1e-9);
  return text;
}

Json describe(Device& device) {
  DeviceInfo info = device.info();
  Json json{{"name", info.name}, {"description", info.description}, {"threads", info.threads}};
  std::cout << info.name << ": " << info.description << "\n";
  if (info.memory_bytes > 0) {
    json["memory_bytes"] = info.memory_bytes;
    std::cout << "  memory " << human_bytes(static_cast<double>(info.memory_bytes)) << "\n";
  }
  auto peaks = measured_peaks(device);
  if (!peaks) return json;
  std::cout << "  measured: " << rate(peaks->f32_flops) << " GFLOP/s in f32";
  json["peak_gflops"] = peaks->f32_flops * 1e-9;
  if (peaks->bf16_flops > 0) {
    std::cout << ", " << rate(peaks->bf16_flops) << " GFLOP/s in bf16";
    json["peak_bf16_gflops"] = peaks->bf16_flops * 1e-9;
  }
  std::cout << ", " << rate(peaks->memory_bytes) << " GB/s of memory\n";
  json["peak_gbytes"] = peaks->memory_bytes * 1e-9;
  return json;
}

Outcome list_devices() {
  Outcome outcome;
  outcome.json["devices"] = Json::array();
  outcome.json["absent"] = Json::array();
  for (const Backend& backend : backends()) {
    for (const auto& device : backend.devices) outcome.json["devices"].push_back(describe(*device));
  }
  for (const Backend& backend : backends()) {
    if (!backend.devices.empty()) continue;
    std::cout << backend.name << ": absent: " << backend.absent_reason << "\n";
    outcome.json["absent"].push_back({{"name", backend.name}, {"reason", backend.absent_reason}});
  }
  return outcome;
}
}  // namespace

void add_devices(CommandLine& line) {
  line.add("devices", "list the devices that are here, with measured rates, and what is absent",
           "wafer devices", [](const Common&) { return list_devices(); });
}

}  // namespace wafer::cli
