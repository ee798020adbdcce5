#pragma once
#include <memory>
#include <string>
#include <vector>

#include "wafer/deploy/onnx/element_type.h"
#include "wafer/ir/tensor.h"

namespace wafer::onnx {

// A tensor of texts (UTF-8), row-major. Strings never reach a device.
struct StringTensor {
  std::vector<int64_t> dims;
  std::vector<std::string> values;
};

// A value of an ONNX graph: a tensor, a tensor of strings, a sequence of values, or an optional
// that holds none of them. Default-constructed: no value (an input that was left out).
struct Value {
  ElementType type = ElementType::undefined;  // of the elements
  Tensor tensor;                              // of dtype carrier(type)
  std::shared_ptr<const StringTensor> strings;
  std::shared_ptr<const std::vector<Value>> sequence;
  bool empty_optional = false;

  Value() = default;
  Value(Tensor t);  // NOLINT: a tensor is a value
  Value(Tensor t, ElementType element_type) : type(element_type), tensor(std::move(t)) {}
  static Value of_strings(std::vector<int64_t> dims, std::vector<std::string> values);
  static Value of_sequence(std::vector<Value> values);
  static Value empty();

  explicit operator bool() const { return tensor || strings || sequence || empty_optional; }
  // "FLOAT[2x3]", "STRING[4]", "sequence of 3".
  std::string text() const;
};

// The dimensions of a tensor or of a tensor of strings.
std::vector<int64_t> dims_of(const Value& value);

}  // namespace wafer::onnx
