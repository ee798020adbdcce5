#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "wafer/deploy/onnx/limits.h"
#include "wafer/deploy/onnx/model.h"
#include "wafer/ir/graph.h"
#include "wafer/runtime/device.h"

namespace wafer::onnx {

// An ONNX model ready to run: IR versions 3 to 13, operator sets up to 27; docs/onnx.md lists the
// operators.
class Session {
 public:
  explicit Session(std::shared_ptr<const ModelDef> model);
  // From a file; see read_model.
  explicit Session(const std::filesystem::path& path) : Session(read_model(path)) {}

  const ModelDef& model() const { return *model_; }
  // What a caller gives: the graph's inputs without those that initializers give.
  const std::vector<ValueInfo>& inputs() const { return inputs_; }
  const std::vector<ValueInfo>& outputs() const { return model_->graph.outputs; }

  // The whole model as one graph for inputs of these types: what is compiled once and replayed,
  // differentiated and saved. UserError naming node, operator and version where shapes or the
  // course of the graph depend on the inputs' values.
  Graph graph(const std::vector<Type>& inputs) const;
  // The same with the weights as the graph's first inputs, to be trained or frozen: the floating
  // initializers of more than 8 elements (smaller ones may set shapes).
  struct WeightedGraph {
    Graph graph;                     // inputs: weights, then the model's inputs
    std::vector<Tensor> weights;     // their values
    std::vector<std::string> names;  // the initializers' names
  };
  WeightedGraph graph_with_weights(const std::vector<Type>& inputs) const;
  // The model to be trained, for a batch of any size (the symbol `batch`). Parameters are the f32
  // initializers and constants that layers multiply by or add; running means and variances of batch
  // norms, and what inputs are normalised by, are buffers; all else stays constant. Batch norm and
  // dropout stay as in inference.
  struct TrainableGraph {
    Graph graph;            // inputs: parameters, buffers, the batch; outputs: the model's
    size_t parameters = 0;  // how many of the inputs
    std::map<std::string, Tensor> values;  // of parameters and buffers, by the inputs' names
    std::vector<std::string> notes;        // what a user should know: lines
  };
  // `example`: one input without its batch, f32 or i64. UserError where the model takes another
  // number, type or shape of inputs, holds nothing to train, or is only for one size of batch.
  TrainableGraph trainable_graph(const Type& example) const;
  // The types for graph(): dimensions as the file states them, symbols taken from `dims` ("batch"
  // to 8) or, without an entry, `otherwise`. UserError for inputs that are no tensors of numbers.
  std::vector<Type> input_types(const std::map<std::string, int64_t>& dims,
                                int64_t otherwise) const;

  struct Outputs {
    std::vector<Value> values;
    int segments = 1;  // graphs that were compiled one after another; 1: the whole could be one
  };
  // Runs the model once, whatever it holds: where shapes or the course depend on computed values,
  // strings or sequences, what lies between is compiled piece by piece.
  // UserError for inputs that do not fit what the file states, and beyond the limits.
  Outputs run(const std::vector<Value>& inputs, std::shared_ptr<Device> device = nullptr,
              const Limits& limits = {}) const;

 private:
  Graph trace_with(const std::vector<std::string>& weights, const std::vector<Tensor>& values,
                   const std::vector<Type>& inputs) const;

  std::shared_ptr<const ModelDef> model_;
  std::vector<ValueInfo> inputs_;
};

// Names of the operators that there are rules for, as "Add" or "ai.onnx.ml.Binarizer".
std::vector<std::string> supported_operators();

}  // namespace wafer::onnx
