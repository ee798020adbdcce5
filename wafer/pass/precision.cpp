#include "wafer/pass/precision.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "wafer/base/strings.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

std::string_view name(Precision precision) {
  switch (precision) {
    case Precision::f32: return "f32";
    case Precision::bf16: return "bf16";
    case Precision::f16: return "f16";
    default: return "auto";
  }
}

Precision precision_by_name(const std::string& text) {
  for (Precision p : {Precision::automatic, Precision::f32, Precision::bf16, Precision::f16}) {
    if (text == name(p)) return p;
  }
  throw UserError(
      "precision",
      str("no precision '", text, "'", did_you_mean(text, {"auto", "f32", "bf16", "f16"})),
      {.expected = "auto, f32, bf16 or f16"});
}

Precision narrow_precision(const DeviceInfo& device) {
  return device.fast_bf16 ? Precision::bf16 : device.fast_f16 ? Precision::f16 : Precision::f32;
}

namespace {
using Tensors = std::vector<Tensor>;

constexpr DType wide = DType::f32;

// What happens to a node's f32 inputs.
enum class Rule {
  lower,    // all become narrow
  follow,   // all become narrow if one of them is already
  widen,    // all become f32
  norm,     // the values follow; weights and statistics stay f32
  look_up,  // the table stays as it is, its rows become narrow
};

// What in f16 overflows, or vanishes, before its operands do.
bool needs_range(const Node& node) {
  static const std::unordered_set<const OpDef*> ops = {
      &op::reduce_sum, &op::exp, &op::expm1, &op::log, &op::log1p, &op::pow, &op::div, &op::tan};
  return ops.count(node.op) > 0;
}

Rule rule_of(const Node& node, DType low) {
  static const std::unordered_map<const OpDef*, Rule> table = {
      {&op::matmul, Rule::lower},
      {&op::conv, Rule::lower},
      {&op::conv_input_gradient, Rule::lower},
      {&op::conv_weight_gradient, Rule::lower},
      {&op::scaled_dot_product_attention, Rule::lower},
      {&op::scaled_dot_product_attention_gradient, Rule::lower},
      {&op::rnn, Rule::lower},
      {&op::lstm, Rule::lower},
      {&op::lstm_gradient, Rule::lower},
      {&op::gru, Rule::lower},
      {&op::gru_gradient, Rule::lower},
      {&op::cross_entropy, Rule::widen},
      {&op::cross_entropy_gradient, Rule::widen},
      {&op::log_softmax, Rule::widen},
      {&op::cumsum, Rule::widen},
      {&op::reduce_prod, Rule::widen},
      {&op::scatter_add, Rule::widen},
      {&op::scatter_elements, Rule::widen},
      {&op::scan, Rule::widen},
      {&op::while_loop, Rule::widen},
      {&op::if_else, Rule::widen},
      {&op::batch_norm, Rule::norm},
      {&op::batch_norm_gradient, Rule::norm},
      {&op::batch_norm_inference, Rule::norm},
      {&op::layer_norm, Rule::norm},
      {&op::layer_norm_gradient, Rule::norm},
      {&op::rms_norm, Rule::norm},
      {&op::rms_norm_gradient, Rule::norm},
      {&op::gather, Rule::look_up},
  };
  for (const char* scope : {"loss", "metrics", "optimizer"}) {
    std::string_view path = node.path, word = scope;
    if (path.substr(0, word.size()) == word &&
        (path.size() == word.size() || path[word.size()] == '.'))
      return Rule::widen;
  }
  if (low == DType::f16 && needs_range(node)) return Rule::widen;
  auto found = table.find(node.op);
  return found == table.end() ? Rule::follow : found->second;
}

// How many of a norm's first inputs are values (the gradient and x, or x); the rest are weights and
// statistics of one dtype, of which there may be none.
size_t values_of_norm(const Node& node) {
  bool gradient = node.is(op::batch_norm_gradient) || node.is(op::layer_norm_gradient) ||
                  node.is(op::rms_norm_gradient);
  return gradient ? 2 : 1;
}

class Lowering {
 public:
  explicit Lowering(DType low) : low_(low) {}

  Graph run(const Graph& graph) {
    Graph result =
        rewrite(graph, [&](const Node& node, const Tensors& in) { return lowered(node, in); });
    for (size_t i = 0; i < result.outputs.size(); ++i)
      result.outputs[i] = in_dtype(result.outputs[i], graph.outputs[i].dtype());
    return result;
  }

