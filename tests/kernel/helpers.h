#pragma once
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <vector>

#include "wafer/backend/cpu/fused.h"
#include "wafer/kernel/program.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"

// Runs steps on plain memory, and evaluates graphs element by element in double.
namespace wafer::testing {

class NoTarget : public Target {
 public:
  std::string name() const override { return "none"; }
  Support supports(const Node&) const override { return {}; }
  std::shared_ptr<const Artifact> compile(const Graph&, const CompileOptions&) const override {
    throw InternalError("not for compiling");
  }
};

using Bytes = std::vector<std::byte>;

// Writes a number in a storage format and reads it back.
inline void put(Bytes& bytes, DType dtype, size_t at, double value) {
  visit(dtype, [&]<class T>(std::type_identity<T>) {
    reinterpret_cast<T*>(bytes.data())[at] = static_cast<T>(value);
  });
}
inline double get(const Bytes& bytes, DType dtype, size_t at) {
  return visit(dtype, [&]<class T>(std::type_identity<T>) {
    return static_cast<double>(reinterpret_cast<const T*>(bytes.data())[at]);
  });
}

// Where each element of a value lies, in row-major order of its logical shape.
inline std::vector<size_t> places(const Type& type) {
  std::vector<int64_t> sizes = type.shape.sizes(), strides = type.strides();
  std::vector<size_t> result;
  std::vector<int64_t> at(sizes.size());
  for (int64_t i = 0; i < type.elements(); ++i) {
    int64_t offset = 0;
    for (size_t d = 0; d < at.size(); ++d) offset += at[d] * strides[d];
    result.push_back(static_cast<size_t>(offset));
    for (size_t d = at.size(); d-- > 0;) {
      if (++at[d] < sizes[d]) break;
      at[d] = 0;
    }
  }
  return result;
}

// Logical values in row-major order.
using Values = std::vector<double>;

inline Bytes to_memory(const Values& values, const Type& type) {
  Bytes bytes(type.bytes() + 1);
  std::vector<size_t> place = places(type);
  for (size_t i = 0; i < place.size(); ++i) put(bytes, type.dtype, place[i], values[i]);
  return bytes;
}
inline Values from_memory(const Bytes& bytes, const Type& type) {
  Values values;
  for (size_t place : places(type)) values.push_back(get(bytes, type.dtype, place));
  return values;
}

// Runs a step of `node` made by `make`, with buffers of its own.
template <class Make>
std::vector<Bytes> run_step(const Node& node, std::vector<Bytes> inputs, Make make) {
  NoTarget target;
  KernelContext context{target, std::vector<bool>(node.outputs.size(), true)};
  Step step = make(node, context);
  std::vector<Bytes> outputs;
  for (const Type& type : node.outputs) outputs.emplace_back(type.bytes() + 1);
  std::vector<void*> in, out;
  for (Bytes& bytes : inputs) in.push_back(bytes.data());
  for (Bytes& bytes : outputs) out.push_back(bytes.data());
  Bytes scratch(context.scratch_bytes + 64);
  auto address = reinterpret_cast<uintptr_t>(scratch.data());
  step({in.data(), out.data(), scratch.data() + (64 - address % 64) % 64});
  return outputs;
}

// Evaluates element-wise ops, slices, broadcasts and reshapes in double.
class Evaluator {
 public:
  void bind(const Tensor& input, Values values) { known_[&input.node()] = std::move(values); }

  const Values& of(const Tensor& tensor) {
    const Node& node = tensor.node();
    auto found = known_.find(&node);
    if (found != known_.end()) return found->second;
    Values result;
    if (node.is(op::constant)) {
      Bytes bytes(node.outputs[0].bytes());
      std::memcpy(bytes.data(), node.values[0]->data(), bytes.size());
      result = from_memory(bytes, node.outputs[0]);
    } else if (node.is(op::reshape)) {
      result = of(node.inputs[0]);
    } else if (node.is(op::slice)) {
      result = sliced(of(node.inputs[0]), node.inputs[0].shape().sizes(), node.attr<SliceAttrs>(),
                      tensor.shape().sizes());
    } else if (node.is(op::broadcast_to)) {
      result =
          broadcast(of(node.inputs[0]), node.inputs[0].shape().sizes(), tensor.shape().sizes());
    } else if (node.op->decompose) {
      kept_.push_back(node.op->decompose(node, node.inputs));
      result = of(kept_.back()[0]);
    } else {
      std::vector<Values> in;
      for (const Tensor& input : node.inputs) in.push_back(of(input));
      for (size_t i = 0; i < static_cast<size_t>(tensor.elements()); ++i) {
        double a = in[0][i], b = in.size() > 1 ? in[1][i] : 0, c = in.size() > 2 ? in[2][i] : 0;
        result.push_back(compute(node, a, b, c));
      }
    }
    return known_[&node] = std::move(result);
  }

