#include "wafer/op/create.h"

#include <cstring>

#include "wafer/backend/cpu/lines.h"
#include "wafer/backend/cpu/simd/random.h"
#include "wafer/op/random.h"
#include "wafer/runtime/kernel.h"

// Values made of nothing: counts and random numbers.
namespace wafer::cpu {

namespace {
using Generate = void (*)(uint64_t seed, uint32_t step, uint64_t stream, int64_t begin, int64_t end,
                          float* to);

// Blocks of four elements, cut into ranges of blocks; the last block may be partial.
Step make_random(const Node& node, KernelContext& context, Generate generate) {
  require_row_major(node);
  context.kernel = str("own:", name(isa()));
  auto stream = static_cast<uint64_t>(node.attr<RandomAttrs>().stream);
  int64_t elements = node.outputs[0].elements();
  return [=](const StepArgs& args) {
    uint64_t seed = args.input<uint64_t>(0)[0];
    auto step = static_cast<uint32_t>(args.input<uint64_t>(0)[1]);
    auto* to = args.output<float>(0);
    int64_t whole = elements / 4;
    parallel_for(whole, 1 << 10, [&](int64_t begin, int64_t end) {
      generate(seed, step, stream, begin, end, to + 4 * begin);
    });
    if (whole * 4 < elements) {
      float last[4];
      generate(seed, step, stream, whole, whole + 1, last);
      std::memcpy(to + whole * 4, last, static_cast<size_t>(elements - whole * 4) * sizeof(float));
    }
  };
}
}  // namespace

WAFER_KERNEL(iota) {
  require_row_major(node);
  Lines lines(node.outputs[0], node.attr<IotaAttrs>().axis);
  return [=, dtype = node.outputs[0].dtype](const StepArgs& args) {
    visit(dtype, [&]<class T>(std::type_identity<T>) {
      T* to = args.output<T>(0);
      parallel_for(lines.outer * lines.size, (1 << 14) / std::max<int64_t>(lines.inner, 1) + 1,
                   [&](int64_t begin, int64_t end) {
                     for (int64_t row = begin; row < end; ++row) {
                       std::fill_n(to + row * lines.inner, lines.inner,
                                   static_cast<T>(row % lines.size));
                     }
                   });
    });
  };
}

WAFER_KERNEL(random_uniform) {
  return make_random(node, context, random_uniform_blocks_kernel());
}
WAFER_KERNEL(random_normal) {
  return make_random(node, context, random_normal_blocks_kernel());
}

}  // namespace wafer::cpu
