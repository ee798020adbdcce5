#include "wafer/backend/cpu/gemm.h"

#include "wafer/base/threads.h"

namespace wafer::cpu {

namespace {
constexpr int64_t tile = 12;  // rows of a whole tile of every instruction set
// Rows of a part, for each of which b's panels are brought near: fewer take no longer than that.
constexpr int64_t least_rows = 4 * tile;

// Where parts of m rows begin, and m: each is half of a thread's fair share of the rows that are
// left, so that threads that take turns end together.
std::vector<int64_t> shrinking_parts(int64_t m, int threads) {
  constexpr int64_t least = least_rows / tile;
  std::vector<int64_t> begins = {0};
  for (int64_t left = (m + tile - 1) / tile; left > 0;) {
    int64_t size = std::max((left + 2 * threads - 1) / (2 * threads), least);
    if (left - size < least) size = left;
    left -= size;
    begins.push_back(std::min(begins.back() + size * tile, m));
  }
  return begins;
}

std::vector<int64_t> even_parts(int64_t m, int64_t parts) {
  std::vector<int64_t> begins;
  int64_t tiles = (m + tile - 1) / tile;
  for (int64_t i = 0; i <= parts; ++i) begins.push_back(std::min(tiles * i / parts * tile, m));
  return begins;
}
}  // namespace

Gemm::Gemm(int64_t m, int64_t n, int64_t k, int threads, bool packs)
    : n_(n), k_(k), panels_((n + gemm_panel - 1) / gemm_panel), rows_({0, m}) {
  constexpr int64_t packed_at_a_time = 1 << 18;  // floats; a megabyte
  int64_t block = std::max<int64_t>(gemm_packed_floats(n, gemm_block_depth), 1);
  depth_ = std::max<int64_t>(packed_at_a_time / block, 1) * gemm_block_depth;
  bool small = m * n * k < (int64_t{1} << 18);
  if (small) return;
  threads_ = threads;
  if (threads == 1) return;
  // Threads take turns at some parts each: a tenth of a millisecond is enough for one. Not where
  // the depth is cut up: a part of c stays in the cache of the thread that adds to it again.
  constexpr int64_t most = 4, multiplications = int64_t{1} << 22;
  bool turns = !(packs && k > depth_);
  int64_t each = turns ? std::clamp<int64_t>(m * n * k / (threads * multiplications), 1, most) : 1;
  if (each == most && m >= threads * most * least_rows) {
    rows_ = shrinking_parts(m, threads);
    return;
  }
  // As square as they can be, since each reads the whole of a's rows and b's columns.
  int64_t parts = threads * each, rows = 1;
  int64_t most_rows = std::clamp<int64_t>(m / least_rows, 1, parts);
  auto lines = [&](int64_t across, int64_t along) { return m / across + n / along; };
  for (int64_t across = 1; across <= most_rows; ++across) {
    int64_t along = std::clamp<int64_t>(parts / across, 1, panels_);
    int64_t more = across * along - rows * columns_;
    if (more < 0 || (more == 0 && lines(across, along) >= lines(rows, columns_))) continue;
    rows = across;
    columns_ = along;
  }
  rows_ = even_parts(m, rows);
}

void Gemm::pack(const GemmArgs& args, float* packed) const {
  // Panels that are worth a thread of their own.
  int64_t grain = (1 << 15) / std::max<int64_t>(args.k * gemm_panel, 1) + 1;
  parallel_for(panels_, grain,
               [&](int64_t begin, int64_t end) { gemm_pack_kernel()(args, packed, begin, end); });
}

void Gemm::run(const GemmArgs& args, const float* packed, float* workspace) const {
  int64_t rows = static_cast<int64_t>(rows_.size()) - 1;
  share_jobs(rows * columns_, threads_, [&](int64_t part, int64_t thread) {
    const int64_t* row = &rows_[static_cast<size_t>(part / columns_)];
    int64_t column = part % columns_;
    gemm_packed_kernel()(args, packed, row[0], row[1], panels_ * column / columns_,
                         panels_ * (column + 1) / columns_,
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