 private:
  // The elements of a value of `sizes` that lie so in `from`.
  static Values walk(const Values& from, const std::vector<int64_t>& sizes,
                     const std::vector<int64_t>& strides, int64_t offset = 0) {
    Values result;
    int64_t total = 1;
    for (int64_t size : sizes) total *= size;
    for (int64_t i = 0; i < total; ++i) {
      int64_t rest = i, at = offset;
      for (size_t d = sizes.size(); d-- > 0;) {
        at += rest % sizes[d] * strides[d];
        rest /= sizes[d];
      }
      result.push_back(from[static_cast<size_t>(at)]);
    }
    return result;
  }

  static Values sliced(const Values& from, const std::vector<int64_t>& whole,
                       const SliceAttrs& attrs, const std::vector<int64_t>& sizes) {
    std::vector<int64_t> strides = row_major_strides(whole);
    int64_t offset = 0;
    for (size_t d = 0; d < sizes.size(); ++d) {
      offset += attrs.start[d] * strides[d];
      strides[d] *= attrs.step[d];
    }
    return walk(from, sizes, strides, offset);
  }

  static Values broadcast(const Values& from, const std::vector<int64_t>& sizes,
                          const std::vector<int64_t>& wide) {
    std::vector<int64_t> of_sizes = row_major_strides(sizes), strides(wide.size());
    size_t added = wide.size() - sizes.size();
    for (size_t d = 0; d < sizes.size(); ++d) {
      if (sizes[d] != 1) strides[d + added] = of_sizes[d];
    }
    return walk(from, wide, strides);
  }

  static double compute(const Node& node, double a, double b, double c) {
    const OpDef* op = node.op;
    if (op == &op::neg) return -a;
    if (op == &op::abs) return std::abs(a);
    if (op == &op::sign) return (a > 0) - (a < 0);
    if (op == &op::exp) return std::exp(a);
    if (op == &op::expm1) return std::expm1(a);
    if (op == &op::log) return std::log(a);
    if (op == &op::log1p) return std::log1p(a);
    if (op == &op::sqrt) return std::sqrt(a);
    if (op == &op::sin) return std::sin(a);
    if (op == &op::cos) return std::cos(a);
    if (op == &op::tan) return std::tan(a);
    if (op == &op::asin) return std::asin(a);
    if (op == &op::acos) return std::acos(a);
    if (op == &op::atan) return std::atan(a);
    if (op == &op::tanh) return std::tanh(a);
    if (op == &op::erf) return std::erf(a);
    if (op == &op::floor) return std::floor(a);
    if (op == &op::ceil) return std::ceil(a);
    if (op == &op::round) return std::nearbyint(a);
    if (op == &op::logical_not) return a == 0;
    if (op == &op::add) return a + b;
    if (op == &op::sub) return a - b;
    if (op == &op::mul) return a * b;
    if (op == &op::div) return a / b;
    if (op == &op::pow) return std::pow(a, b);
    if (op == &op::remainder) return a - b * std::floor(a / b);
    if (op == &op::maximum) return std::isnan(a) || a > b ? a : b;
    if (op == &op::minimum) return std::isnan(a) || a < b ? a : b;
    if (op == &op::equal) return a == b;
    if (op == &op::not_equal) return a != b;
    if (op == &op::less) return a < b;
    if (op == &op::less_equal) return a <= b;
    if (op == &op::logical_and) return a != 0 && b != 0;
    if (op == &op::logical_or) return a != 0 || b != 0;
    if (op == &op::logical_xor) return (a != 0) != (b != 0);
    if (op == &op::where) return a != 0 ? b : c;
    if (op == &op::cast) {
      DType to = node.outputs[0].dtype;
      if (to == DType::boolean) return a != 0;
      return is_integer(to) ? std::trunc(a) : a;
    }
    throw InternalError(str("the test cannot compute ", op->name));
  }

  std::map<const Node*, Values> known_;
  std::vector<std::vector<Tensor>> kept_;
};

}  // namespace wafer::testing
