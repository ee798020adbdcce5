#pragma once
#include <memory>

#include "wafer/base/error.h"
#include "wafer/runtime/registry.h"

namespace wafer::testing {

// "opencl:0", or null where it is absent.
inline std::shared_ptr<Device> opencl_device() {
  try {
    return device("opencl:0");
  } catch (const UserError&) {
    return nullptr;
  }
}

}  // namespace wafer::testing

#define WAFER_OPENCL_OR_SKIP(name)               \
  auto name = ::wafer::testing::opencl_device(); \
  if (!name) GTEST_SKIP() << "no OpenCL device is here"
