#pragma once
#include <optional>
#include <string>

#include "wafer/runtime/device.h"

namespace wafer {

// The greatest rates that were measured on a device with all its threads: what predictions, and the
// rooflines of profiles, refer to. 0: the device does not have it.
struct Peaks {
  double f32_flops = 0;     // operations a second in f32, a multiply-add counted as two
  double bf16_flops = 0;    // the same of bf16 products summed in f32, where the hardware has them
  double memory_bytes = 0;  // bytes a second of a = b + s c from memory: two reads and a write
};

// What a device implements, beside Device, that can measure its peaks.
class PeakProbe {
 public:
  virtual ~PeakProbe() = default;
  // Names everything that the peaks depend on, for example "AMD EPYC, 2 threads, avx512".
  virtual std::string peak_key() const = 0;
  // Runs for about half a second on an otherwise idle device.
  virtual Peaks measure_peaks() = 0;
};

// The device's peaks, or nothing for a device that cannot measure them. They are measured at the
// first call and then kept in this process and in the folder of WAFER_CACHE; `again` measures anew
// and keeps the greater of old and new, as a busy machine only ever measures too little.
std::optional<Peaks> measured_peaks(Device& device, bool again = false);

}  // namespace wafer
