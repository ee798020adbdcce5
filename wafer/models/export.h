#pragma once
#include <filesystem>

#include "wafer/deploy/onnx/export.h"
#include "wafer/models/model.h"

namespace wafer::models {

// The model for inference as an ONNX file: input `input` [batch, ...] and output `output`, the
// weights and running statistics as initializers under PyTorch's names, the symbol `batch` as a
// dimension of any size. Returns the path of the file of external data, empty where there is none
// (see onnx::write_model). UserError where the model cannot be traced or ONNX cannot say it.
std::filesystem::path export_onnx(const std::filesystem::path& path, const Model& model,
                                  onnx::ExportOptions options = {});

// The weights and running statistics alone, under PyTorch's names, as a safetensors file.
void export_weights(const std::filesystem::path& path, const Model& model);

}  // namespace wafer::models
