#include "tests/op/cases.h"

#include <map>

#include "wafer/op/op.h"

namespace wafer::op_tests {

const std::vector<DType>& all_dtypes() {
  return computable_dtypes();
}
const std::vector<DType>& numbers() {
  static const auto list = [] {
    std::vector<DType> result;
    for (DType dtype : computable_dtypes()) {
      if (dtype != DType::boolean) result.push_back(dtype);
    }
    return result;
  }();
  return list;
}
const std::vector<DType>& floats() {
  static const std::vector<DType> list = {DType::f64, DType::f32, DType::f16, DType::bf16};
  return list;
}
const std::vector<DType>& only(DType dtype) {
  static const auto lists = [] {
    std::map<DType, std::vector<DType>> result;
    for (DType each : computable_dtypes()) result[each] = {each};
    return result;
  }();
  return lists.at(dtype);
}

std::vector<DType> claimed_dtypes(const std::string& op) {
  static const auto table = [] {
    std::map<std::string, std::vector<DType>> result;
    auto claim = [&](const std::vector<DType>& dtypes, std::vector<const char*> ops) {
      for (const char* name : ops) result[name] = dtypes;
    };
    // Real functions and, but for relu, composites turn other dtypes into f32 by a cast in front.
    claim(floats(),
          // clang-format off
          {"exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan", "asin", "acos",
           "atan", "tanh", "erf", "floor", "ceil", "round", "conv", "fused",
           "conv_input_gradient", "avg_pool", "conv_weight_gradient", "avg_pool_gradient",
           "max_pool_gradient"});
    // clang-format on
    claim(only(DType::boolean), {"logical_not", "logical_and", "logical_or", "logical_xor"});
    claim(numbers(), {"neg", "abs", "sign", "sub", "div", "pow", "remainder", "relu", "matmul",
                      "max_pool", "iota", "scatter_add"});
    // Sums and products of integers are i64.
    std::vector<DType> sums = floats();
    sums.push_back(DType::i64);
    claim(sums, {"reduce_sum", "reduce_prod", "cumsum"});
    claim(only(DType::f32), {"random_uniform", "random_normal"});
    return result;
  }();
  auto found = table.find(op);
  if (found != table.end()) return found->second;
  return find_op(op)->is_primitive() ? all_dtypes() : floats();
}

DType tested_dtype(const Node& node) {
  if (node.is(op::where) || node.is(op::if_else)) return node.inputs[1].dtype();
  if (node.inputs.empty() || node.is(op::random_uniform) || node.is(op::random_normal))
    return node.outputs[0].dtype;
  return node.inputs[0].dtype();
}

const std::vector<OpCase>& all_cases() {
  static const auto list = [] {
    std::vector<OpCase> result;
    for (auto family :
         {elementwise_cases, activation_cases, shape_cases, reduce_cases, matmul_cases, conv_cases,
          pool_cases, index_cases, random_cases, softmax_cases, loss_cases, norm_cases,
          attention_cases, recurrent_cases, control_flow_cases, layout_cases}) {
      for (OpCase& each : family()) result.push_back(std::move(each));
    }
    return result;
  }();
  return list;
}

std::string text(const Sizes& sizes) {
  return Shape(sizes).text();
}

}  // namespace wafer::op_tests
