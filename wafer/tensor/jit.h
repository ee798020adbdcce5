#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "wafer/ir/graph.h"
#include "wafer/runtime/device.h"

namespace wafer {

// A function of tensors, traced once into a graph.
using TensorFunction = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;

// Runs `function` on placeholders of the given types and returns what it recorded. Values from
// outside that have memory are kept as constants of the graph; an outside value that has none is
// computed first.
Graph trace(const TensorFunction& function, const std::vector<Type>& inputs,
            const std::vector<std::string>& names = {});

// A traced function that compiles once for each set of input types and device, and replays after.
class Jit {
 public:
  explicit Jit(TensorFunction function, std::shared_ptr<Device> device = nullptr);
  std::vector<Tensor> operator()(const std::vector<Tensor>& arguments);

 private:
  struct Entry {
    std::vector<Type> types;
    std::shared_ptr<const Artifact> artifact;
  };
  TensorFunction function_;
  std::shared_ptr<Device> device_;
  std::vector<Entry> entries_;
};

// True while a trace runs in this thread; reading a value is then an error.
bool tracing();

}  // namespace wafer