 private:
  std::optional<Tensors> lowered(const Node& node, const Tensors& in) {
    if (in.empty()) return std::nullopt;
    auto is_wide = [&](size_t i) { return node.inputs[i].dtype() == wide; };
    auto is_lowered = [&](size_t i) { return is_wide(i) && in[i].dtype() == low_; };
    bool any_lowered = false, any_wide = false;
    for (size_t i = 0; i < in.size(); ++i) {
      any_lowered = any_lowered || is_lowered(i);
      any_wide = any_wide || is_wide(i);
    }
    if (!any_wide && node.subgraphs.empty()) return std::nullopt;
    Tensors inputs = in;
    auto bring = [&](DType dtype, size_t from, size_t to) {
      for (size_t i = from; i < to; ++i) {
        if (is_wide(i)) inputs[i] = in_dtype(in[i], dtype);
      }
    };
    switch (rule_of(node, low_)) {
      case Rule::lower: bring(low_, 0, in.size()); break;
      case Rule::widen: bring(wide, 0, in.size()); break;
      case Rule::follow:
        if (!any_lowered) return std::nullopt;
        if (node.is(op::cast)) break;
        if (!constants_fit(in)) {
          bring(wide, 0, in.size());
          break;
        }
        bring(low_, 0, in.size());
        break;
      case Rule::norm: {
        if (!any_lowered) return std::nullopt;
        size_t values = values_of_norm(node);
        bool weighted = in.size() > values && !is_unweighted_gradient(node);
        bring(weighted ? low_ : wide, 0, values);
        bring(wide, values, in.size());
        break;
      }
      case Rule::look_up: {
        if (!is_wide(0)) return std::nullopt;
        bool table = in[0].node().is(op::input);
        Tensor rows = make_node(*node.op, in, node.attrs)[0];
        return Tensors{table ? in_dtype(rows, low_) : rows};
      }
    }
    auto subgraphs = node.subgraphs;
    for (auto& subgraph : subgraphs)
      subgraph = std::make_shared<const Graph>(Lowering(low_).run(*subgraph));
    return make_node(*node.op, std::move(inputs), node.attrs, std::move(subgraphs));
  }

  // Whether the numbers among a node's inputs are none that become 0 or infinite.
  bool constants_fit(const Tensors& in) const {
    return low_ != DType::f16 || std::all_of(in.begin(), in.end(), [](const Tensor& x) {
             const Node& node =
                 x.node().is(op::broadcast_to) ? x.node().inputs[0].node() : x.node();
             if (!node.is(op::constant)) return true;
             auto value = constant_value(node);
             if (!value || *value == 0 || !std::isfinite(*value)) return true;
             double size = std::abs(*value);
             return size >= 6.2e-5 && size <= 65504;  // the least normal, the greatest
           });
  }

  // Without weights the statistics have the values' dtype: such norms are computed in f32 as they
  // are.
  static bool is_unweighted_gradient(const Node& node) {
    return (node.is(op::layer_norm_gradient) && node.inputs.size() == 4) ||
           (node.is(op::rms_norm_gradient) && node.inputs.size() == 3);
  }

  Tensor in_dtype(const Tensor& x, DType dtype) {
    if (x.dtype() == dtype) return x;
    const Node& node = x.node();
    // What is only repeated is cast where it is small; a number stays a constant.
    if (node.is(op::constant) && x.elements() == 1 && x.rank() == 0) {
      if (auto value = constant_value(node)) return scalar_of(*value, dtype);
    }
    auto& made = made_[&node];
    for (const auto& [from, to] : made) {
      if (from == x && to.dtype() == dtype) return to;
    }
    Tensor result = node.is(op::broadcast_to)
                        ? broadcast_to(in_dtype(node.inputs[0], dtype), x.shape())
                        : cast(x, dtype);
    made.emplace_back(x, result);
    return result;
  }

  // Of a constant of one f32.
  static std::optional<double> constant_value(const Node& node) {
    if (node.outputs[0].dtype != wide) return std::nullopt;
    auto bytes = small_constant(node, sizeof(float));
    if (!bytes || bytes->size() != sizeof(float)) return std::nullopt;
    float value;
    std::copy(bytes->begin(), bytes->end(), reinterpret_cast<std::byte*>(&value));
    return static_cast<double>(value);
  }

  static Tensor scalar_of(double value, DType dtype) {
    return visit(dtype, [&]<class T>(std::type_identity<T>) {
      return Tensor::from_values(std::vector<T>{static_cast<T>(value)}, Shape{});
    });
  }

  DType low_;
  // Per value, its copies in another dtype.
  std::unordered_map<const Node*, std::vector<std::pair<Tensor, Tensor>>> made_;
};
}  // namespace

Graph apply_precision(const Graph& graph, Precision precision) {
  WAFER_CHECK(precision != Precision::automatic, "a precision has to be chosen first");
  if (precision == Precision::f32) return graph;
  return Lowering(precision == Precision::bf16 ? DType::bf16 : DType::f16).run(graph);
}

}  // namespace wafer
