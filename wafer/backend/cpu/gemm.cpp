#include "wafer/backend/cpu/gemm.h"

#include <bit>
#include <utility>

#include "wafer/backend/cpu/memory.h"
#include "wafer/backend/cpu/simd/add_to.h"
#include "wafer/base/threads.h"

namespace wafer::cpu {

namespace {
constexpr int64_t tile = 12;  // rows of a whole tile of every instruction set
// Rows of a part, for each of which b's panels are brought near, and panels of one, for each of
// which a's rows are packed: fewer take no longer than that.
constexpr int64_t least_rows = 4 * tile, least_panels = 4;

// Whether lines of the depth lie in order.
bool is_transposed_a(const GemmArgs& args) {
  return args.a_row == 1 && args.a_column != 1;
}
bool is_transposed_b(const GemmArgs& args) {
  return args.b_row == 1 && args.b_column != 1;
}

// How c is shared.
struct Grid {
  int64_t rows = 1, columns = 1;
  int64_t shares() const { return rows * columns; }
};

// What a thread's share costs it beside multiplications, in elements that it reads from another's
// cache. What it packs or adds up counts a quarter, by the time both take (Zen 3, cores without a
// common cache).
double cost(double foreign, double handled) {
  return foreign + handled / 4;
}
double cost_by_grid(const GemmArgs& args, const Grid& grid) {
  auto m = static_cast<double>(args.m), n = static_cast<double>(args.n);
  auto k = static_cast<double>(args.k), shares = static_cast<double>(grid.shares());
  auto rows = static_cast<double>(grid.rows), columns = static_cast<double>(grid.columns);
  double read_a = m * k / rows, own_a = is_transposed_a(args) ? read_a / shares : m * k / shares;
  double read_b = n * k / columns;
  double own_b = is_transposed_b(args) && grid.rows == 1 ? read_b : read_b / shares;
  double foreign_c = m * n / shares * (1 - 1 / columns);
  return cost(read_a - own_a + read_b - own_b + foreign_c, read_a + read_b);
}
double cost_by_depth(const GemmArgs& args, int64_t threads) {
  auto m = static_cast<double>(args.m), n = static_cast<double>(args.n);
  auto k = static_cast<double>(args.k), shares = static_cast<double>(threads);
  double read_a = m * k / shares, read_b = n * k / shares, others = 1 - 1 / shares;
  double foreign_a = is_transposed_a(args) ? 0 : read_a * others;
  double foreign_b = is_transposed_b(args) ? read_b * others : 0;
  return cost(foreign_a + foreign_b + m * n * others, read_a + read_b + 2 * m * n);
}

// Of as many shares as can be the best.
Grid choose_grid(const GemmArgs& args, bool packed_b, int64_t threads) {
  auto cost_of = [&](const Grid& grid) {
    // As square as can be: each thread reads the whole of a's rows and b's columns.
    if (packed_b) return static_cast<double>(args.m / grid.rows + args.n / grid.columns);
    return cost_by_grid(args, grid);
  };
  int64_t most_rows = std::clamp<int64_t>(args.m / least_rows, 1, threads);
  int64_t most_columns = std::max<int64_t>((args.n + gemm_panel - 1) / gemm_panel, 1);
  Grid best;
  for (Grid grid; grid.rows <= most_rows; ++grid.rows) {
    grid.columns = std::clamp<int64_t>(threads / grid.rows, 1, most_columns);
    int64_t more = grid.shares() - best.shares();
    if (more > 0 || (more == 0 && cost_of(grid) < cost_of(best))) best = grid;
  }
  return best;
}

// Where the turns at [begin, end) begin, each at half of what is left, in multiples of `unit`.
std::vector<int64_t> halvings(int64_t begin, int64_t end, int64_t unit, int64_t turns) {
  std::vector<int64_t> begins = {begin};
  for (; turns > 1; --turns) {
    int64_t units = (end - begins.back() + unit - 1) / unit;
    begins.push_back(std::min(begins.back() + (units + 1) / 2 * unit, end));
  }
  begins.push_back(end);
  return begins;
}

// The part of a product that depth [begin, end) adds to c.
GemmArgs at_depth(const GemmArgs& args, int64_t begin, int64_t end) {
  GemmArgs part = args;
  part.k = end - begin;
  part.a += begin * args.a_column;
  part.b += begin * args.b_row;
  part.accumulate = args.accumulate || begin > 0;
  if (end < args.k) part.finish = {};
  return part;
}

// The part of a product whose columns are those of panels [first, last).
GemmArgs at_panels(const GemmArgs& args, int64_t first, int64_t last) {
  GemmArgs part = args;
  int64_t column = first * gemm_panel;
  part.n = std::min(last * gemm_panel, args.n) - column;
  part.b += column * args.b_column;
  part.c += column;
  if (part.finish.bias != nullptr) part.finish.bias += column;
  if (part.finish.residual != nullptr) part.finish.residual += column;
  return part;
}
}  // namespace

Gemm::Gemm(const GemmArgs& args, int threads, Columns b, bool finishes)
    : m_(args.m),
      n_(args.n),
      k_(args.k),
      panels_((n_ + gemm_panel - 1) / gemm_panel),
      packs_(b == Columns::not_packed) {
  constexpr int64_t packed_at_a_time = 1 << 18;  // floats; a megabyte
  constexpr int64_t least_depth = 64, most_sums = 1 << 20;
  int64_t block = std::max<int64_t>(gemm_packed_floats(n_, gemm_block_depth), 1);
  depth_ = std::max<int64_t>(packed_at_a_time / block, 1) * gemm_block_depth;
  int64_t panel_floats = std::max<int64_t>(std::min(k_, depth_), 1) * gemm_panel;
  packed_panels_ = std::clamp<int64_t>(packed_at_a_time / panel_floats, 1, panels_);
  bool small = m_ * n_ * k_ < (int64_t{1} << 18);
  if (small) threads = 1;
  Grid grid = choose_grid(args, !packs_, threads);
  bool can_add = packs_ && !finishes && threads > 1 && k_ >= threads * least_depth &&
                 (threads - 1) * m_ * n_ <= most_sums;
  if (can_add && cost_by_depth(args, threads) < cost_by_grid(args, grid)) {
    by_depth_ = true;
    shares_ = threads;
    return;
  }
  shares_ = grid.shares();
  // Not in turns where a share's columns are not packed at once: each turn would pack them anew,
  // and a part of c stays in the cache of the thread that adds to it again.
  bool at_once = k_ <= depth_ && panels_ <= packed_panels_ * grid.columns;
  add_parts(grid.rows, grid.columns, at_once || !packs_);
}

void Gemm::add_parts(int64_t rows, int64_t columns, bool in_turns) {
  // A thread leaves the last turn of its share to one that is done before.
  constexpr int64_t most = 5, multiplications = int64_t{1} << 22;  // of a tenth of a millisecond
  bool by_rows = m_ / rows >= 2 * least_rows;
  int64_t fit = by_rows ? m_ / rows / least_rows : panels_ / columns / least_panels;
  int64_t turns = std::min({most, m_ * n_ * k_ / (shares_ * multiplications),
                            static_cast<int64_t>(std::bit_width(static_cast<uint64_t>(fit)))});
  if (shares_ == 1 || !in_turns || turns < 1) turns = 1;
  int64_t tiles = (m_ + tile - 1) / tile;
  for (int64_t row = 0; row < rows; ++row) {
    auto row_begins =
        halvings(std::min(tiles * row / rows * tile, m_),
                 std::min(tiles * (row + 1) / rows * tile, m_), tile, by_rows ? turns : 1);
    for (int64_t column = 0; column < columns; ++column) {
      auto panel_begins = halvings(panels_ * column / columns, panels_ * (column + 1) / columns, 1,
                                   by_rows ? 1 : turns);
      for (size_t i = 0; i + 1 < row_begins.size(); ++i) {
        for (size_t j = 0; j + 1 < panel_begins.size(); ++j) {
          parts_.push_back(
              {row_begins[i], row_begins[i + 1], panel_begins[j], panel_begins[j + 1]});
        }
      }
    }
  }
}

int64_t Gemm::thread_floats() const {
  if (by_depth_) return gemm_workspace + m_ * n_;
  int64_t packed = packs_ ? packed_panels_ * gemm_panel * std::min(k_, depth_) : 0;
  return gemm_rows_workspace + packed;
}

size_t Gemm::thread_bytes() const {
  return static_cast<size_t>(shares_ * thread_floats()) * sizeof(float);
}

void Gemm::pack(const GemmArgs& args, float* packed) const {
  // Panels that are worth a thread of their own.
  int64_t grain = (1 << 15) / std::max<int64_t>(args.k * gemm_panel, 1) + 1;
  parallel_for(panels_, grain,
               [&](int64_t begin, int64_t end) { gemm_pack_kernel()(args, packed, begin, end); });
}

void Gemm::run(const GemmArgs& args, const float* packed) const {
  share_jobs(static_cast<int64_t>(parts_.size()), shares_, [&](int64_t job, int64_t) {
    const Part& part = parts_[static_cast<size_t>(job)];
    gemm_packed_kernel()(args, packed, part.first_row, part.last_row, part.first_panel,
                         part.last_panel, thread_memory(thread_floats()));
  });
}

void Gemm::run_packing(const GemmArgs& args) const {
  if (by_depth_) return run_by_depth(args);
  // Each thread packs what it reads of b: less comes from other caches so, and no thread waits.
  std::vector<const Part*> before(static_cast<size_t>(shares_));  // of each thread, its last
  share_jobs(static_cast<int64_t>(parts_.size()), shares_, [&](int64_t job, int64_t thread) {
    const Part& part = parts_[static_cast<size_t>(job)];
    const Part* last = std::exchange(before[static_cast<size_t>(thread)], &part);
    int64_t panels = part.last_panel - part.first_panel;
    bool is_packed = last != nullptr && last->first_panel == part.first_panel &&
                     last->last_panel == part.last_panel && panels <= packed_panels_ &&
                     k_ <= depth_;
    float *workspace = thread_memory(thread_floats()), *packed = workspace + gemm_rows_workspace;
    for (int64_t done = 0; done < panels; done += packed_panels_) {
      int64_t count = std::min(packed_panels_, panels - done), first = part.first_panel + done;
      GemmArgs columns = at_panels(args, first, first + count);
      for (int64_t k0 = 0; k0 < k_; k0 += depth_) {
        GemmArgs block = at_depth(columns, k0, std::min(k0 + depth_, k_));
        if (!is_packed) gemm_pack_kernel()(block, packed, 0, count);
        gemm_packed_kernel()(block, packed, part.first_row, part.last_row, 0, count, workspace);
      }
    }
  });
}

void Gemm::run_by_depth(const GemmArgs& args) const {
  constexpr int64_t unit = 16, grain = 1 << 13;                  // of depth, of elements
  std::vector<const float*> sums(static_cast<size_t>(shares_));  // of shares that did not go to c
  int64_t units = (k_ + unit - 1) / unit;
  auto depth_of = [&](int64_t share) { return std::min(units * share / shares_ * unit, k_); };
  parallel_for(shares_, 1, [&](int64_t begin, int64_t end) {
    GemmArgs part = at_depth(args, depth_of(begin), depth_of(end));
    float* workspace = thread_memory(thread_floats());
    if (begin > 0) {
      part.c = workspace + gemm_workspace;
      part.c_row = n_;
      part.accumulate = false;
      sums[static_cast<size_t>(begin)] = part.c;
    }
    gemm_block_kernel()(part, workspace);
  });
  parallel_for(m_, grain / std::max<int64_t>(n_, 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (const float* sum : sums) {
        if (sum != nullptr) add_to_kernel()(args.c + row * args.c_row, sum + row * n_, n_);
      }
    }
  });
}

}  // namespace wafer::cpu
