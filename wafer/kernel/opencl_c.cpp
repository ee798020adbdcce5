#include "wafer/kernel/c_printer.h"

namespace wafer::kernel {

const Dialect opencl_c = {.name = "OpenCL C",
                          .prelude = R"(
#pragma OPENCL FP_CONTRACT OFF
#define WF_I64 long
#define WF_U64 ulong
#define WF_KERNEL __kernel void
#define WF_FUNCTION inline
#define WF_GLOBAL __global
#define WF_INDEX int
#ifdef WF_CONTIGUOUS  // on CPUs: a stretch of neighbours for each work item, which vectorises
inline int wf_part(int part, int n) {
  int size = (int)get_global_size(0);
  return (int)min((long)part * ((n + size - 1) / size), (long)n);
}
#define WF_LOOP(i, n)                                                                    \
  for (int i = wf_part((int)get_global_id(0), n), i##_end = wf_part((int)get_global_id(0) + 1, n); \
       i < i##_end; ++i)
#else
#define WF_LOOP(i, n) \
  for (int i = (int)get_global_id(0); i < (n); i += (int)get_global_size(0))
#endif
#define WF_F32(bits) as_float((uint)(bits))
#define WF_FROM_BITS(bits) as_float(bits)
#define WF_TO_BITS(x) as_uint(x)
#define WF_INFINITY INFINITY
#define WF_I64_MIN LONG_MIN
#define WF_I64_MAX LONG_MAX
#define WF_U64_MAX ULONG_MAX
#define WF_BUFFER(n) __global uchar* n##_buffer, long n##_at
#define WF_POINTER(T, n) __global T* n = (__global T*)(n##_buffer + n##_at)
#define WF_VECTOR(T, n) T##n
#define WF_VECTOR_OF(T, n, x) ((T##n)(x))
#define WF_VECTOR_LOAD(T, n, p) vload##n(0, p)
#define WF_VECTOR_STORE(n, v, p) vstore##n(v, 0, p)
#define WF_VECTOR_FMA(a, b, c) fma(a, b, c)
#define WF_LOAD_F16(pointer, i) vload_half((size_t)(i), (const __global half*)(pointer))
#define WF_STORE_F16(pointer, i, x) vstore_half_rte(x, (size_t)(i), (__global half*)(pointer))
)",
                          .f64_prelude = R"(
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#define WF_F64(bits) as_double((ulong)(bits))
)",
                          .arguments = Arguments::buffers_and_offsets};

}  // namespace wafer::kernel
