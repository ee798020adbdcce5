#include "wafer/op/composite.h"
#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/index.h"
#include "wafer/op/loss.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer {

namespace {
using Tensors = std::vector<Tensor>;

int class_axis(const Tensor& logits) {
  return logits.rank() == 1 ? 0 : 1;
}

Shape without_classes(const Tensor& logits) {
  auto dims = logits.shape().dims();
  dims.erase(dims.begin() + class_axis(logits));
  return Shape(std::move(dims));
}

bool is_index(const Tensor& targets) {
  return targets.dtype() == DType::i64 || targets.dtype() == DType::i32;
}

std::string mend_targets(const Tensor& logits, const Tensor& targets) {
  const Shape positions = without_classes(logits);
  if (is_index(targets) && targets.shape() == logits.shape()) {
    return "one-hot targets: cast them to the logits' dtype, or pass argmax(targets, 1)";
  }
  if (is_index(targets) && targets.rank() == positions.rank() + 1 &&
      targets.shape()[class_axis(logits)] == Dim(1)) {
    return str("squeeze(targets, ", class_axis(logits), ")");
  }
  if (targets.shape() == positions) return "cast the targets to i64";
  if (is_index(targets) && logits.rank() == 3 && targets.shape().dims().size() == 2 &&
      targets.shape()[0] == logits.shape()[0] && targets.shape()[1] == logits.shape()[1]) {
    return "classes are dimension 1 of the logits: swap_axes(logits, 1, 2)";
  }
  return "";
}

void check(const char* op, const Tensor& logits, const Tensor& targets, const Tensor& weight) {
  require_dtype(is_floating(logits.dtype()), op, logits, "logits of a floating dtype");
  WAFER_REQUIRE(logits.rank() >= 1, op, "the logits are a scalar; expected [batch, classes, ...]");
  const Dim& classes = logits.shape()[class_axis(logits)];
  Shape positions = without_classes(logits);
  bool fits = is_index(targets)
                  ? targets.shape() == positions
                  : targets.dtype() == logits.dtype() && targets.shape() == logits.shape();
  if (!fits) {
    throw UserError(op, "the targets do not fit the logits",
                    {.got = str("logits ", logits.type(), ", targets ", targets.type()),
                     .expected = str("targets i64[", positions, "] (classes) or ", logits.type(),
                                     " (probabilities)"),
                     .hint = mend_targets(logits, targets)});
  }
  WAFER_REQUIRE(!(classes == Dim(0)), op, "the logits ", logits.shape(), " have no classes");
  if (weight && !(weight.shape() == Shape{classes} && weight.dtype() == logits.dtype())) {
    throw UserError(op, "the class weights do not fit the logits",
                    {.got = str("logits ", logits.type(), ", weight ", weight.type()),
                     .expected = str("a weight of ", logits.dtype(), "[", classes, "]")});
  }
}

// Inputs and attributes of a cross_entropy node.
struct Problem {
  Tensor logits, targets, weight;
  CrossEntropyAttrs attrs;

  int axis() const { return class_axis(logits); }
  double classes() const { return static_cast<double>(logits.size(axis())); }
  double share() const { return attrs.label_smoothing / classes(); }  // of each class
  Tensor class_weights() const { return along_channels(weight, logits); }
  Tensor valid() const { return not_equal(targets, scalar_like(targets, ignored())); }
  // A class for every position: 0 where it is ignored.
  Tensor classes_or_zero() const { return where(valid(), targets, scalar_like(targets, 0)); }
  // Weight of each position's class; 0 where it is ignored.
  Tensor target_weights() const {
    Tensor one = weight ? gather(weight, classes_or_zero()) : scalar_like(logits, 1);
    return where(valid(), one, scalar_like(logits, 0));
  }
  // What `mean` divides by, else an empty tensor.
  Tensor divisor() const {
    if (attrs.reduction != "mean") return {};
    if (is_index(targets)) return reduce_sum(target_weights());
    Axes positions;
    for (int i = 0; i < logits.rank(); ++i) {
      if (i != axis()) positions.push_back(i);
    }
    return positions.empty() ? scalar_like(logits, 1) : element_count(logits, positions);
  }
  // Probability targets after smoothing and weighting.
  Tensor weighted_probabilities() const {
    Tensor q = targets;
    if (attrs.label_smoothing != 0) q = q * (1 - attrs.label_smoothing) + share();
    return weight ? q * class_weights() : q;
  }

