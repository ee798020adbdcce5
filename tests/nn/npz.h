#pragma once
#include <map>
#include <span>
#include <string>

#include "wafer/io/npy.h"
#include "wafer/ir/tensor.h"

namespace wafer::testing_nn {

// The arrays of a file below tests/ as tensors.
inline std::map<std::string, Tensor> load_npz(const std::string& file) {
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, array] : io::read_npz(std::string(WAFER_SOURCE_DIR "/tests/") + file)) {
    DType dtype = array.descr == "<f4"   ? DType::f32
                  : array.descr == "<f8" ? DType::f64
                                         : DType::i64;
    WAFER_CHECK(dtype != DType::i64 || array.descr == "<i8", name, ": dtype ", array.descr);
    tensors.emplace(
        name, Tensor::from_bytes(dtype, Shape(array.shape), std::as_bytes(std::span(array.bytes))));
  }
  return tensors;
}

}  // namespace wafer::testing_nn
