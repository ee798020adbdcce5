#include "wafer/models/predictor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "wafer/base/philox.h"
#include "wafer/pass/freeze.h"
#include "wafer/runtime/registry.h"
#include "wafer/train/step.h"

namespace wafer::models {

Predictor::Predictor(Model& model, std::shared_ptr<Device> device, Precision precision)
    : model_(model), device_(device ? std::move(device) : default_device()), precision_(precision) {
  auto take = [&](const Tensor& value) {
    value.eval();
    size_t bytes = value.type().bytes();
    weights_.push_back(device_->allocate(bytes));
    copy_to_device(*device_, *value.storage(), *weights_.back(), bytes);
  };
  for (const auto& slot : model.module->named_parameters()) take(*slot.value);
  for (const auto& slot : model.module->named_buffers()) take(*slot.value);
}

std::vector<double> Predictor::run(const Tensor& inputs) {
  if (precision_ != Precision::automatic) return run_in(precision_, inputs);
  std::vector<double> exact = run_in(Precision::f32, inputs);
  precision_ = Precision::f32;
  Precision narrow = narrow_precision(device_->info());
  if (narrow == Precision::f32) return exact;
  std::vector<double> rounded = run_in(narrow, inputs);
  double largest = 0, off = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    if (!std::isfinite(rounded[i])) return exact;
    largest = std::max(largest, std::abs(exact[i]));
    off = std::max(off, std::abs(exact[i] - rounded[i]));
  }
  if (!(off <= 0.05 * largest)) return exact;
  precision_ = narrow;
  return rounded;
}

const Artifact& Predictor::artifact_for(const Type& input, Precision precision) {
  for (const Compiled& one : compiled_) {
    if (one.input == input && one.precision == precision) return *one.artifact;
  }
  constexpr size_t most = 4;  // each holds the weights
  if (compiled_.size() == most) compiled_.erase(compiled_.begin());
  nn::UnaryModule* module = model_.module.get();
  Graph graph = inference_graph(
      *module, [module](const Tensor& x) { return (*module)(x); }, input);
  graph = freeze(graph, weights_, *device_, precision);
  compiled_.push_back({input, precision, device_->target().compile(graph, {})});
  return *compiled_.back().artifact;
}

std::vector<double> Predictor::run_in(Precision precision, const Tensor& inputs) {
  const Artifact& artifact = artifact_for(inputs.type(), precision);
  inputs.eval();
  std::vector<std::shared_ptr<Storage>> arguments = {inputs.storage()};
  auto outputs = execute(*device_, artifact, arguments);
  device_->synchronize();
  const Type& type = artifact.outputs[0];
  outputs_per_example_ = type.elements() / std::max<int64_t>(inputs.size(0), 1);
  std::vector<std::byte> bytes(type.bytes());
  device_->copy_to_host(*outputs[0], bytes.data(), bytes.size());
  std::vector<double> values;
  visit(type.dtype, [&]<class T>(std::type_identity<T>) {
    auto* data = reinterpret_cast<const T*>(bytes.data());
    for (int64_t i = 0; i < type.elements(); ++i) values.push_back(static_cast<double>(data[i]));
  });
  return values;
}

namespace {
int64_t draw(std::vector<double> logits, const SampleOptions& options, RandomStream& random) {
  auto best = std::max_element(logits.begin(), logits.end());
  if (options.temperature <= 0) return best - logits.begin();
  double greatest = *best, least = -INFINITY;
  if (options.top_k > 0 && options.top_k < static_cast<int64_t>(logits.size())) {
    std::vector<double> sorted = logits;
    std::nth_element(sorted.begin(), sorted.begin() + (options.top_k - 1), sorted.end(),
                     std::greater<>());
    least = sorted[static_cast<size_t>(options.top_k - 1)];
  }
  double total = 0;
  for (double& logit : logits)
    total += logit = logit < least ? 0 : std::exp((logit - greatest) / options.temperature);
  double at = static_cast<double>(random.uniform()) * total;
  for (size_t i = 0; i < logits.size(); ++i) {
    if ((at -= logits[i]) < 0) return static_cast<int64_t>(i);
  }
  return static_cast<int64_t>(logits.size()) - 1;
}
}  // namespace

std::string sample_text(Predictor& predictor, const data::InputSpec& input,
                        const std::string& prompt, const SampleOptions& options) {
  WAFER_REQUIRE(input.description.task == data::Task::next_token, "sample",
                "the model does not continue text");
  std::vector<int64_t> tokens = data::tokenise(input, prompt.empty() ? "\n" : prompt);
  auto window = static_cast<size_t>(input.description.shape.at(0));
  auto classes = static_cast<size_t>(input.description.classes.size());
  RandomStream random(options.seed);
  std::vector<int64_t> context(window, tokens[0]);
  for (int64_t n = 0; n < options.length; ++n) {
    // The last `window` tokens at the front; what is behind them cannot be seen by a causal model.
    size_t used = std::min(tokens.size(), window);
    std::copy(tokens.end() - static_cast<std::ptrdiff_t>(used), tokens.end(), context.begin());
    Tensor inputs = Tensor::from_values(context, Shape{1, static_cast<int64_t>(window)});
    std::vector<double> output = predictor.run(inputs);
    auto at = output.begin() + static_cast<std::ptrdiff_t>((used - 1) * classes);
    tokens.push_back(draw({at, at + static_cast<std::ptrdiff_t>(classes)}, options, random));
  }
  return data::detokenise(input, tokens);
}

}  // namespace wafer::models