 private:
  double ignored() const { return static_cast<double>(attrs.ignore_index); }
};

Problem problem_of(const Node& node, const Tensors& in, size_t first_input) {
  bool gradient = first_input == 1;
  size_t weight_at = gradient ? 4 : 2;
  return {in[first_input], in[first_input + 1], in.size() > weight_at ? in[weight_at] : Tensor(),
          node.attr<CrossEntropyAttrs>()};
}

void check_attrs(const CrossEntropyAttrs& attrs) {
  const std::string& reduction = attrs.reduction;
  WAFER_REQUIRE(reduction == "mean" || reduction == "sum" || reduction == "none", "cross_entropy",
                "unknown reduction '", reduction, "'; expected mean, sum or none");
  WAFER_REQUIRE(attrs.label_smoothing >= 0 && attrs.label_smoothing <= 1, "cross_entropy",
                "a label smoothing of ", attrs.label_smoothing, "; expected one in [0, 1]");
}

std::vector<Type> infer_cross_entropy(const InferArgs& args) {
  const Tensor &logits = args.inputs[0], &targets = args.inputs[1];
  check("cross_entropy", logits, targets, args.inputs.size() > 2 ? args.inputs[2] : Tensor());
  check_attrs(args.attrs.as<CrossEntropyAttrs>());
  Shape positions = without_classes(logits);
  bool whole = args.attrs.as<CrossEntropyAttrs>().reduction != "none";
  return {Type{logits.dtype(), whole ? Shape{} : positions}, Type{logits.dtype(), positions}};
}

std::vector<Type> infer_cross_entropy_gradient(const InferArgs& args) {
  const Tensor& logits = args.inputs[1];
  check("cross_entropy_gradient", logits, args.inputs[2],
        args.inputs.size() > 4 ? args.inputs[4] : Tensor());
  check_attrs(args.attrs.as<CrossEntropyAttrs>());
  Type positions{logits.dtype(), without_classes(logits)};
  bool whole = args.attrs.as<CrossEntropyAttrs>().reduction != "none";
  const Tensor &g = args.inputs[0], &normaliser = args.inputs[3];
  WAFER_CHECK(g.dtype() == logits.dtype() && g.shape() == (whole ? Shape{} : positions.shape) &&
                  normaliser.dtype() == logits.dtype() && normaliser.shape() == positions.shape,
              "cross_entropy_gradient: inputs do not fit logits of ", logits.type());
  return {Type{logits.dtype(), logits.shape()}};
}

Tensors decompose_cross_entropy(const Node& node, const Tensors& in) {
  Problem p = problem_of(node, in, 0);
  int axis = p.axis();
  Tensor normaliser = logsumexp(p.logits, {axis});
  Tensor wide = unsqueeze(normaliser, axis);
  Tensor loss;
  if (is_index(p.targets)) {
    Tensor at = unsqueeze(p.classes_or_zero(), axis);
    loss = normaliser - squeeze(gather_elements(p.logits, at, axis), axis);
    if (p.weight) loss = loss * p.target_weights();
    if (p.attrs.label_smoothing != 0) {
      Tensor all = wide - p.logits;
      if (p.weight) all = all * p.class_weights();
      loss = loss * (1 - p.attrs.label_smoothing) + reduce_sum(all, {axis}) * p.share();
    }
    loss = where(p.valid(), loss, scalar_like(loss, 0));
  } else {
    loss = reduce_sum((wide - p.logits) * p.weighted_probabilities(), {axis});
  }
  if (p.attrs.reduction != "none") loss = reduce_sum(loss);
  if (Tensor divisor = p.divisor()) loss = loss / divisor;
  return {loss, normaliser};
}

// The loss's gradient at each position, as it multiplies the position's terms: [batch, 1, ...].
Tensor position_gradient(const Problem& p, const Tensor& loss_gradient) {
  Tensor g = loss_gradient;
  if (Tensor divisor = p.divisor()) g = g / divisor;
  if (g.rank() == 0) g = broadcast_to(g, without_classes(p.logits));
  if (is_index(p.targets)) g = where(p.valid(), g, scalar_like(g, 0));
  return unsqueeze(g, p.axis());
}

// With q the weighted target distribution, the loss of a position is -sum(q log softmax(x)); its
// gradient by x is softmax(x) sum(q) - q.
Tensors decompose_gradient(const Node& node, const Tensors& in) {
  Problem p = problem_of(node, in, 1);
  int axis = p.axis();
  Tensor probability = exp(p.logits - unsqueeze(in[3], axis));
  Tensor q, total;
  if (is_index(p.targets)) {
    Tensor number = along_channels(arange(p.logits.size(axis), p.targets.dtype()), p.logits);
    q = cast(equal(unsqueeze(p.targets, axis), number), p.logits.dtype());
    if (p.attrs.label_smoothing != 0) q = q * (1 - p.attrs.label_smoothing) + p.share();
    if (p.weight) {
      q = q * p.class_weights();
      total = unsqueeze(p.target_weights(), axis) * (1 - p.attrs.label_smoothing) +
              reduce_sum(p.weight) * p.share();
    }
  } else {
    q = p.weighted_probabilities();
    total = reduce_sum(q, {axis}, true);
  }
  if (total) probability = probability * total;
  return {(probability - q) * position_gradient(p, in[0])};
}

Tensors cross_entropy_vjp(const VjpArgs& v) {
  Problem p = problem_of(v.node, v.inputs, 0);
  const Tensor &g = v.output_gradients[0], &normaliser_gradient = v.output_gradients[1];
  Tensor wide = unsqueeze(v.outputs[1], p.axis());
  Tensors result(v.inputs.size());
  if (v.needed[0] && g) {
    Tensors inputs = {g, p.logits, p.targets, v.outputs[1]};
    if (p.weight) inputs.push_back(p.weight);
    result[0] = make(op::cross_entropy_gradient, inputs, v.node.attrs);
  }
  if (v.needed[0] && normaliser_gradient) {
    Tensor more = exp(p.logits - wide) * unsqueeze(normaliser_gradient, p.axis());
    result[0] = result[0] ? result[0] + more : more;
  }
  if (v.needed[1] && g && !is_index(p.targets)) {
    Tensor by_target = (wide - p.logits) * (1 - p.attrs.label_smoothing);
    if (p.weight) by_target = by_target * p.class_weights();
    result[1] = by_target * position_gradient(p, g);
  }
  return result;
}

template <int flops_per_logit>
Cost logits_cost(const Node& node) {
  const Tensor& logits = node.inputs[flops_per_logit == 12 ? 0 : 1];
  return {flops_per_logit * static_cast<double>(logits.elements()), bytes_touched(node)};
}

const char* name_of(Reduction reduction) {
  switch (reduction) {
    case Reduction::mean: return "mean";
    case Reduction::sum: return "sum";
    case Reduction::none: return "none";
    default: throw UserError("cross_entropy", "reduction batch_mean is for kl_div alone");
  }
}
}  // namespace

