#include "wafer/pass/epilogue.h"

#include <map>

#include "wafer/op/elementwise.h"
#include "wafer/op/layout.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"
#include "wafer/pass/value.h"

namespace wafer {

namespace {

bool is_contraction(const Node& node) {
  return (node.is(op::conv) || node.is(op::matmul)) && node.outputs[0].shape.is_static();
}

// A contraction with followers, as it is put together.
struct Parts {
  const Node* contraction = nullptr;
  Tensor a, b, bias, residual;
  bool relu = false;
  double limit = HUGE_VAL;
};

int bias_axis(const Node& contraction) {
  return contraction.is(op::conv) ? 1 : contraction.outputs[0].shape.rank() - 1;
}

// The memory of a bias that is repeated along everything but the axis; empty for other values.
Tensor bias_behind(const Tensor& value, const Type& result, int axis) {
  if (!value.node().is(op::broadcast_to)) return {};
  Tensor at = value.node().inputs[0];
  const Shape& shape = at.shape();
  int64_t channels = result.shape.size(axis);
  int lead = result.shape.rank() - shape.rank();
  for (int d = 0; d < shape.rank(); ++d) {
    if (shape.size(d) != (d + lead == axis ? channels : 1)) return {};
  }
  if (shape.rank() <= axis - lead || axis < lead) return {};
  while (at.node().is(op::reshape) || at.node().is(op::cast)) {
    const Tensor& from = at.node().inputs[0];
    if (at.node().is(op::cast) && from.dtype() != DType::f32) break;
    at = from;
  }
  return at.dtype() == result.dtype || at.dtype() == DType::f32 ? at : Tensor();
}

Tensor constant(DType dtype, double value) {
  return visit(dtype, [&]<class T>(std::type_identity<T>) {
    return Tensor::from_values<T>({static_cast<T>(value)}, Shape{});
  });
}

Tensor typed(const Tensor& value, const Type& type) {
  return clone_node(value.node(), value.node().inputs, {type})[0];
}

Tensor assemble(const Parts& parts) {
  Graph group;
  std::vector<Tensor> arguments;
  auto placeholder = [&](const Tensor& value) {
    group.inputs.push_back(make_input(value.type(), str("x", group.inputs.size())));
    arguments.push_back(value);
    return group.inputs.back();
  };
  const Node& node = *parts.contraction;
  const Type& type = node.outputs[0];
  Tensor a = placeholder(parts.a), b = placeholder(parts.b);
  Tensor y = clone_node(node, {a, b}, node.outputs)[0];
  if (parts.bias) {
    std::vector<int64_t> sizes(static_cast<size_t>(type.shape.rank()), 1);
    auto axis = static_cast<size_t>(bias_axis(node));
    sizes[axis] = type.shape.size(static_cast<int>(axis));
    Tensor bias = cast(reshape(placeholder(parts.bias), sizes), type.dtype);
    Tensor wide = make(op::broadcast_to, {bias}, ShapeAttrs{type.shape});
    y = typed(make(op::add, {y, typed(wide, type)}), type);
  }
  if (parts.residual) y = typed(make(op::add, {y, placeholder(parts.residual)}), type);
  if (parts.relu) y = typed(make(op::relu, {y}), type);
  if (parts.limit < HUGE_VAL) {
    Tensor limit =
        make(op::broadcast_to, {constant(type.dtype, parts.limit)}, ShapeAttrs{type.shape});
    y = typed(make(op::minimum, {y, typed(limit, type)}), type);
  }
  group.outputs = {y};
  std::vector<Tensor> outputs =
      fuse(std::make_shared<const Graph>(std::move(group)), std::move(arguments));
  return clone_node(outputs[0].node(), outputs[0].node().inputs, {type})[0];
}

class Joining {
 public:
  Joining(const Graph& graph, const JoinsFollowers& joins) : joins_(joins) {
    for (const Tensor& output : graph.outputs) ++uses_[key(output)];
    for (const Node* node : topological_order(graph)) {
      for (const Tensor& input : node->inputs) ++uses_[key(input)];
    }
  }

  std::optional<std::vector<Tensor>> operator()(const Node& node, const std::vector<Tensor>& in) {
    if (node.is(op::relu) || node.is(op::maximum) || node.is(op::minimum))
      return activation(node, in);
    if (!node.is(op::add)) return std::nullopt;
    for (size_t i = 0; i < 2; ++i) {
      auto parts = open(node.inputs[i], in[i]);
      if (!parts || parts->relu || parts->residual) continue;
      const Tensor& other = in[1 - i];
      const Type& type = parts->contraction->outputs[0];
      bool reshaped = in[i].node().is(op::reshape);
      Tensor bias;
      if (!parts->bias) {
        int axis = reshaped ? in[i].rank() - 1 : bias_axis(*parts->contraction);
        bias = bias_behind(other, in[i].type(), axis);
      }
      if (bias) {
        parts->bias = bias;
      } else if (!other.node().is(op::broadcast_to) && other.type() == in[i].type()) {
        parts->residual = reshaped ? reshape(other, type.shape) : other;
      } else {
        continue;
      }
      return {{close(*parts, in[i])}};
    }
    return std::nullopt;
  }

