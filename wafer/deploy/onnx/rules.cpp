#include "wafer/deploy/onnx/rules.h"

#include <algorithm>
#include <map>

#include "wafer/deploy/onnx/onnx.h"

namespace wafer::onnx {

namespace {
using Key = std::pair<std::string_view, std::string_view>;

const std::map<Key, const RuleEntry*>& table() {
  static const std::map<Key, const RuleEntry*> rules = [] {
    std::map<Key, const RuleEntry*> all;
    for (RuleList list : {activation_rules(),
                          elementwise_rules(),
                          cast_rules(),
                          shape_rules(),
                          slice_rules(),
                          index_rules(),
                          reduce_rules(),
                          create_rules(),
                          conv_rules(),
                          pool_rules(),
                          norm_rules(),
                          matmul_rules(),
                          loss_rules(),
                          attention_rules(),
                          quantise_rules(),
                          control_flow_rules(),
                          sequence_rules(),
                          recurrent_rules(),
                          linear_attention_rules(),
                          resize_rules(),
                          einsum_rules(),
                          signal_rules(),
                          training_rules(),
                          ml_rules(),
                          sample_rules(),
                          search_rules(),
                          string_rules()}) {
      for (const RuleEntry& entry : list) all[{entry.domain, entry.name}] = &entry;
    }
    return all;
  }();
  return rules;
}
}  // namespace

const RuleEntry* find_rule(std::string_view domain, std::string_view name) {
  auto found = table().find({domain, name});
  return found == table().end() ? nullptr : found->second;
}

std::vector<std::string> supported_operators() {
  std::vector<std::string> names;
  for (const auto& [key, rule] : table())
    names.push_back(key.first.empty() ? std::string(key.second) : str(key.first, ".", key.second));
  return names;
}

int axis_of(const Context& c, int64_t axis, int rank) {
  if (axis < -rank || axis >= rank)
    c.fail(str("axis ", axis, " of a tensor of ", rank, " dimensions"));
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

Ints axes_of(const Context& c, const Ints& axes, int rank) {
  Ints out;
  for (int64_t axis : axes) out.push_back(axis_of(c, axis, rank));
  Ints sorted = out;
  std::sort(sorted.begin(), sorted.end());
  c.require(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(),
            "an axis is there twice");
  return out;
}

Tensor constant(const Ints& values) {
  return Tensor::from_values(values, Shape{static_cast<int64_t>(values.size())});
}
Tensor constant(const std::vector<double>& values, DType dtype) {
  std::vector<std::byte> bytes(values.size() * static_cast<size_t>(bits(dtype)) / 8);
  visit(dtype, [&]<class T>(std::type_identity<T>) {
    auto* out = reinterpret_cast<T*>(bytes.data());
    for (size_t i = 0; i < values.size(); ++i) out[i] = static_cast<T>(values[i]);
  });
  return Tensor::from_bytes(dtype, Shape{static_cast<int64_t>(values.size())}, bytes);
}
Tensor scalar(double value, DType dtype) {
  return cast(Tensor::from_values<double>({value}, Shape{}), dtype);
}

Tensor take(const Tensor& x, const Ints& indices, int axis) {
  return gather(x, constant(indices), axis);
}

int64_t product(const Ints& sizes) {
  int64_t count = 1;
  for (int64_t size : sizes) count *= size;
  return count;
}

Shape visit_broadcast(
    const Context& c, const StringTensor& a, const StringTensor& b,
    const std::function<void(const std::string& left, const std::string& right)>& visit) {
  Shape shape = broadcast_shapes(Shape(a.dims), Shape(b.dims), c.node().op_type);
  auto places = [&](const StringTensor& s) {
    Tensor order = reshape(arange(static_cast<int64_t>(s.values.size())), Shape(s.dims));
    return c.numbers_of(broadcast_to(order, shape), "strings");
  };
  auto left = places(a), right = places(b);
  for (size_t i = 0; i < left.size(); ++i)
    visit(a.values[static_cast<size_t>(left[i])], b.values[static_cast<size_t>(right[i])]);
  return shape;
}

Tensor with_rank(const Tensor& x, int rank) {
  Ints sizes = x.shape().sizes();
  while (static_cast<int>(sizes.size()) < rank) sizes.insert(sizes.begin(), 1);
  return reshape(x, sizes);
}

}  // namespace wafer::onnx
