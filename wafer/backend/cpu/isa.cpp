#include "wafer/backend/cpu/isa.h"

#include <array>
#include <fstream>

#include "wafer/base/env.h"
#include "wafer/base/error.h"
#include "wafer/base/strings.h"

#ifdef WAFER_X86
#include <cpuid.h>
#endif
#if defined(WAFER_X86) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace wafer::cpu {

namespace {
constexpr std::array<std::string_view, 3> isa_names = {"portable", "avx2", "avx512"};

Isa best_of_cpu() {
#ifdef WAFER_X86
  // These ask CPUID and whether the system saves the registers.
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return Isa::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return Isa::avx2;
#endif
  return Isa::portable;
}

Isa choose() {
  Isa best = best_of_cpu();
  auto cap = environment("WAFER_ISA");
  if (!cap) return best;
  for (size_t i = 0; i < isa_names.size(); ++i) {
    if (isa_names[i] == *cap) return std::min(best, static_cast<Isa>(i));
  }
  throw UserError("WAFER_ISA", str("'", *cap, "' is no instruction set"),
                  {.expected = "portable, avx2 or avx512"});
}

#ifdef WAFER_X86
// Bit `bit` of CPUID leaf 7, `subleaf`, register `which` (0 eax, 1 ebx, 2 ecx, 3 edx).
bool leaf7(unsigned subleaf, int which, int bit) {
  std::array<unsigned, 4> r{};
  if (!__get_cpuid_count(7, subleaf, &r[0], &r[1], &r[2], &r[3])) return false;
  return (r[static_cast<size_t>(which)] >> bit) & 1u;
}
#endif

// AMX's tile registers are too large to be saved for every thread: Linux wants to be asked first.
bool may_use_tiles() {
#if defined(WAFER_X86) && defined(__linux__)
  constexpr long request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

std::string read_cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line)) {
    size_t colon = line.find(':');
    if (colon != std::string::npos && line.rfind("model name", 0) == 0) {
      return std::string(trim(std::string_view(line).substr(colon + 1)));
    }
  }
#if defined(__aarch64__)
  return "ARM64 CPU";
#elif defined(__x86_64__)
  return "x86-64 CPU";
#else
  return "CPU";
#endif
}
}  // namespace

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

std::string_view name(Isa isa) {
  return isa_names[static_cast<size_t>(isa)];
}

bool has_avx512_bf16() {
#ifdef WAFER_X86
  static const bool has = leaf7(1, 0, 5);
  return has && isa() == Isa::avx512;
#else
  return false;
#endif
}

bool has_amx_bf16() {
#ifdef WAFER_X86
  static const bool has = leaf7(0, 3, 22) && leaf7(0, 3, 24) && may_use_tiles();
  return has && isa() == Isa::avx512;
#else
  return false;
#endif
}

bool multiplies_bf16() {
#ifdef WAFER_ONEDNN
  return has_avx512_bf16() || has_amx_bf16();
#else
  return false;
#endif
}

const std::string& cpu_name() {
  static const std::string text = read_cpu_name();
  return text;
}

}  // namespace wafer::cpu
