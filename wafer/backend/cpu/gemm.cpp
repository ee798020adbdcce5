#include "wafer/backend/cpu/gemm.h"

#include <algorithm>

#include "wafer/base/threads.h"

namespace wafer::cpu {

size_t gemm_workspace_bytes(int parts) {
  return static_cast<size_t>(parts) * gemm_workspace * sizeof(float);
}

void gemm(const GemmArgs& args, int parts, float* workspace,
          void (*multiply)(const GemmArgs&, float*)) {
  // Ranges are whole tiles of every instruction set, so that none pays for partial ones.
  constexpr int64_t tile = 96;
  bool by_rows = args.m >= args.n;
  int64_t units = ((by_rows ? args.m : args.n) + tile - 1) / tile;
  bool small = args.m * args.n * args.k < (int64_t{1} << 18);
  int64_t used = small ? 1 : std::min<int64_t>(parts, units);
  parallel_for(used, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      int64_t first = units * part / used * tile, last = units * (part + 1) / used * tile;
      GemmArgs g = args;
      if (by_rows) {
        g.m = std::min(last, args.m) - first;
        g.a += first * g.a_row;
        g.c += first * g.c_row;
        if (g.residual != nullptr) g.residual += first * g.c_row;
      } else {
        g.n = std::min(last, args.n) - first;
        g.b += first * g.b_column;
        g.c += first;
        if (g.bias != nullptr) g.bias += first;
        if (g.residual != nullptr) g.residual += first;
      }
      multiply(g, workspace + part * gemm_workspace);
    }
  });
}

}  // namespace wafer::cpu
