#include "wafer/pass/batch_parts.h"

#include <algorithm>
#include <map>

#include "wafer/op/control_flow.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"
#include "wafer/pass/value.h"

namespace wafer {

namespace {
// Operations of convolutions and products for each value that they read and write of a batch, below
// which memory decides: 46 in MobileNetV2, 720 in ResNet-18. A small CNN of 136 lost a tenth.
constexpr double few_operations = 80;

constexpr int most_dimensions = 8;  // of a Shape

Shape with_rows(const Shape& shape, int64_t rows) {
  auto dims = shape.dims();
  dims[0] = Dim(rows);
  return Shape(std::move(dims));
}

bool moves_much(const Node& node) {
  return node.is(op::conv) || node.is(op::matmul) || node.is(op::max_pool) || node.is(op::avg_pool);
}

// Which values have a row, or several, for each example of a batch along dimension 0.
class Examples {
 public:
  Examples(const Graph& graph, int64_t batch) : batch_(batch) {
    for (const Node* node : topological_order(graph)) {
      std::optional<std::vector<int64_t>> rows = rows_of(*node);
      if (!rows) {
        apart_ = false;
        return;
      }
      for (size_t i = 0; i < rows->size(); ++i) rows_[{node, static_cast<int>(i)}] = (*rows)[i];
      if (moves_much(*node) && (*rows)[0] > 0) measure(*node);
    }
  }

  // Whether no example depends on another.
  bool apart() const { return apart_; }
  // Rows for each example; 0: the value is the same for all.
  int64_t rows(const Tensor& value) const { return rows_.at(key(value)); }
  double operations_per_value() const { return operations_ / std::max(values_, 1.0); }
  // Bytes of one example, read and written by the step that moves most.
  double largest_step() const { return largest_ / static_cast<double>(batch_); }
  // Convolutions, products and pools.
  int steps() const { return steps_; }
  // Bytes of the batch that they move, and of what all examples share.
  double moved() const { return moved_; }
  double shared() const { return shared_; }

 private:
  using Rows = std::optional<std::vector<int64_t>>;

  int64_t rows_of_shape(const Shape& shape) const {
    bool has = shape.rank() > 0 && shape.size(0) > 0 && shape.size(0) % batch_ == 0;
    return has ? shape.size(0) / batch_ : 0;
  }

  void measure(const Node& node) {
    const Type &in = node.inputs[0].type(), &out = node.outputs[0];
    auto bytes = static_cast<double>(in.bytes() + out.bytes());
    operations_ += cost(node).flops;
    values_ += static_cast<double>(in.elements() + out.elements());
    ++steps_;
    moved_ += bytes;
    for (size_t i = 1; i < node.inputs.size(); ++i)
      shared_ += static_cast<double>(node.inputs[i].type().bytes());
    largest_ = std::max(largest_, bytes);
  }

  // One entry for each output; nothing where examples are mixed or the op is unknown here.
  Rows rows_of(const Node& node) const {
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

  // A value that is the same for all examples because it is repeated along dimension 0.
  static bool repeats(const Tensor& value) {
    const Node& node = value.node();
    if (!node.is(op::broadcast_to)) return false;
    const Shape& from = node.inputs[0].shape();
    return from.rank() < value.rank() || from.size(0) == 1;
  }

  int64_t batch_;
  bool apart_ = true;
  std::map<Value, int64_t> rows_;
  int steps_ = 0;
  double operations_ = 0, values_ = 0, largest_ = 0, moved_ = 0, shared_ = 0;
};

// The graph for `part` of `batch` examples.
Graph part_of(const Graph& graph, const Examples& examples, int64_t batch, int64_t part) {
  return rewrite(graph,
                 [&](const Node& node,
                     const std::vector<Tensor>& inputs) -> std::optional<std::vector<Tensor>> {
                   auto of_examples = [&](const Tensor& value) { return examples.rows(value) > 0; };
                   if (node.is(op::input)) {
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
                   } else if (node.is(op::reshape) || node.is(op::broadcast_to)) {
                     const Shape& shape = node.outputs[0].shape;
                     attrs = ShapeAttrs{with_rows(shape, shape.size(0) / batch * part)};
                   }
                   return make_node(*node.op, std::move(in), std::move(attrs));
                 });
}

bool known_types(const Graph& graph) {
  for (const Node* node : topological_order(graph)) {
    for (const Type& type : node->outputs) {
      if (!type.shape.is_static() || type.layout != Layout::row_major) return false;
    }
  }
  return true;
}
}  // namespace

Graph run_batch_in_parts(const Graph& graph, size_t cache_bytes) {
  bool in_place = std::any_of(graph.alias.begin(), graph.alias.end(), [](int a) { return a >= 0; });
  if (in_place || graph.inputs.empty() || graph.outputs.empty() || !known_types(graph))
    return graph;
  const Shape& first = graph.inputs[0].shape();
  int64_t batch = first.rank() > 0 ? first.size(0) : 0;
  if (batch < 2) return graph;
  Examples examples(graph, batch);
  // One step alone leaves nothing to the next.
  if (!examples.apart() || examples.steps() < 2 || examples.moved() == 0 ||
      examples.operations_per_value() >= few_operations)
    return graph;
  // Weights that are no constants would be prepared again for each part. A scan over parts has one
  // dimension more.
  auto fits = [&](const Tensor& value) {
    return examples.rows(value) > 0 && value.rank() < most_dimensions;
  };
  if (!std::all_of(graph.inputs.begin(), graph.inputs.end(), fits) ||
      !std::all_of(graph.outputs.begin(), graph.outputs.end(), fits))
    return graph;
  auto room = static_cast<int64_t>(static_cast<double>(cache_bytes) / examples.largest_step());
  int64_t part = std::min(batch, room);
  while (part > 1 && batch % part != 0) --part;
  // A batch without a divisor near to what fits would run in crumbs.
  if (part < 1 || part == batch || 4 * part < room) return graph;
  // Each part reads what all share.
  if (static_cast<double>(batch / part - 1) * examples.shared() > examples.moved()) return graph;

  Graph body = part_of(graph, examples, batch, part);
  Dim parts(batch / part);
  // A scan takes elements along dimension 0 of its inputs.
  std::vector<Tensor> taken;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    auto dims = body.inputs[i].shape().dims();
    dims.insert(dims.begin(), parts);
    taken.push_back(make(op::reshape, {graph.inputs[i]}, ShapeAttrs{Shape(std::move(dims))}));
  }
  ScanAttrs attrs{.carries = 0, .xs = static_cast<int64_t>(taken.size()), .length = parts.value()};
  body.alias.clear();
  Graph result{graph.inputs, {}, {}};
  std::vector<Tensor> stacked = make_node(op::scan, std::move(taken), attrs,
                                          {std::make_shared<const Graph>(std::move(body))});
  for (size_t i = 0; i < stacked.size(); ++i)
    result.outputs.push_back(make(op::reshape, {stacked[i]}, ShapeAttrs{graph.outputs[i].shape()}));
  return result;
}

}  // namespace wafer
