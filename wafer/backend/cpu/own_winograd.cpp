#include <algorithm>
#include <memory>

#include "wafer/backend/cpu/memory.h"
#include "wafer/backend/cpu/own_conv.h"
#include "wafer/backend/cpu/own_conv_operands.h"
#include "wafer/backend/cpu/own_epilogue.h"
#include "wafer/backend/cpu/simd/add_to.h"
#include "wafer/backend/cpu/simd/winograd.h"
#include "wafer/base/threads.h"
#include "wafer/ir/storage.h"

namespace wafer::cpu::own {

namespace {
WinogradGeometry winograd(const ConvProblem& p) {
  WinogradGeometry g;
  g.batch = p.x.shape.size(0);
  g.channels = p.x.shape.size(1);
  g.outputs = p.y.shape.size(1);
  for (int axis = 0; axis < 2; ++axis) {
    g.in[axis] = p.x.shape.size(2 + axis);
    g.out[axis] = p.y.shape.size(2 + axis);
    g.low[axis] = p.padding_low[static_cast<size_t>(axis)];
  }
  return g;
}

// The convolution that computes x's gradient from y's: by the weight turned around.
WinogradGeometry transposed(const WinogradGeometry& g) {
  WinogradGeometry t = g;
  std::swap(t.channels, t.outputs);
  for (int axis = 0; axis < 2; ++axis) {
    std::swap(t.in[axis], t.out[axis]);
    t.low[axis] = 2 - g.low[axis];
  }
  return t;
}

// Strides of a weight [out, in, 3, 3] stored as [3, 3, out, in].
std::vector<int64_t> by_tap_transposed(const Type& weight) {
  int64_t out = weight.shape.size(0), in = weight.shape.size(1);
  return {in, 1, 3 * out * in, out * in};
}

// How tiles and outputs are shared out among threads.
struct Schedule {
  int64_t block = 0;  // tiles at a time
  int64_t blocks = 0, splits = 1, panels = 0;

  Schedule(const WinogradGeometry& g, int threads) {
    panels = (g.outputs + winograd_panel - 1) / winograd_panel;
    int64_t tiles = g.tiles();
    // Each block reads all transformed weights: large ones are worth a larger block.
    int64_t most = g.channels * g.outputs >= 128 * 128 ? 48 : 24;
    block = std::min((tiles + 11) / 12 * 12, most);
    blocks = (tiles + block - 1) / block;
    // Too few of them for all threads: each takes a part of the outputs.
    if (blocks < 2 * threads) splits = std::min<int64_t>(panels, threads);
  }
  int64_t jobs() const { return blocks * splits; }
};

std::string kernel_name() {
  return str("own winograd:", name(isa()));
}

// A convolution of its first input by the weight of its second: forward, or of y's gradient to x's.
class Convolution {
 public:
  // `order`: strides of the weight in the order [3, 3, channels, outputs]. `known`: its values,
  // where they are a constant, which is transformed now, once.
  Convolution(const WinogradGeometry& geometry, bool flip, const Type& weight,
              const std::vector<int64_t>& order, const void* known, KernelContext& context)
      : g_(geometry),
        flip_(flip),
        schedule_(g_, thread_count()),
        parts_(static_cast<int>(std::min<int64_t>(schedule_.jobs(), thread_count()))),
        work_floats_(winograd_workspace(g_.channels, schedule_.block)),
        weight_(weight, order, weight_bytes_) {
    size_t transformed_bytes =
        sizeof(float) * static_cast<size_t>(schedule_.panels * winograd_panel_floats(g_.channels));
    Scratch scratch;
    if (known != nullptr) {
      std::vector<std::byte> ordered(weight_bytes_);
      known_ = allocate_host(transformed_bytes);
      transform_weight(known, ordered.data(), static_cast<float*>(known_->data()));
      context.constant_bytes = known_->bytes();
    } else {
      scratch.reserve(weight_bytes_);  // the first of it, as weight_ expects
      transformed_at_ = scratch.reserve(transformed_bytes);
    }
    context.scratch_bytes = scratch.total();
    context.kept_bytes = sizeof(float) * static_cast<size_t>(work_floats_ * parts_);
    context.kernel = kernel_name();
  }

