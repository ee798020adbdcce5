#pragma once
#include <memory>
#include <vector>

#include "wafer/models/saved_model.h"
#include "wafer/pass/precision.h"
#include "wafer/runtime/device.h"

namespace wafer::models {

// Runs a model on inputs that are prepared already.
class Predictor {
 public:
  // Automatic: bf16 where the device multiplies it in hardware and the first inputs' outputs agree
  // with those of f32.
  explicit Predictor(Model& model, std::shared_ptr<Device> device = nullptr,
                     Precision precision = Precision::f32);

  // inputs: [batch, ...] as the model takes them. Result: the model's output as f64, row-major.
  std::vector<double> run(const Tensor& inputs);
  // Values of each example's output in the last result.
  int64_t outputs_per_example() const { return outputs_per_example_; }
  // Automatic until the first run.
  Precision precision() const { return precision_; }

 private:
  struct Compiled {
    Type input;
    Precision precision;
    std::shared_ptr<const Artifact> artifact;
  };
  std::vector<double> run_in(Precision precision, const Tensor& inputs);
  const Artifact& artifact_for(const Type& input, Precision precision);

  Model& model_;
  std::shared_ptr<Device> device_;
  Precision precision_;
  std::vector<std::shared_ptr<Storage>> weights_;
  std::vector<Compiled> compiled_;  // the latest last; weights are part of them
  int64_t outputs_per_example_ = 0;
};

struct SampleOptions {
  int64_t length = 500;      // characters
  double temperature = 0.8;  // 0: always the most probable
  int64_t top_k = 0;         // 0: all
  uint64_t seed = 0;
};
// Text that goes on from `prompt`, character by character, by a model of next tokens.
std::string sample_text(Predictor& predictor, const data::InputSpec& input,
                        const std::string& prompt, const SampleOptions& options);

}  // namespace wafer::models
