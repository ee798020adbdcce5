#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wafer/kernel/program.h"

// Programs of the loop IR as source in a C-like kernel language. A language is one Dialect: its
// words, as macros and functions that the printed body is written in.
namespace wafer::kernel {

// How a kernel is given its inputs and outputs: as pointers to their elements, or as pairs of a
// pointer to a buffer's first byte and an offset in bytes (WF_I64), where a value may lie anywhere
// in a buffer but only buffers can be passed.
enum class Arguments { pointers, buffers_and_offsets };

// What a prelude has to define.
// Types WF_I64 and WF_U64 (64 bits wide) with WF_I64_MIN, WF_I64_MAX, WF_U64_MAX; WF_INDEX, an
// integer for indices of elements. WF_KERNEL before a kernel's name, WF_FUNCTION before a helper's,
// WF_GLOBAL before a pointed-to type. WF_LOOP(i, n), a loop over those i below n that are this work
// item's. WF_F32(bits) and WF_F64(bits), the number with those bits; WF_INFINITY in f32.
// WF_LOAD_F16(pointer, i) and WF_STORE_F16(pointer, i, x) through unsigned short storage, rounding
// to nearest even; WF_FROM_BITS and WF_TO_BITS between float and unsigned int. Functions of C's
// <math.h> under their names without suffix, and min and max of two integers of one type.
// For templates: WF_BUFFER(n), the parameter or parameters that value n is passed by, and
// WF_POINTER(T, n), which declares a pointer n to its elements; WF_VECTOR(T, n), n numbers of type
// T ("float, 8" and "double, 4"), WF_VECTOR_OF(T, n, x), all of them x, WF_VECTOR_LOAD(T, n, p),
// WF_VECTOR_STORE(n, v, p), and WF_VECTOR_FMA(a, b, c), a * b + c rounded once.
struct Dialect {
  std::string_view name;
  std::string_view prelude;
  std::string_view f64_prelude;  // also needed by programs that compute in f64
  Arguments arguments = Arguments::pointers;
};

extern const Dialect opencl_c;  // OpenCL C 1.2
extern const Dialect cuda_c;    // CUDA C++17 for NVRTC; compile with --fmad=false

struct PrintedKernel {
  std::string name, source;
  bool f64 = false;  // computes in f64
  // Arguments in order: pointers to these inputs, then to these outputs of the program.
  std::vector<int> inputs, outputs;
};

// What stands before kernels in a source: the dialect's words and the functions that all share.
std::string print_prelude(const Dialect& dialect, bool f64);

// A kernel that runs the whole iteration space with any number of work items in one dimension. It
// computes as the CPU's interpreter does, but for the last bits of transcendental functions.
// InternalError for a program over 4-bit or 8-bit floats, which nothing computes on.
PrintedKernel print_kernel(const Program& program, const std::string& name,
                           Arguments arguments = Arguments::pointers);
// The same for several that do not depend on each other, over inputs and outputs of all: loop after
// loop. `first_outputs`: which of all outputs is each program's first.
PrintedKernel print_kernels(std::span<const Program> programs,
                            const std::vector<int>& first_outputs, const std::string& name,
                            Arguments arguments = Arguments::pointers);

// The type that a kernel has for an element in memory, and an expression for the number that
// element `at` of a pointer is, and a statement that stores one.
std::string_view storage_type(DType dtype);
std::string load_text(DType dtype, std::string_view pointer, std::string_view at);
std::string store_text(DType dtype, std::string_view pointer, std::string_view at,
                       std::string_view value);

}  // namespace wafer::kernel
