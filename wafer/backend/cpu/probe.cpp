#include "wafer/backend/cpu/probe.h"

#include <algorithm>
#include <chrono>

#include "wafer/backend/cpu/memory.h"
#include "wafer/backend/cpu/simd/peak.h"
#include "wafer/base/threads.h"

namespace wafer::cpu {

namespace {
constexpr int runs = 8;
constexpr size_t triad_floats = size_t{1} << 23;  // 32 MiB an array: beyond the caches

// The least seconds that body(part) for every thread takes together.
template <class Body>
double least_seconds(const Body& body) {
  double least = 1e30;
  for (int run = 0; run < runs; ++run) {
    auto start = std::chrono::steady_clock::now();
    parallel_for(thread_count(), 1, body);
    auto stop = std::chrono::steady_clock::now();
    least = std::min(least, std::chrono::duration<double>(stop - start).count());
  }
  return least;
}

// About 4 ms a run of each kernel.
template <class Kernel>
double flops(Kernel kernel, int64_t rounds = 1 << 20) {
  double operations = kernel(1) * static_cast<double>(rounds);
  if (operations == 0) return 0;
  double seconds = least_seconds([&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) kernel(rounds);
  });
  return operations * thread_count() / seconds;
}

double bandwidth() {
  auto memory = allocate_memory(3 * triad_floats * sizeof(float));
  auto* a = static_cast<float*>(memory->data());
  auto count = static_cast<int64_t>(triad_floats);
  // Touched by the threads that read it, so that each page is near its reader.
  parallel_for(count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) a[i] = a[count + i] = a[2 * count + i] = 1;
  });
  auto* triad = peak_triad_kernel();
  int threads = thread_count();
  double seconds = least_seconds([&](int64_t begin, int64_t end) {
    int64_t first = count * begin / threads, last = count * end / threads;
    triad(a + first, a + count + first, a + 2 * count + first, last - first);
  });
  return 3.0 * static_cast<double>(triad_floats * sizeof(float)) / seconds;
}
}  // namespace

Peaks measure_peaks() {
  Peaks peaks;
  peaks.f32_flops = flops(peak_f32_kernel());
  if (has_avx512_bf16()) peaks.bf16_flops = flops(peak_bf16_kernel());
  if (has_amx_bf16())
    peaks.bf16_flops = std::max(peaks.bf16_flops, flops(peak_bf16_tiles_kernel(), 1 << 17));
  peaks.memory_bytes = bandwidth();
  return peaks;
}

}  // namespace wafer::cpu
