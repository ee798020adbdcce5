#include "wafer/backend/cpu/onednn/gemm_memory.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

namespace wafer::cpu::onednn {

bool allocates_itself(const char* implementation) {
  return std::strncmp(implementation, "gemm:", 5) == 0;
}

size_t gemm_workspace_bytes(int64_t inner, int64_t columns, int threads) {
  constexpr int64_t rows = 384, least = 128, most = 256, multiple = 24;
  int64_t share = ((columns + threads - 1) / threads + multiple - 1) / multiple * multiple;
  int64_t floats = std::clamp(inner, least, most) * (share + rows);
  return static_cast<size_t>(threads * floats) * sizeof(float);
}

// Until 2.38 glibc cuts aligned memory from a larger piece and keeps what is left before and behind
// it in a cache of the thread, where neighbours do not merge: once freed, the memory is too small
// for the next call, and the heap grows by a workspace, up to fifty times. What finds the cache
// full is merged.
#if defined(__GLIBC__) && __GLIBC__ == 2 && __GLIBC_MINOR__ < 38
namespace {
void fill_cache_of_small_pieces() {
  constexpr size_t sizes = 64, kept = 7, step = 16;
  std::array<void*, sizes * kept> pieces;
  for (size_t i = 0; i < pieces.size(); ++i) pieces[i] = std::malloc((i / kept + 1) * step + 8);
  for (void* piece : pieces) std::free(piece);
}
}  // namespace

void let_freed_memory_merge([[maybe_unused]] int threads) {
  // Filling takes some microseconds. Places become free slowly once a program has run a few times.
  constexpr unsigned first = 64, period = 8;
  thread_local unsigned calls = 0;
  if (calls++ >= first && calls % period != 0) return;
#ifdef WAFER_OPENMP
#pragma omp parallel num_threads(threads)
#endif
  fill_cache_of_small_pieces();
}
#else
void let_freed_memory_merge(int) {}
#endif

}  // namespace wafer::cpu::onednn
