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
#define WF_FIRST ((long)get_global_id(0))
#define WF_STRIDE ((long)get_global_size(0))
#define WF_F32(bits) as_float((uint)(bits))
#define WF_FROM_BITS(bits) as_float(bits)
#define WF_TO_BITS(x) as_uint(x)
#define WF_LOAD_F16(pointer, i) vload_half((size_t)(i), (const __global half*)(pointer))
#define WF_STORE_F16(pointer, i, x) vstore_half_rte(x, (size_t)(i), (__global half*)(pointer))
)",
                          .f64_prelude = R"(
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#define WF_F64(bits) as_double((ulong)(bits))
)"};

}  // namespace wafer::kernel
