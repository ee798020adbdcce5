#pragma once
#include <memory>
#include <string>
#include <vector>

#include "wafer/nn/linear.h"

namespace wafer::models {

struct MlpOptions {
  int64_t in = 784, outputs = 10;
  std::vector<int64_t> hidden = {512, 256};
  std::string activation = "relu";  // relu, gelu, silu, tanh or sigmoid
  double dropout = 0;               // after each hidden layer
};

// A multi-layer perceptron: linear layers fc1, fc2, ... with an activation between. [batch, ...] is
// flattened to [batch, in] -> [batch, outputs].
class Mlp : public nn::UnaryModule {
 public:
  explicit Mlp(const MlpOptions& options = {});
  Tensor forward(const Tensor& x) override;

 private:
  std::vector<std::unique_ptr<nn::Linear>> layers_;
  std::unique_ptr<nn::UnaryModule> activation_;
  nn::Dropout dropout_;
};

// An activation layer by its op's name; UserError with "did you mean" otherwise.
std::unique_ptr<nn::UnaryModule> make_activation(const std::string& name);
const std::vector<std::string>& activation_names();

}  // namespace wafer::models
