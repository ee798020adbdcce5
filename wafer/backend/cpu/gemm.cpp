#include "wafer/backend/cpu/gemm.h"

#include "wafer/base/threads.h"

namespace wafer::cpu {

Gemm::Gemm(int64_t m, int64_t n, int64_t k, int threads, bool packs)
    : n_(n), k_(k), panels_((n + gemm_panel - 1) / gemm_panel) {
  constexpr int64_t packed_at_a_time = 1 << 18;  // floats; a megabyte
  int64_t block = std::max<int64_t>(gemm_packed_floats(n, gemm_block_depth), 1);
  depth_ = std::max<int64_t>(packed_at_a_time / block, 1) * gemm_block_depth;
  bool small = m * n * k < (int64_t{1} << 18);
  if (small) return;
  threads_ = threads;
  // Some parts for each thread, which take turns: a tenth of a millisecond is enough for one. Not
  // where the depth is cut up: a part of c stays in the cache of the thread that adds to it again.
  constexpr int64_t most = 4, multiplications = int64_t{1} << 22;
  bool turns = threads > 1 && !(packs && k > depth_);
  int64_t each = turns ? std::clamp<int64_t>(m * n * k / (threads * multiplications), 1, most) : 1;
  auto parts = static_cast<int>(threads * each);
  // As square as they can be, since each reads the whole of a's rows and b's columns; but not so
  // few rows that packing b takes more time than they do.
  constexpr int64_t least_rows = 48;
  auto most_rows = static_cast<int>(std::clamp<int64_t>(m / least_rows, 1, parts));
  auto lines = [&](int rows, int columns) { return m / rows + n / columns; };
  for (int rows = 1; rows <= most_rows; ++rows) {
    auto columns = static_cast<int>(std::clamp<int64_t>(parts / rows, 1, panels_));
    int more = rows * columns - rows_ * columns_;
    if (more < 0 || (more == 0 && lines(rows, columns) >= lines(rows_, columns_))) continue;
    rows_ = rows;
    columns_ = columns;
  }
}

void Gemm::pack(const GemmArgs& args, float* packed) const {
  // Panels that are worth a thread of their own.
  int64_t grain = (1 << 15) / std::max<int64_t>(args.k * gemm_panel, 1) + 1;
  parallel_for(panels_, grain,
               [&](int64_t begin, int64_t end) { gemm_pack_kernel()(args, packed, begin, end); });
}

void Gemm::run(const GemmArgs& args, const float* packed, float* workspace) const {
  constexpr int64_t tile = 12;  // rows of a whole tile of every instruction set
  int64_t tiles = (args.m + tile - 1) / tile;
  share_jobs(rows_ * columns_, threads_, [&](int64_t part, int64_t thread) {
    int64_t row = part / columns_, column = part % columns_;
    gemm_packed_kernel()(args, packed, tiles * row / rows_ * tile,
                         std::min(tiles * (row + 1) / rows_ * tile, args.m),
                         panels_ * column / columns_, panels_ * (column + 1) / columns_,
                         workspace + thread * gemm_rows_workspace);
  });
}

void Gemm::run_packing(const GemmArgs& args, float* packing, float* workspace) const {
  for (int64_t k0 = 0; k0 < args.k; k0 += depth_) {
    GemmArgs part = args;
    part.k = std::min(depth_, args.k - k0);
    part.a += k0 * args.a_column;
    part.b += k0 * args.b_row;
    part.accumulate = args.accumulate || k0 > 0;
    if (k0 + depth_ < args.k) part.finish = {};
    pack(part, packing);
    run(part, packing, workspace);
  }
}

}  // namespace wafer::cpu
