#include "wafer/select/work.h"

#include <algorithm>
#include <cmath>

#include "wafer/op/control_flow.h"
#include "wafer/op/conv.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/pass/epilogue.h"

namespace wafer::select {

namespace {
double log2_of(double value) {
  return std::log2(std::max(value, 1.0));
}

double product(const Shape& shape, int from, int to) {
  double result = 1;
  for (int i = from; i < to; ++i) result *= static_cast<double>(shape.size(i));
  return result;
}

// Sizes of a convolution seen forward: positions of the output, channels a group, kernel, stride.
std::vector<double> conv_size(const Shape& y, const Shape& weight,
                              const std::vector<int64_t>& stride) {
  double strides = 1;
  for (int64_t s : stride) strides *= static_cast<double>(s);
  return {log2_of(static_cast<double>(y.size(0)) * product(y, 2, y.rank())),
          log2_of(static_cast<double>(weight.size(1))),
          log2_of(static_cast<double>(weight.size(0))), log2_of(product(weight, 2, weight.rank())),
          log2_of(strides)};
}

void describe_matmul(const Node& node, Work& work) {
  auto [ta, tb] = node.attr<MatmulAttrs>();
  const Shape &a = node.inputs[0].shape(), &y = node.outputs[0].shape;
  work.size = {log2_of(static_cast<double>(y.size(-2))),
               log2_of(static_cast<double>(y.size(-1))),
               log2_of(static_cast<double>(a.size(ta ? -2 : -1))),
               log2_of(product(y, 0, y.rank() - 2)),
               ta ? 1.0 : 0.0,
               tb ? 1.0 : 0.0};
}

// Reductions run at different rates along the last, the first, or other axes.
void describe_reduction(const Node& node, Work& work) {
  const Shape& x = node.inputs[0].shape();
  const auto& axes = node.attr<ReduceAttrs>().axes;
  bool last = !axes.empty() && axes.back() == x.rank() - 1;
  bool first = !axes.empty() && axes.front() == 0;
  bool all = static_cast<int>(axes.size()) == x.rank();
  work.kind = str(node.op->name, all             ? " all"
                                 : last && first ? " both"
                                 : last          ? " last"
                                 : first         ? " first"
                                                 : " inner");
  work.size = {log2_of(static_cast<double>(x.elements())),
               log2_of(static_cast<double>(node.outputs[0].elements()))};
}

void describe_elementwise(const Node& node, Work& work) {
  work.kind = "elementwise";
  std::vector<const Node*> nodes{&node};
  if (!node.subgraphs.empty()) nodes.clear();
  for (const auto& group : node.subgraphs) {
    auto inner = topological_order(*group);
    nodes.insert(nodes.end(), inner.begin(), inner.end());
  }
  double operations = 0, largest = 1;
  for (const Node* inner : nodes) {
    if (!inner->op->elementwise) continue;
    auto count = static_cast<double>(inner->outputs[0].elements());
    work.elements.emplace_back(element_op(*inner), count);
    operations += count;
    largest = std::max(largest, count);
  }
  if (work.elements.empty()) work.elements.emplace_back("add f32", 0.0);
  work.size = {log2_of(largest), log2_of(operations / largest), log2_of(work.bytes / largest)};
}

// What decides the time of a step: of a convolution or product with element-wise ops computed
// behind it, the convolution or product.
const Node& main_node(const Node& node) {
  auto group = contraction_group(node);
  return group ? *group->contraction : node;
}
}  // namespace

std::string element_op(const Node& node) {
  DType made = node.outputs[0].dtype;
  std::string name = str(node.op->name, " ", node.inputs.empty() ? made : node.inputs[0].dtype());
  // What a cast costs is decided by both ends: f32 to i64 takes many times f32 to bf16.
  return node.is(op::cast) ? str(name, " ", made) : name;
}

Work work_of(const Node& node) {
  Cost c = cost(node);
  const Node& main = main_node(node);
  Work work{main.op->name, DType::f32, c.flops, c.bytes, {}, {}};
  if (main.op->elementwise || main.is(op::fused)) {
    describe_elementwise(main, work);
  } else if (main.is(op::conv)) {
    work.size =
        conv_size(main.outputs[0].shape, main.inputs[1].shape(), main.attr<ConvAttrs>().stride);
  } else if (main.is(op::conv_input_gradient)) {
    work.size = conv_size(main.inputs[0].shape(), main.inputs[1].shape(),
                          main.attr<ConvGradientAttrs>().stride);
  } else if (main.is(op::conv_weight_gradient)) {
    work.size = conv_size(main.inputs[1].shape(), main.outputs[0].shape,
                          main.attr<ConvGradientAttrs>().stride);
  } else if (main.is(op::matmul)) {
    describe_matmul(main, work);
  } else if (main.is(op::reduce_sum) || main.is(op::reduce_max) || main.is(op::reduce_min) ||
             main.is(op::reduce_prod)) {
    describe_reduction(main, work);
  } else if (main.is(op::scan)) {
    auto length = static_cast<double>(scan_length(main));
    work.size = {log2_of(length), log2_of(work.bytes / length), log2_of(work.flops / length)};
  } else {
    work.size = {log2_of(work.bytes), log2_of(work.flops)};
  }
  work.dtype = main.inputs.empty() ? main.outputs[0].dtype : main.inputs[0].dtype();
  if (is_floating(work.dtype) && work.dtype != DType::f32)
    work.kind = str(work.kind, " ", work.dtype);
  return work;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

}  // namespace wafer::select
