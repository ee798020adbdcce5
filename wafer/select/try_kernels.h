#pragma once
#include <memory>

#include "wafer/runtime/device.h"
#include "wafer/select/calibration.h"

namespace wafer::select {

// `calibration` with a sample added for each kernel of the artifact that is unlike all that were
// measured: it is compiled alone and run for a few milliseconds, with as much memory touched
// between two runs as the artifact touches before the kernel finds its operands again. The same
// calibration where nothing was added. The artifact was compiled for `device`.
std::shared_ptr<const Calibration> try_kernels(Device& device, const Artifact& artifact,
                                               std::shared_ptr<const Calibration> calibration);

}  // namespace wafer::select
