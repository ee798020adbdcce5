#include "tests/backend_cuda/driver_stub.h"

// In place of dnn_stub.cpp where cuDNN's headers are missing.
namespace wafer::testing {

const cuda::Dnn* DriverStub::dnn() const {
  return nullptr;
}

}  // namespace wafer::testing
