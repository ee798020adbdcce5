#pragma once
#include <string>
#include <string_view>

namespace wafer::cpu {

// The instruction sets that backend/cpu/simd is compiled for, each including those before it.
enum class Isa { portable, avx2, avx512 };

// The best one that this CPU, this build and WAFER_ISA allow; UserError when WAFER_ISA names none.
Isa isa();
std::string_view name(Isa isa);

// CPU features beyond the instruction sets, as CPUID tells (the model number may be masked in a
// virtual machine). False too where WAFER_ISA caps below avx512, and of AMX where the operating
// system does not let this process use its registers, which is asked once.
bool has_avx512_bf16();
bool has_amx_bf16();
// True where this build has kernels that use one of them (oneDNN's).
bool multiplies_bf16();

// "AMD EPYC 9B14", from /proc/cpuinfo; the architecture where that says nothing.
const std::string& cpu_name();

}  // namespace wafer::cpu

// Declares `result name(parameters)`, defined in backend/cpu/simd, in every instruction set's
// namespace, and `name##_kernel()`, the address of the one to call on this CPU:
//   WAFER_SIMD(void, scale, (float* x, int64_t count, float factor))
//   ...
//   auto* scale = scale_kernel();
// To be written in namespace wafer::cpu. Files in simd/ define it in `namespace WAFER_ISA` and must
// not use templates or inline functions shared with other files (std::vector, std::function, ...):
// the linker keeps one copy of those, perhaps the one for a newer CPU.
#ifdef WAFER_X86
#define WAFER_SIMD(result, name, parameters)      \
  namespace portable {                            \
  result name parameters;                         \
  }                                               \
  namespace avx2 {                                \
  result name parameters;                         \
  }                                               \
  namespace avx512 {                              \
  result name parameters;                         \
  }                                               \
  [[maybe_unused]] inline auto* name##_kernel() { \
    switch (isa()) {                              \
      case Isa::avx512: return &avx512::name;     \
      case Isa::avx2: return &avx2::name;         \
      default: return &portable::name;            \
    }                                             \
  }
#else
#define WAFER_SIMD(result, name, parameters)      \
  namespace portable {                            \
  result name parameters;                         \
  }                                               \
  [[maybe_unused]] inline auto* name##_kernel() { \
    return &portable::name;                       \
  }
#endif
