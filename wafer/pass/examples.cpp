#include "wafer/pass/examples.h"

#include <algorithm>

#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

namespace {
Shape with_rows(const Shape& shape, int64_t rows) {
  auto dims = shape.dims();
  dims[0] = Dim(rows);
  return Shape(std::move(dims));
}

// A value that is the same for all examples because it is repeated along dimension 0.
bool repeats(const Tensor& value) {
  const Node& node = value.node();
  if (!node.is(op::broadcast_to)) return false;
  const Shape& from = node.inputs[0].shape();
  return from.rank() < value.rank() || from.size(0) == 1;
}

bool takes_all_rows(const Node& slice) {
  const auto& attrs = slice.attr<SliceAttrs>();
  return slice.outputs[0].shape.rank() > 0 && attrs.step[0] == 1 &&
         slice.outputs[0].shape.size(0) == slice.inputs[0].shape().size(0);
}
}  // namespace

Examples::Examples(const Graph& graph, int64_t batch) : batch_(batch) {
  for (const Node* node : topological_order(graph)) {
    Rows rows = rows_of(*node);
    if (!rows) {
      apart_ = false;
      return;
    }
    for (size_t i = 0; i < rows->size(); ++i) rows_[{node, static_cast<int>(i)}] = (*rows)[i];
  }
}

int64_t Examples::rows_of_shape(const Shape& shape) const {
  bool has = shape.rank() > 0 && shape.size(0) > 0 && shape.size(0) % batch_ == 0;
  return has ? shape.size(0) / batch_ : 0;
}

Examples::Rows Examples::rows_of(const Node& node) const {
  if (node.is(op::input)) {
    int64_t rows = rows_of_shape(node.outputs[0].shape);
    return std::vector<int64_t>{rows == 1 ? 1 : 0};
  }
  std::vector<int64_t> in;
  for (const Tensor& input : node.inputs) in.push_back(rows(input));
  bool any = std::any_of(in.begin(), in.end(), [](int64_t rows) { return rows > 0; });
  if (!any) return std::vector<int64_t>(node.outputs.size(), 0);
  if (!node.subgraphs.empty()) return std::nullopt;
  auto same = [&](int64_t rows) { return Rows(std::vector<int64_t>(node.outputs.size(), rows)); };
  auto alone = [&] {  // the first input alone is of examples
    return std::all_of(in.begin() + 1, in.end(), [](int64_t rows) { return rows == 0; });
  };
  const Shape& shape = node.outputs[0].shape;
  if (node.op->elementwise || node.is(op::concat)) {
    if (node.is(op::concat) && node.attr<AxisAttrs>().axis == 0) return std::nullopt;
    int64_t rows = *std::max_element(in.begin(), in.end());
    for (size_t i = 0; i < in.size(); ++i) {
      if (in[i] != rows && !repeats(node.inputs[i])) return std::nullopt;
    }
    return same(rows);
  }
  if (node.is(op::conv) || node.is(op::max_pool) || node.is(op::avg_pool) ||
      node.is(op::batch_norm_inference)) {
    return in[0] == 1 && alone() ? same(1) : std::nullopt;
  }
  if (node.is(op::matmul)) {
    bool rows_stay = node.inputs[0].rank() > 2 || !node.attr<MatmulAttrs>().transpose_a;
    bool fits = alone() && rows_stay && node.inputs[1].rank() == 2 && in[0] > 0;
    return fits ? same(in[0]) : std::nullopt;
  }
  if (node.is(op::reduce_sum) || node.is(op::reduce_max) || node.is(op::reduce_min) ||
      node.is(op::reduce_prod)) {
    const auto& axes = node.attr<ReduceAttrs>().axes;
    bool within = std::find(axes.begin(), axes.end(), 0) == axes.end();
    return within ? same(in[0]) : std::nullopt;
  }
  if (node.is(op::transpose))
    return node.attr<TransposeAttrs>().permutation[0] == 0 ? same(in[0]) : std::nullopt;
  if (node.is(op::slice)) return takes_all_rows(node) ? same(in[0]) : std::nullopt;
  if (node.is(op::reshape)) {
    int64_t rows = rows_of_shape(shape);
    return rows > 0 ? same(rows) : std::nullopt;
  }
  if (node.is(op::broadcast_to)) {
    const Shape& from = node.inputs[0].shape();
    bool kept = from.rank() == shape.rank() && from.size(0) == shape.size(0);
    return kept ? same(in[0]) : std::nullopt;
  }
  return std::nullopt;
}

Graph Examples::part_of(const Graph& graph, int64_t part) const {
  return rewrite(graph,
                 [&](const Node& node,
                     const std::vector<Tensor>& inputs) -> std::optional<std::vector<Tensor>> {
                   auto of_examples = [&](const Tensor& value) { return rows(value) > 0; };
                   if (node.is(op::input)) {
                     if (rows_.at({&node, 0}) == 0) return std::nullopt;
                     Type type = node.outputs[0];
                     type.shape = with_rows(type.shape, part);
                     return {{make_input(type, node.attr<InputAttrs>().name)}};
                   }
                   if (std::none_of(node.inputs.begin(), node.inputs.end(), of_examples))
                     return std::nullopt;
                   std::vector<Tensor> in = inputs;
                   int64_t rows = 0;
                   for (size_t i = 0; i < in.size(); ++i) {
                     if (of_examples(node.inputs[i])) rows = in[i].shape().size(0);
                   }
                   Attrs attrs = node.attrs;
                   if (node.op->elementwise || node.is(op::concat)) {
                     for (size_t i = 0; i < in.size(); ++i) {
                       if (of_examples(node.inputs[i])) continue;
                       in[i] = make(op::broadcast_to, {in[i].node().inputs[0]},
                                    ShapeAttrs{with_rows(in[i].shape(), rows)});
                     }
                   } else if (node.is(op::slice)) {
                     SliceAttrs all_rows = node.attr<SliceAttrs>();
                     all_rows.end[0] = rows;
                     attrs = all_rows;
                   } else if (node.is(op::reshape) || node.is(op::broadcast_to)) {
                     const Shape& shape = node.outputs[0].shape;
                     attrs = ShapeAttrs{with_rows(shape, shape.size(0) / batch_ * part)};
                   }
                   return make_node(*node.op, std::move(in), std::move(attrs));
                 });
}

}  // namespace wafer
