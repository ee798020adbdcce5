#pragma once
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/backend_cuda/driver_stub.h"
#include "tests/io/helpers.h"
#include "wafer/backend/cuda/device.h"
#include "wafer/runtime/compile_cache.h"

namespace wafer::testing {

// A cuda device on a driver stub of its own. At the end no rule was broken and nothing is left.
class StubbedDevice : public ::testing::Test {
 protected:
  void SetUp() override { start({}); }

  // `blas`: with cuBLASLt, else products are our own kernels; `dnn`: with cuDNN, else convolutions
  // are products.
  void start(cuda::ContextOptions options, bool run_kernels = true, bool blas = true,
             bool dnn = true) {
    device.reset();
    context.reset();
    ::setenv("WAFER_CACHE", cache.path().c_str(), 1);
    DriverStub& stub = DriverStub::fresh();
    stub.run_kernels = run_kernels;
    context = std::make_unique<cuda::Context>(stub.driver(), stub.compiler(),
                                              blas ? &stub.blas() : nullptr,
                                              dnn ? stub.dnn() : nullptr, 0, options);
    device = std::make_shared<cuda::CudaDevice>("cuda:0", *context);
  }

  void TearDown() override {
    clear_compile_cache();
    device.reset();
    context.reset();
    ::unsetenv("WAFER_CACHE");
    for (const std::string& text : stub().violations) ADD_FAILURE() << text;
    for (const std::string& text : stub().leaks()) ADD_FAILURE() << "left behind: " << text;
  }

  static DriverStub& stub() { return DriverStub::get(); }

  std::shared_ptr<Storage> upload(const std::vector<float>& values) {
    auto memory = device->allocate(values.size() * sizeof(float));
    device->copy_from_host(values.data(), *memory, values.size() * sizeof(float));
    return memory;
  }
  std::vector<float> download(const Storage& memory) {
    std::vector<float> values(memory.bytes() / sizeof(float));
    device->copy_to_host(memory, values.data(), memory.bytes());
    return values;
  }

  TemporaryFolder cache;
  std::unique_ptr<cuda::Context> context;
  std::shared_ptr<cuda::CudaDevice> device;
};

}  // namespace wafer::testing
