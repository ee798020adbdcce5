#pragma once
#include <onnx/onnx-data.pb.h>
#include <onnx/onnx-ml.pb.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "wafer/deploy/onnx/model.h"

namespace wafer::onnx {

// Where messages come from: the file's name for errors, and the folder of tensors in other files.
struct Source {
  std::string where;
  std::filesystem::path folder;  // empty: no other files
  // How many bytes were read of each other file, by device and inode. Twice a file's size at most,
  // so that tensors may be tied, and a small model cannot fill the memory from one file.
  std::shared_ptr<std::map<std::pair<uint64_t, uint64_t>, int64_t>> read =
      std::make_shared<std::map<std::pair<uint64_t, uint64_t>, int64_t>>();
  // Bytes that sparse tensors may still take as dense ones.
  std::shared_ptr<int64_t> dense_left = std::make_shared<int64_t>(int64_t{64} << 20);
};

// Conversions of messages, checked. Data move out of tensors, so that they are in memory once.
Value convert_tensor(::onnx::TensorProto& tensor, const Source& source, const std::string& label);
// As a dense tensor.
Value convert_sparse(::onnx::SparseTensorProto& sparse, const Source& source,
                     const std::string& label);
TypeDef convert_type(const ::onnx::TypeProto& type, const Source& source, const std::string& label,
                     int depth = 0);

// The bytes [offset, offset + length) of a tensor in another file of the source's folder (length
// -1: to its end). The path may not leave the folder, by whatever means.
std::string read_external(const Source& source, const std::string& location, int64_t offset,
                          int64_t length, const std::string& label);

}  // namespace wafer::onnx