// The class weights are constants of the loss: they get no gradient.
const OpDef cross_entropy_def = {.name = "cross_entropy",
                                 .infer = infer_cross_entropy,
                                 .vjp = cross_entropy_vjp,
                                 .decompose = decompose_cross_entropy,
                                 .cost = logits_cost<12>,
                                 .read_attrs = Attrs::read<CrossEntropyAttrs>};

const OpDef cross_entropy_gradient_def = {.name = "cross_entropy_gradient",
                                          .infer = infer_cross_entropy_gradient,
                                          .decompose = decompose_gradient,
                                          .cost = logits_cost<13>,
                                          .read_attrs = Attrs::read<CrossEntropyAttrs>};

Tensor cross_entropy(const Tensor& logits, const Tensor& targets,
                     const CrossEntropyOptions& options) {
  WAFER_REQUIRE(logits && targets, "cross_entropy", "logits or targets are an empty tensor");
  Tensors inputs = {logits, targets};
  if (options.weight) inputs.push_back(cast(options.weight, logits.dtype()));
  if (is_floating(targets.dtype()) && is_floating(logits.dtype())) {
    inputs[1] = cast(targets, logits.dtype());
  }
  CrossEntropyAttrs attrs{name_of(options.reduction), options.ignore_index,
                          options.label_smoothing};
  return make_node(op::cross_entropy, inputs, attrs)[0];
}

Tensor nll_loss(const Tensor& log_probabilities, const Tensor& targets,
                const NllLossOptions& options) {
  Tensor weight = options.weight ? cast(options.weight, log_probabilities.dtype()) : Tensor();
  check("nll_loss", log_probabilities, targets, weight);
  require_dtype(is_index(targets), "nll_loss", targets, "classes i64");
  Problem p{
      log_probabilities, targets, weight, {name_of(options.reduction), options.ignore_index, 0}};
  Tensor at = unsqueeze(p.classes_or_zero(), p.axis());
  Tensor picked = squeeze(gather_elements(log_probabilities, at, p.axis()), p.axis());
  // Ignored positions are taken out by where, for 0 times -inf is NaN.
  Tensor loss = where(p.valid(), neg(picked) * p.target_weights(), scalar_like(picked, 0));
  if (options.reduction == Reduction::none) return loss;
  Tensor total = reduce_sum(loss);
  return options.reduction == Reduction::mean ? total / p.divisor() : total;
}

}  // namespace wafer
