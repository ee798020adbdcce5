#pragma once
#include <filesystem>

#include "tests/op/cases.h"
#include "wafer/deploy/onnx/export.h"

// Ops' cases as ONNX files.
namespace wafer::op_tests {

// The graph written as ONNX and read again.
std::shared_ptr<const onnx::ModelDef> read_back(const Graph& graph, int64_t opset);

// The table of docs/onnx-export.md: a row an op.
std::string export_table();

// Each case as <n>/model.onnx with its inputs <n>/x<i>.npy and what the reference device gives,
// <n>/y<i>.npy, for other programs; <folder>/cases.json says what they are.
void write_onnx_cases(const std::filesystem::path& folder, int64_t opset);

}  // namespace wafer::op_tests
