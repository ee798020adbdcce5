#include "wafer/kernel/c_printer.h"

namespace wafer::kernel {

// NVRTC finds no headers unless it is told where they are: halves are converted by their PTX
// instructions.
const Dialect cuda_c = {.name = "CUDA C++",
                        .prelude = R"(
#define WF_I64 long long
#define WF_U64 unsigned long long
#define WF_KERNEL extern "C" __global__ void
#define WF_FUNCTION inline __device__
#define WF_GLOBAL
#define WF_INDEX long long
#define WF_LOOP(i, n)                                                                 \
  for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < (long long)(n); \
       i += (long long)gridDim.x * blockDim.x)
#define WF_F32(bits) __uint_as_float(bits)
#define WF_FROM_BITS(bits) __uint_as_float(bits)
#define WF_TO_BITS(x) __float_as_uint(x)
WF_FUNCTION float wf_from_f16(unsigned short bits) {
  float x;
  asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
  return x;
}
WF_FUNCTION unsigned short wf_to_f16(float x) {
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}
#define WF_LOAD_F16(pointer, i) wf_from_f16((pointer)[i])
#define WF_STORE_F16(pointer, i, x) ((pointer)[i] = wf_to_f16(x))
)",
                        .f64_prelude = R"(
#define WF_F64(bits) __longlong_as_double((long long)(bits))
)"};

}  // namespace wafer::kernel
