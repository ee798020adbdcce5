#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "wafer/ir/tensor.h"
#include "wafer/train/checkpoint.h"

namespace wafer {

// The safetensors name of a dtype ("F32") and back; UserError for one that we have no counterpart
// of.
std::string safetensors_name(DType dtype);
DType dtype_from_safetensors(const std::string& name, const std::string& where);

// Writes tensors atomically as a safetensors file.
void write_tensor_file(const std::filesystem::path& path, const std::vector<NamedMemory>& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace wafer
