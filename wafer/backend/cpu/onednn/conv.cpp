#include "wafer/backend/cpu/contraction.h"
#include "wafer/backend/cpu/onednn/call.h"
#include "wafer/backend/cpu/onednn/epilogue.h"

namespace wafer::cpu::onednn {

namespace {
using Desc = dnnl::memory::desc;
using Place = Program::Place;

// [out, in / groups, kernel...] as [groups, out / groups, in / groups, kernel...] where there are
// groups.
std::vector<int64_t> grouped(const ConvProblem& p, std::vector<int64_t> sizes) {
  if (p.groups == 1) return sizes;
  sizes[0] /= p.groups;
  sizes.insert(sizes.begin(), p.groups);
  return sizes;
}

Desc plain_weight(const ConvProblem& p) {
  std::vector<int64_t> sizes = p.weight.shape.sizes(), strides = p.weight.strides();
  if (p.groups > 1) strides.insert(strides.begin(), strides[0] * (sizes[0] / p.groups));
  return {grouped(p, sizes), data_type(p.weight.dtype), strides};
}

// In whatever layout oneDNN likes best.
Desc any_weight(const ConvProblem& p) {
  return {grouped(p, p.weight.shape.sizes()), data_type(p.weight.dtype),
          dnnl::memory::format_tag::any};
}

double flops_of(const ConvProblem& p) {
  return 2.0 * static_cast<double>(p.y.elements()) * static_cast<double>(p.weight.elements()) /
         static_cast<double>(p.weight.shape.size(0));
}

struct Arguments {
  std::vector<int64_t> stride, dilation, low, high;
  explicit Arguments(const ConvProblem& p)
      : stride(p.stride), dilation(p.dilation), low(p.padding_low), high(p.padding_high) {
    for (int64_t& d : dilation) --d;  // oneDNN counts the elements between
  }
};

dnnl::convolution_forward::primitive_desc forward(const ConvProblem& p, const Epilogue& epilogue,
                                                  const dnnl::primitive_attr& attributes) {
  Arguments a(p);
  Desc bias;
  if (epilogue.bias >= 0) {
    DType dtype = epilogue.wide_bias ? DType::f32 : p.y.dtype;
    bias = Desc({p.y.shape.size(1)}, data_type(dtype), dnnl::memory::format_tag::a);
  }
  return {engine(),
          dnnl::prop_kind::forward_training,
          dnnl::algorithm::convolution_direct,
          plain(p.x),
          any_weight(p),
          bias,
          plain(p.y),
          a.stride,
          a.dilation,
          a.low,
          a.high,
          attributes,
          /*allow_empty=*/true};
}
}  // namespace

Step make_conv(const ConvProblem& p, const Epilogue& epilogue, KernelContext& context) {
  int threads = threads_for(flops_of(p));
  ThreadScope scope(threads);
  auto pd = forward(p, epilogue, with_epilogue(epilogue, plain(p.y)));
  if (!pd || !is_fast(pd.impl_info_str())) return {};
  Program program(threads);
  auto weight = program.in_layout({DNNL_ARG_WEIGHTS, plain_weight(p), Place::input, 1},
                                  pd.weights_desc(), p.weight_values);
  std::vector<Program::Argument> arguments = {{DNNL_ARG_SRC, plain(p.x), Place::input, 0},
                                              weight,
                                              {DNNL_ARG_DST, plain(p.y), Place::output, 0}};
  add_epilogue(epilogue, pd.bias_desc(), plain(p.y), arguments);
  program.add(dnnl::convolution_forward(pd), arguments, pd.scratchpad_desc());
  return std::move(program).step(context, pd.impl_info_str());
}

Step make_conv_input_gradient(const ConvProblem& p, KernelContext& context) {
  int threads = threads_for(flops_of(p));
  ThreadScope scope(threads);
  auto hint = forward(p, {}, own_scratchpad());
  if (!hint) return {};
  Arguments a(p);
  dnnl::convolution_backward_data::primitive_desc pd(
      engine(), dnnl::algorithm::convolution_direct, plain(p.x), any_weight(p), plain(p.y),
      a.stride, a.dilation, a.low, a.high, hint, own_scratchpad(), /*allow_empty=*/true);
  if (!pd || !is_fast(pd.impl_info_str())) return {};
  Program program(threads);
  auto weight =
      program.in_layout({DNNL_ARG_WEIGHTS, plain_weight(p), Place::input, 1}, pd.weights_desc());
  program.add(dnnl::convolution_backward_data(pd),
              {{DNNL_ARG_DIFF_DST, plain(p.y), Place::input, 0},
               weight,
               {DNNL_ARG_DIFF_SRC, plain(p.x), Place::output, 0}},
              pd.scratchpad_desc());
  return std::move(program).step(context, pd.impl_info_str());
}

Step make_conv_weight_gradient(const ConvProblem& p, KernelContext& context) {
  int threads = threads_for(flops_of(p));
  ThreadScope scope(threads);
  auto hint = forward(p, {}, own_scratchpad());
  if (!hint) return {};
  Arguments a(p);
  dnnl::convolution_backward_weights::primitive_desc pd(
      engine(), dnnl::algorithm::convolution_direct, plain(p.x), any_weight(p), plain(p.y),
      a.stride, a.dilation, a.low, a.high, hint, own_scratchpad(), /*allow_empty=*/true);
  if (!pd || !is_fast(pd.impl_info_str())) return {};
  Program program(threads);
  Program::Argument result{DNNL_ARG_DIFF_WEIGHTS, plain_weight(p), Place::output, 0};
  Program::Argument computed = result;
  bool direct = pd.diff_weights_desc() == result.desc;
  if (!direct) computed = program.scratch(DNNL_ARG_DIFF_WEIGHTS, pd.diff_weights_desc());
  program.add(dnnl::convolution_backward_weights(pd),
              {{DNNL_ARG_SRC, plain(p.x), Place::input, 0},
               {DNNL_ARG_DIFF_DST, plain(p.y), Place::input, 1},
               computed},
              pd.scratchpad_desc());
  if (!direct) program.add_reorder(computed, result);
  return std::move(program).step(context, pd.impl_info_str());
}

}  // namespace wafer::cpu::onednn
