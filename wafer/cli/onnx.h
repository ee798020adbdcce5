#pragma once
#include <string>
#include <vector>

#include "wafer/cli/command.h"
#include "wafer/ir/graph.h"
#include "wafer/pass/precision.h"

namespace wafer::cli {

// True for names of ONNX files.
bool is_onnx(const std::string& model);

// What check says about an ONNX file: what it holds, whether it compiles as one graph, and what one
// example costs.
Outcome check_onnx(const std::string& path, int64_t batch);

// Runs an ONNX file on arrays in .npy files, one for each input, in order or as name=file.npy, or
// in one .npz that has them by name. Outputs are printed, and written to `folder` as <name>.npy
// where one is given.
Outcome infer_onnx(const std::string& path, const std::vector<std::string>& files,
                   const std::string& folder);

// The file's graph for inference of a batch, its weights frozen.
Graph onnx_graph(const std::string& path, int64_t batch, Precision precision);

}  // namespace wafer::cli
