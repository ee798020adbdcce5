#include "wafer/backend/cpu/own_epilogue.h"

#include "wafer/base/threads.h"

namespace wafer::cpu::own {

namespace {
template <class T>
void apply_typed(const Epilogue& epilogue, const Type& y, int bias_axis, const StepArgs& args) {
  using Wide = std::conditional_t<(sizeof(T) < 4), float, T>;
  T* result = args.output<T>(0);
  std::vector<Wide> bias;
  if (epilogue.bias >= 0) {
    auto at = static_cast<size_t>(epilogue.bias);
    bias.resize(static_cast<size_t>(y.shape.size(bias_axis)));
    for (size_t i = 0; i < bias.size(); ++i) {
      bias[i] = epilogue.wide_bias ? static_cast<Wide>(args.input<float>(at)[i])
                                   : static_cast<Wide>(args.input<T>(at)[i]);
    }
  }
  const T* residual =
      epilogue.residual < 0 ? nullptr : args.input<T>(static_cast<size_t>(epilogue.residual));
  auto limit = static_cast<Wide>(epilogue.limit);
  int64_t channels = y.shape.size(bias_axis);
  int64_t stride = y.strides()[static_cast<size_t>(bias_axis)];
  parallel_for(y.elements(), 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      auto value = static_cast<Wide>(result[i]);
      if (!bias.empty()) value += bias[static_cast<size_t>(i / stride % channels)];
      if (residual != nullptr) value += static_cast<Wide>(residual[i]);
      if (epilogue.relu && value < Wide(0)) value = Wide(0);
      if (value > limit) value = limit;  // NaN stays
      result[i] = static_cast<T>(value);
    }
  });
}
}  // namespace

void apply_epilogue(const Epilogue& epilogue, const Type& y, int bias_axis, const StepArgs& args) {
  if (epilogue.empty()) return;
  switch (y.dtype) {
    case DType::f64: return apply_typed<double>(epilogue, y, bias_axis, args);
    case DType::f32: return apply_typed<float>(epilogue, y, bias_axis, args);
    case DType::f16: return apply_typed<Float16>(epilogue, y, bias_axis, args);
    case DType::bf16: return apply_typed<BFloat16>(epilogue, y, bias_axis, args);
    default: WAFER_CHECK(false, "an epilogue on ", y.dtype);
  }
}

Finish finish_of(const Epilogue& epilogue, const StepArgs& args) {
  auto floats = [&](int index) {
    return index < 0 ? nullptr : args.input<float>(static_cast<size_t>(index));
  };
  return {floats(epilogue.bias), floats(epilogue.residual), epilogue.relu,
          static_cast<float>(epilogue.limit)};
}

}  // namespace wafer::cpu::own