  void run(const StepArgs& args, const Finish& finish) const {
    float* transformed = nullptr;
    if (known_) {
      transformed = static_cast<float*>(known_->data());
    } else {
      transformed = Operand::at(args.scratch, transformed_at_);
      transform_weight(args.in[1], args.scratch, transformed);
    }
    const Schedule& s = schedule_;
    share_jobs(s.jobs(), parts_, [&](int64_t job, int64_t) {
      int64_t first = job % s.blocks * s.block, split = job / s.blocks;
      winograd_tiles_kernel()(g_, args.input<float>(0), transformed, finish, args.output<float>(0),
                              first, std::min(first + s.block, g_.tiles()), s.block,
                              s.panels * split / s.splits, s.panels * (split + 1) / s.splits,
                              thread_memory(work_floats_));
    });
  }

 private:
  void transform_weight(const void* weight, std::byte* ordered, float* to) const {
    const float* values = weight_.get(weight, ordered);
    parallel_for(schedule_.panels, 1, [&](int64_t begin, int64_t end) {
      winograd_weights_kernel()(g_, values, flip_, to, begin, end);
    });
  }

  WinogradGeometry g_;
  bool flip_;
  Schedule schedule_;
  int parts_;
  int64_t work_floats_;
  size_t weight_bytes_ = 0, transformed_at_ = 0;
  Source weight_;
  std::shared_ptr<Storage> known_;  // the weight, transformed
};
}  // namespace

bool is_winograd(const ConvProblem& p) {
  if (p.spatial() != 2 || p.groups != 1 || !is_f32_channels_last(p)) return false;
  for (size_t i = 0; i < 2; ++i) {
    bool plain = p.stride[i] == 1 && p.dilation[i] == 1;
    if (!plain || p.weight.shape.size(static_cast<int>(i) + 2) != 3) return false;
  }
  return p.x.shape.size(1) % 16 == 0 && p.y.shape.size(1) % 16 == 0;
}

bool is_winograd_faster(const ConvProblem& p, ConvKind kind) {
#ifdef WAFER_ONEDNN
  // oneDNN has kernels for more than this CPU is said to have.
  if (isa() == Isa::portable) return false;
#endif
  if (!is_winograd(p)) return false;
  int64_t tiles = winograd(p).tiles(), positions = p.y.elements() / p.y.shape.size(1);
  // Tiles that reach beyond small images compute too much for nothing.
  if (tiles * 8 > positions) return false;
  // Transformed weights are four times as large: those of such layers would fill the memory.
  if (p.x.shape.size(1) * p.y.shape.size(1) > int64_t{1} << 20) return false;
  // Few tiles do not pay for reading so much, and still less for making it in each run.
  bool transforms = kind != ConvKind::weight_gradient && p.weight_values == nullptr;
  return tiles >= (transforms ? 32 : 12);
}

Step make_winograd(const ConvProblem& p, const Epilogue& epilogue, KernelContext& context) {
  Convolution conv(winograd(p), false, p.weight, by_tap(p.weight), p.weight_values, context);
  return [=](const StepArgs& args) { conv.run(args, finish_of(epilogue, args)); };
}

Step make_winograd_input_gradient(const ConvProblem& p, KernelContext& context) {
  Convolution conv(transposed(winograd(p)), true, p.weight, by_tap_transposed(p.weight), nullptr,
                   context);
  return [=](const StepArgs& args) { conv.run(args, {}); };
}

namespace {
// The sums of products that make a weight's gradient: see winograd_products().
class WeightGradientSums {
 public:
  WeightGradientSums(const WinogradGeometry& geometry, KernelContext& context)
      : g_(geometry), parts_(std::min<int64_t>(thread_count(), g_.tiles())) {
    // Shared by tiles, threads read nothing of each other's but sums, which take room for each of
    // them; by points, they read each other's transformed tiles.
    int64_t sums = g_.channels * g_.outputs, of_tile = g_.channels + g_.outputs;
    constexpr int64_t most_sums = 1 << 20;  // floats, which the outer caches hold
    by_tiles_ =
        parts_ > 1 && all_points(sums) <= most_sums && 2 * parts_ * sums <= g_.tiles() * of_tile;
    // Tiles at a time: their values stay in the outer caches, of which a thread has a part.
    int64_t values = by_tiles_ ? 1 << 18 : 1 << 20;
    int64_t most = by_tiles_ ? (g_.tiles() + parts_ - 1) / parts_ : g_.tiles();
    rows_ =
        std::clamp<int64_t>(values / (winograd_points * of_tile), 32, std::max<int64_t>(most, 32));
    y_at_ = all_points(rows_ * g_.channels);
    sums_at_ = y_at_ + all_points(rows_ * g_.outputs);
    floats_ = sums_at_ + all_points(sums);
    if (by_tiles_) context.kept_bytes = static_cast<size_t>(parts_ * floats_) * sizeof(float);
  }

