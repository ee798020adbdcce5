#pragma once
#include <algorithm>
#include <vector>

#include "wafer/backend/cpu/simd/gemm.h"

namespace wafer::cpu {

// Products on all threads: b is packed once, and each thread computes parts of c.
class Gemm {
 public:
  // Of [m, k] and [k, n], by at most `threads` threads. `packs`: by run_packing().
  Gemm(int64_t m, int64_t n, int64_t k, int threads, bool packs);

  // Floats of b when it is packed, of what of it is packed at a time in run_packing(), and of the
  // workspace of a run.
  int64_t packed_floats() const { return gemm_packed_floats(n_, k_); }
  int64_t packing_floats() const { return gemm_packed_floats(n_, std::min(k_, depth_)); }
  int64_t workspace_floats() const { return threads_ * gemm_rows_workspace; }

  void pack(const GemmArgs& args, float* packed) const;
  // All but args.b. Memory is 64-byte aligned.
  void run(const GemmArgs& args, const float* packed, float* workspace) const;
  // pack() and run() by parts of the depth, so that what is packed stays in cache until it is read.
  void run_packing(const GemmArgs& args, float* packing, float* workspace) const;

 private:
  int64_t n_, k_, panels_;
  int64_t depth_;
  int threads_ = 1;
  std::vector<int64_t> rows_;  // where parts along m begin, and where the last ends
  int64_t columns_ = 1;        // parts along n
};

}  // namespace wafer::cpu
