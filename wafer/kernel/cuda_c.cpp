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
#define WF_INDEX int
#define WF_LOOP(i, n)                                                   \
  for (int i = (int)(blockIdx.x * blockDim.x + threadIdx.x); i < (n); \
       i += (int)(gridDim.x * blockDim.x))
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
#define WF_INFINITY __int_as_float(0x7f800000)
#define WF_I64_MIN (-0x7fffffffffffffffll - 1)
#define WF_I64_MAX 0x7fffffffffffffffll
#define WF_U64_MAX 0xffffffffffffffffull
#define WF_BUFFER(n) unsigned char* n##_at
#define WF_POINTER(T, n) T* n = (T*)n##_at
template <class T, int n>
struct WfVector {
  T lanes[n];
};
template <class T, int n>
WF_FUNCTION WfVector<T, n> wf_splat(T x) {
  WfVector<T, n> v;
#pragma unroll
  for (int i = 0; i < n; ++i) v.lanes[i] = x;
  return v;
}
template <class T, int n>
WF_FUNCTION WfVector<T, n> wf_load(const T* p) {
  WfVector<T, n> v;
#pragma unroll
  for (int i = 0; i < n; ++i) v.lanes[i] = p[i];
  return v;
}
template <class T, int n>
WF_FUNCTION void wf_store(const WfVector<T, n>& v, T* p) {
#pragma unroll
  for (int i = 0; i < n; ++i) p[i] = v.lanes[i];
}
template <class T, int n>
WF_FUNCTION WfVector<T, n> wf_fma(const WfVector<T, n>& a, const WfVector<T, n>& b,
                                  WfVector<T, n> c) {
#pragma unroll
  for (int i = 0; i < n; ++i) c.lanes[i] = fma(a.lanes[i], b.lanes[i], c.lanes[i]);
  return c;
}
#define WF_VECTOR(T, n) WfVector<T, n>
#define WF_VECTOR_OF(T, n, x) wf_splat<T, n>(x)
#define WF_VECTOR_LOAD(T, n, p) wf_load<T, n>(p)
#define WF_VECTOR_STORE(n, v, p) wf_store(v, p)
#define WF_VECTOR_FMA(a, b, c) wf_fma(a, b, c)
#define WF_LOAD_F16(pointer, i) wf_from_f16((pointer)[i])
#define WF_STORE_F16(pointer, i, x) ((pointer)[i] = wf_to_f16(x))
)",
                        .f64_prelude = R"(
#define WF_F64(bits) __longlong_as_double((long long)(bits))
)"};

}  // namespace wafer::kernel
