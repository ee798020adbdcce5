#pragma once
#include <memory>
#include <string>
#include <vector>

#include "wafer/nn/module.h"

namespace wafer::nn {

// Layers called one after the other:
//   nn::Sequential net;
//   net.append<nn::Linear>(784, 128).append<nn::ReLU>().append<nn::Linear>(128, 10);
// Children are named "0", "1", ... as in PyTorch unless a name is given.
class Sequential : public UnaryModule {
 public:
  Sequential() = default;

  template <class Layer, class... Args>
  Sequential& append(Args&&... args) {
    return append(std::make_unique<Layer>(std::forward<Args>(args)...));
  }
  Sequential& append(std::unique_ptr<UnaryModule> layer, const std::string& name = "");

  Tensor forward(const Tensor& x) override;
  size_t size() const { return layers_.size(); }
  UnaryModule& operator[](size_t index) { return *layers_.at(index); }

 private:
  std::vector<std::unique_ptr<UnaryModule>> layers_;
};

}  // namespace wafer::nn
