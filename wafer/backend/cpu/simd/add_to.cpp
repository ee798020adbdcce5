#include "wafer/backend/cpu/simd/add_to.h"

#include "wafer/backend/cpu/simd/vector.h"

namespace wafer::cpu::WAFER_ISA {

void add_to(float* sums, const float* values, int64_t count) {
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    store(sums + i, load<VFloat>(sums + i) + load<VFloat>(values + i));
  }
  for (; i < count; ++i) sums[i] += values[i];
}

}  // namespace wafer::cpu::WAFER_ISA
