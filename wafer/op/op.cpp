#include "wafer/op/op.h"

#include <cstring>
#include <unordered_map>

namespace wafer {

const std::vector<const OpDef*>& all_ops() {
  static const std::vector<const OpDef*> ops = {
      &op::input,
      &op::constant,
#define WAFER_OP(name) &op::name,
#include "wafer/op/ops.def"
#undef WAFER_OP
  };
  return ops;
}

const OpDef* find_op(const std::string& name) {
  static const auto by_name = [] {
    std::unordered_map<std::string, const OpDef*> map;
    for (const OpDef* def : all_ops()) map.emplace(def->name, def);
    return map;
  }();
  auto found = by_name.find(name);
  return found == by_name.end() ? nullptr : found->second;
}

double bytes_touched(const Node& node) {
  double bytes = 0;
  for (const Tensor& input : node.inputs) bytes += static_cast<double>(input.type().bytes());
  for (const Type& type : node.outputs) bytes += static_cast<double>(type.bytes());
  return bytes;
}

Cost cost(const Node& node) {
  if (node.op->cost) return node.op->cost(node);
  double flops = 0;
  for (const Type& type : node.outputs) flops += static_cast<double>(type.elements());
  return {flops, bytes_touched(node)};
}

void require_dtype(bool ok, const char* op, const Tensor& x, const char* expected) {
  if (!ok) throw UserError(op, "wrong dtype", {.got = str(x.type()), .expected = expected});
}

std::optional<double> constant_value(const Tensor& x) {
  const Node* node = &x.node();
  while (node->is(op::broadcast_to) || node->is(op::reshape)) node = &node->inputs[0].node();
  auto bytes = small_constant(*node, 8);
  if (!bytes || node->outputs[0].elements() != 1 || node->outputs[0].dtype > DType::boolean)
    return std::nullopt;
  return visit(node->outputs[0].dtype, [&]<class T>(std::type_identity<T>) {
    T element;
    std::memcpy(&element, bytes->data(), sizeof element);
    return static_cast<double>(element);
  });
}

bool is_constant_value(const Tensor& x, double value) {
  return constant_value(x) == value;
}

}  // namespace wafer