  size_t scratch_bytes() const {
    return by_tiles_ ? 0 : static_cast<size_t>(floats_) * sizeof(float);
  }

  // To the gradient [3, 3, channels, outputs].
  void run(const StepArgs& args, float* scratch, float* result) const {
    std::vector<float*> sums(static_cast<size_t>(parts_));
    if (by_tiles_) {
      parallel_for(parts_, 1, [&](int64_t begin, int64_t end) {
        float* memory = thread_memory(floats_);
        add_tiles(args, g_.tiles() * begin / parts_, g_.tiles() * end / parts_, memory);
        sums[static_cast<size_t>(begin)] = memory + sums_at_;
      });
    } else {
      add_tiles(args, 0, g_.tiles(), scratch);
      sums[0] = scratch + sums_at_;
    }
    parallel_for(g_.channels, 4, [&](int64_t begin, int64_t end) {
      for (size_t part = 1; part < sums.size(); ++part) {
        for (int64_t point = 0; sums[part] != nullptr && point < winograd_points; ++point) {
          int64_t at = point * winograd_stride(g_.channels * g_.outputs) + begin * g_.outputs;
          add_to_kernel()(sums[0] + at, sums[part] + at, (end - begin) * g_.outputs);
        }
      }
      winograd_weight_gradient_kernel()(g_, sums[0], result, begin, end);
    });
  }

 private:
  static int64_t all_points(int64_t values) { return winograd_points * winograd_stride(values); }

  // Sums over tiles [begin, end).
  void add_tiles(const StepArgs& args, int64_t begin, int64_t end, float* memory) const {
    float *x = memory, *y = memory + y_at_, *sums = memory + sums_at_;
    for (int64_t first = begin; first < end; first += rows_) {
      int64_t count = std::min(rows_, end - first);
      parallel_for(count, 4, [&](int64_t from, int64_t to) {
        winograd_transform_x_kernel()(g_, args.input<float>(0), first + from, first + to, from,
                                      rows_, x);
        winograd_transform_gradient_kernel()(g_, args.input<float>(1), first + from, first + to,
                                             from, rows_, y);
      });
      parallel_for(winograd_points, 1, [&](int64_t from, int64_t to) {
        winograd_products_kernel()(g_, x, y, rows_, count, first > begin, sums, from, to);
      });
    }
  }

  WinogradGeometry g_;
  int64_t parts_;
  bool by_tiles_;
  int64_t rows_;  // tiles at a time
  int64_t y_at_, sums_at_, floats_;
};
}  // namespace

Step make_winograd_weight_gradient(const ConvProblem& p, KernelContext& context) {
  WinogradGeometry g = winograd(p);
  size_t ordered = 0;
  Sink weight(p.weight, by_tap(p.weight), ordered);
  WeightGradientSums sums(g, context);
  Scratch scratch;
  scratch.reserve(ordered);
  size_t sums_at = scratch.reserve(sums.scratch_bytes());
  context.scratch_bytes = scratch.total();
  context.kernel = kernel_name();
  return [=](const StepArgs& args) {
    sums.run(args, Operand::at(args.scratch, sums_at), weight.target(args.out[0], args.scratch));
    weight.finish(args.out[0], args.scratch);
  };
}

}  // namespace wafer::cpu::own
