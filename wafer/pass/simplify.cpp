#include "wafer/pass/simplify.h"

#include <algorithm>
#include <numeric>

#include "wafer/op/elementwise.h"
#include "wafer/op/matmul.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

namespace {
using Result = std::optional<std::vector<Tensor>>;

bool produced_by(const Tensor& x, const OpDef& def) {
  return x.node().is(def);
}
const Tensor& source(const Tensor& x) {
  return x.node().inputs[0];
}

// x + 0 is left alone: it turns -0 into +0, and an optimiser may count on it no more than a reader
// does.
Result simplify_arithmetic(const Node& node, const std::vector<Tensor>& in) {
  if (node.is(op::mul)) {
    if (is_constant_value(in[1], 1)) return {{in[0]}};
    if (is_constant_value(in[0], 1)) return {{in[1]}};
  }
  if (node.is(op::div) && is_constant_value(in[1], 1)) return {{in[0]}};
  if (node.is(op::sub) && is_constant_value(in[1], 0)) return {{in[0]}};
  if (node.is(op::neg) && produced_by(in[0], op::neg)) return {{source(in[0])}};
  return std::nullopt;
}

Result simplify_movement(const Node& node, const std::vector<Tensor>& in) {
  if (node.is(op::reshape)) {
    const Shape& shape = node.attr<ShapeAttrs>().shape;
    if (in[0].shape() == shape) return {{in[0]}};
    if (produced_by(in[0], op::reshape)) return {{reshape(source(in[0]), shape)}};
  }
  if (node.is(op::transpose)) {
    const auto& outer = node.attr<TransposeAttrs>().permutation;
    if (produced_by(in[0], op::transpose)) {
      const auto& inner = in[0].node().attr<TransposeAttrs>().permutation;
      std::vector<int64_t> both;
      for (int64_t axis : outer) both.push_back(inner[static_cast<size_t>(axis)]);
      return {{transpose(source(in[0]), both)}};
    }
    // Moving dimensions of 1 only: the elements keep their order.
    std::vector<int64_t> wide;
    for (int64_t axis : outer) {
      if (!(in[0].shape()[static_cast<int>(axis)] == Dim(1))) wide.push_back(axis);
    }
    if (std::is_sorted(wide.begin(), wide.end())) return {{reshape(in[0], node.outputs[0].shape)}};
  }
  if (node.is(op::broadcast_to)) {
    const Shape& shape = node.attr<ShapeAttrs>().shape;
    if (in[0].shape() == shape) return {{in[0]}};
    if (produced_by(in[0], op::broadcast_to)) return {{broadcast_to(source(in[0]), shape)}};
  }
  if (node.is(op::cast)) {
    DType to = node.attr<CastAttrs>().dtype;
    if (in[0].dtype() == to) return {{in[0]}};
    // Back to where it came from, through a dtype that holds all its values.
    if (produced_by(in[0], op::cast) && source(in[0]).dtype() == to && is_floating(to) &&
        is_floating(in[0].dtype()) &&
        (in[0].dtype() == DType::f64 || (in[0].dtype() == DType::f32 && bits(to) < 32))) {
      return {{source(in[0])}};
    }
  }
  return std::nullopt;
}

// The parts of a concat along the axis; else the value itself.
std::vector<Tensor> parts_along(const Tensor& x, int axis) {
  bool joined = produced_by(x, op::concat) && x.node().attr<AxisAttrs>().axis == axis;
  return joined ? x.node().inputs : std::vector<Tensor>{x};
}

// The sum of two values in zeros, where one ends along an axis as the other begins: the gradients
// of a split's parts come so. They are put one after the other; a -0 stays one.
Result join_padded(const Node& node, const std::vector<Tensor>& in) {
  if (!node.is(op::add)) return std::nullopt;
  for (const Tensor& x : in) {
    if (!produced_by(x, op::pad) || !x.shape().is_static()) return std::nullopt;
    const auto& attrs = x.node().attr<PadAttrs>();
    bool plain = std::all_of(attrs.interior.begin(), attrs.interior.end(),
                             [](int64_t count) { return count == 0; });
    if (attrs.value != 0 || !plain) return std::nullopt;
  }
  if (!(in[0].shape() == in[1].shape())) return std::nullopt;
  const auto* first = &in[0].node().attr<PadAttrs>();
  const auto* second = &in[1].node().attr<PadAttrs>();
  int axis = -1;
  for (int d = 0; d < in[0].rank(); ++d) {
    auto at = static_cast<size_t>(d);
    if (first->low[at] == second->low[at] && first->high[at] == second->high[at]) continue;
    if (axis >= 0) return std::nullopt;
    axis = d;
  }
  if (axis < 0) return std::nullopt;
  auto at = static_cast<size_t>(axis);
  Tensor x = source(in[0]), y = source(in[1]);
  if (second->low[at] < first->low[at]) {
    std::swap(x, y);
    std::swap(first, second);
  }
  if (first->low[at] < 0 || second->high[at] < 0 ||
      first->low[at] + x.size(axis) != second->low[at])
    return std::nullopt;
  std::vector<Tensor> parts = parts_along(x, axis), more = parts_along(y, axis);
  parts.insert(parts.end(), more.begin(), more.end());
  Tensor joined = concat(parts, axis);
  std::vector<int64_t> low = first->low, high = first->high;
  high[at] = second->high[at];
  auto none = [](int64_t count) { return count == 0; };
  if (std::all_of(low.begin(), low.end(), none) && std::all_of(high.begin(), high.end(), none))
    return {{joined}};
  return {{pad(joined, low, high)}};
}

// True for a transpose that exchanges the last two dimensions and nothing else.
bool exchanges_last_two(const Tensor& x) {
  if (!produced_by(x, op::transpose) || x.rank() < 2) return false;
  auto permutation = x.node().attr<TransposeAttrs>().permutation;
  std::swap(permutation[permutation.size() - 1], permutation[permutation.size() - 2]);
  std::vector<int64_t> identity(permutation.size());
  std::iota(identity.begin(), identity.end(), 0);
  return permutation == identity;
}

Result simplify_matmul(const Node& node, const std::vector<Tensor>& in) {
  if (!node.is(op::matmul)) return std::nullopt;
  MatmulAttrs attrs = node.attr<MatmulAttrs>();
  Tensor a = in[0], b = in[1];
  if (exchanges_last_two(a)) a = source(a), attrs.transpose_a = !attrs.transpose_a;
  if (exchanges_last_two(b)) b = source(b), attrs.transpose_b = !attrs.transpose_b;
  if (a == in[0] && b == in[1]) return std::nullopt;
  return {{make(op::matmul, {a, b}, attrs)}};
}
}  // namespace

Graph simplify(const Graph& graph) {
  return rewrite(graph, [](const Node& node, const std::vector<Tensor>& in) -> Result {
    if (in.empty()) return std::nullopt;
    if (auto result = simplify_arithmetic(node, in)) return result;
    if (auto result = simplify_movement(node, in)) return result;
    if (auto result = join_padded(node, in)) return result;
    return simplify_matmul(node, in);
  });
}

}  // namespace wafer
