#pragma once
#include <cstddef>
#include <cstdint>

#include "wafer/backend/cpu/isa.h"
#include "wafer/backend/cpu/simd/finish.h"

namespace wafer::cpu {

// A product c = a b (or c += a b): a [m, k] and b [k, n] with any strides, c row-major with `c_row`
// elements from row to row. Where a_row is 1, a's columns do not overlap: a_column is at least m.
struct GemmArgs {
  int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;
  int64_t a_row = 0, a_column = 0;
  const float* b = nullptr;
  int64_t b_row = 0, b_column = 0;
  float* c = nullptr;
  int64_t c_row = 0;
  bool accumulate = false;
  Finish finish;
};

// Blocks by the scheme of Goto and van de Geijn, "Anatomy of high-performance matrix
// multiplication" (2008): panels of b are packed so that the micro-kernel reads them in order, and
// those of a, unless few of its rows or of b's columns would use them. A packed block of b stays in
// the second-level cache, a panel of it in the first.
constexpr int64_t gemm_block_rows = 96, gemm_block_columns = 512, gemm_block_depth = 256;
// Columns of a panel of every instruction set divide this.
constexpr int64_t gemm_panel = 32;

// Floats of b when it is packed as a whole, and of the workspace of a thread that reads it so.
constexpr int64_t gemm_packed_floats(int64_t n, int64_t k) {
  return (n + gemm_panel - 1) / gemm_panel * gemm_panel * k;
}
constexpr int64_t gemm_rows_workspace = gemm_block_depth * (gemm_block_rows + 1);
// The same of a thread that packs b block by block.
constexpr int64_t gemm_workspace = gemm_rows_workspace + gemm_block_depth * gemm_block_columns;

// One thread's product. Workspaces are 64-byte aligned.
WAFER_SIMD(void, gemm_block, (const GemmArgs& args, float* workspace))

// Packs panels [begin, end) of b, of gemm_panel columns each.
WAFER_SIMD(void, gemm_pack, (const GemmArgs& args, float* packed, int64_t begin, int64_t end))
// Rows [first_row, last_row) of the columns of panels [first_panel, last_panel); b itself is not
// read.
WAFER_SIMD(void, gemm_packed,
           (const GemmArgs& args, const float* packed, int64_t first_row, int64_t last_row,
            int64_t first_panel, int64_t last_panel, float* workspace))

}  // namespace wafer::cpu