 private:
  // ReLU, also as the larger of a value and zero, and then its limit.
  std::optional<std::vector<Tensor>> activation(const Node& node,
                                                const std::vector<Tensor>& in) const {
    std::optional<double> bound = node.is(op::relu) ? 0 : constant_value(in[1]);
    if (!bound) return std::nullopt;
    auto parts = open(node.inputs[0], in[0]);
    if (!parts || parts->limit < HUGE_VAL) return std::nullopt;
    // A mask of a product holds -infinity, of which the library's ReLU makes NaN.
    if (parts->residual && parts->contraction->is(op::matmul)) return std::nullopt;
    if (node.is(op::minimum)) {
      if (!parts->relu || !(*bound > 0)) return std::nullopt;
      parts->limit = *bound;
    } else {
      if (parts->relu || *bound != 0) return std::nullopt;
      parts->relu = true;
    }
    return {{close(*parts, in[0])}};
  }

  bool used_once(const Tensor& original) const {
    auto found = uses_.find(key(original));
    return found != uses_.end() && found->second == 1;
  }

  // The contraction that makes a value which nothing else reads, maybe through a reshape that keeps
  // the columns of a product.
  std::optional<Parts> open(const Tensor& original, const Tensor& now) const {
    if (!used_once(original)) return std::nullopt;
    const Node* node = &now.node();
    if (node->is(op::reshape)) {
      const Tensor& from = node->inputs[0];
      bool same_columns = now.rank() >= 1 && from.rank() >= 1 &&
                          from.shape()[-1] == now.shape()[-1] &&
                          now.type().layout == Layout::row_major;
      if (!same_columns) return std::nullopt;
      // Else it is a sum that was joined already.
      if (original.node().is(op::reshape) && !used_once(original.node().inputs[0]))
        return std::nullopt;
      node = &from.node();
      bool product =
          node->is(op::matmul) || (node->is(op::fused) && contraction_group(*node) &&
                                   contraction_group(*node)->contraction->is(op::matmul));
      if (!product) return std::nullopt;
    }
    if (is_contraction(*node)) {
      if (!joins_(*node)) return std::nullopt;
      return Parts{node, node->inputs[0], node->inputs[1], {}, {}};
    }
    auto group = contraction_group(*node);
    if (!group) return std::nullopt;
    auto input = [&](int index) {
      return index < 0 ? Tensor() : node->inputs[static_cast<size_t>(index)];
    };
    return Parts{group->contraction,     node->inputs[0], node->inputs[1], input(group->bias),
                 input(group->residual), group->relu,     group->limit};
  }

  // The node of the parts, in the shape that `now` had.
  static Tensor close(const Parts& parts, const Tensor& now) {
    Tensor y = assemble(parts);
    return now.node().is(op::reshape) ? reshape(y, now.shape()) : y;
  }

  const JoinsFollowers& joins_;
  std::map<Value, int> uses_;
};
}  // namespace

std::optional<ContractionGroup> contraction_group(const Node& node) {
  if (!node.is(op::fused)) return std::nullopt;
  const Node* at = &node.subgraphs[0]->outputs[0].node();
  ContractionGroup group{};
  if (at->is(op::minimum)) {
    auto limit = constant_value(at->inputs[1]);
    if (!limit || !at->inputs[0].node().is(op::relu)) return std::nullopt;
    group.limit = *limit;
    at = &at->inputs[0].node();
  }
  if (at->is(op::relu)) {
    group.relu = true;
    at = &at->inputs[0].node();
  }
  bool biased = false, added = false;
  while (at->is(op::add)) {
    (at->inputs[1].node().is(op::broadcast_to) ? biased : added) = true;
    at = &at->inputs[0].node();
  }
  if (!is_contraction(*at)) return std::nullopt;
  group.contraction = at;
  if (biased) group.bias = 2;
  if (added) group.residual = biased ? 3 : 2;
  return group;
}

Graph fuse_epilogues(const Graph& graph, const JoinsFollowers& joins) {
  Joining joining(graph, joins);
  return rewrite(graph, [&](const Node& node, const std::vector<Tensor>& inputs) {
    return joining(node, inputs);
  });
}

}  // namespace wafer
