#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "wafer/deploy/onnx/model.h"
#include "wafer/ir/graph.h"

namespace wafer::onnx {

struct ExportOptions {
  int64_t opset = 0;           // the operator set, 17 to 27; 0: the newest, 27
  bool external_data = false;  // see write_model
  std::string name = "wafer";  // of the graph in the file
};

// One input of a graph as the file has it.
struct ExportInput {
  std::string name;
  // What an initializer gives (a weight), written where something reads it; empty: the caller gives
  // it.
  Tensor value = {};
};

// The graph in ONNX's operators. Composite ops that ONNX has become one node (Conv, Gemm, LSTM,
// LayerNormalization, ...), others are decomposed; symbolic dimensions keep their names (dim_param)
// and outputs follow the inputs' sizes. `inputs` and `outputs` name the graph's, in its order.
// UserError for an operator set out of range, equal names, and naming op, module path and reason
// for what ONNX cannot say: the random numbers of random_uniform and random_normal.
std::shared_ptr<const ModelDef> to_onnx(const Graph& graph, const std::vector<ExportInput>& inputs,
                                        const std::vector<std::string>& outputs,
                                        const ExportOptions& options = {});

// The same into a file, with write_model, whose result it returns.
std::filesystem::path export_model(const std::filesystem::path& path, const Graph& graph,
                                   const std::vector<ExportInput>& inputs,
                                   const std::vector<std::string>& outputs,
                                   const ExportOptions& options = {});

// How an op reaches a file: "Conv", "decomposed" or why it does not, for the documentation; one
// entry for each op of ops.def.
struct ExportedOp {
  std::string op, how;
};
std::vector<ExportedOp> exported_ops();

}  // namespace wafer::onnx
