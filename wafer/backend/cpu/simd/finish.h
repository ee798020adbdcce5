#pragma once

namespace wafer::cpu {

// What is done to each element of an f32 result before it is stored, in this order: see Epilogue.
struct Finish {
  const float* bias = nullptr;      // of each column or channel
  const float* residual = nullptr;  // lies as the result does
  bool relu = false;
  float limit = 0;  // of ReLU

  bool empty() const { return bias == nullptr && residual == nullptr && !relu; }
};

}  // namespace wafer::cpu
