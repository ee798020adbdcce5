#include "wafer/deploy/onnx/value.h"

namespace wafer::onnx {

Value::Value(Tensor t) : tensor(std::move(t)) {
  if (tensor) type = element_type_of(tensor.dtype());
}

Value Value::of_strings(std::vector<int64_t> dims, std::vector<std::string> values) {
  Value value;
  value.type = ElementType::string;
  value.strings =
      std::make_shared<const StringTensor>(StringTensor{std::move(dims), std::move(values)});
  return value;
}

Value Value::of_sequence(std::vector<Value> values) {
  Value value;
  if (!values.empty()) value.type = values[0].type;
  value.sequence = std::make_shared<const std::vector<Value>>(std::move(values));
  return value;
}

Value Value::empty() {
  Value value;
  value.empty_optional = true;
  return value;
}

std::string Value::text() const {
  if (tensor) return str(type, "[", tensor.shape(), "]");
  if (strings) return str("STRING[", Shape(strings->dims), "]");
  if (sequence) return str("sequence of ", sequence->size());
  return empty_optional ? "empty optional" : "nothing";
}

std::vector<int64_t> dims_of(const Value& value) {
  if (value.strings) return value.strings->dims;
  WAFER_REQUIRE(static_cast<bool>(value.tensor), "onnx", value.text(), " has no dimensions");
  return value.tensor.shape().sizes();
}

}  // namespace wafer::onnx
