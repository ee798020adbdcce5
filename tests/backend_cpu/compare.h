#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "wafer/backend/cpu/cpu.h"
#include "wafer/backend/reference/reference.h"
#include "wafer/base/philox.h"
#include "wafer/op/op.h"
#include "wafer/runtime/kernel.h"

// Runs a node's kernel of the cpu and of the reference backend on the same bytes and compares.
namespace wafer::testing {

using Bytes = std::vector<std::byte>;

constexpr Layout rows = Layout::row_major, last = Layout::channels_last;

inline int64_t pick(RandomStream& random, std::initializer_list<int64_t> choices) {
  return choices.begin()[random.below(static_cast<uint32_t>(choices.size()))];
}

// Random values: small whole numbers and halves for floats (whose sums are exact in short chains),
// any bits that make a small number for integers.
inline Bytes random_bytes(const Type& type, RandomStream& random) {
  Bytes bytes(type.bytes());
  visit(type.dtype, [&]<class T>(std::type_identity<T>) {
    T* values = reinterpret_cast<T*>(bytes.data());
    for (int64_t i = 0; i < type.elements(); ++i) {
      auto number = static_cast<int>(random.below(255)) - 127;
      if constexpr (std::is_same_v<T, bool>) {
        values[i] = number > 0;
      } else if constexpr (std::is_integral_v<T>) {
        values[i] = static_cast<T>(number);
      } else {
        values[i] = static_cast<T>(static_cast<float>(number) / 64.0f);
      }
    }
  });
  return bytes;
}

inline double element(const Type& type, const Bytes& bytes, int64_t index) {
  return visit(type.dtype, [&]<class T>(std::type_identity<T>) {
    return static_cast<double>(reinterpret_cast<const T*>(bytes.data())[index]);
  });
}

template <class T>
Bytes bytes_of(const std::vector<T>& values) {
  Bytes bytes(values.size() * sizeof(T));
  if (!bytes.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

// Runs a step; what lies behind each output and the scratch must stay untouched.
inline std::vector<Bytes> run_step(const Step& step, size_t scratch_bytes,
                                   const std::vector<Type>& outputs,
                                   const std::vector<Bytes>& inputs,
                                   const std::vector<bool>& used = {}) {
  constexpr size_t guard = 64;
  constexpr std::byte mark{0xA5};
  std::vector<std::shared_ptr<Storage>> memory;
  auto allocate = [&](size_t bytes) {
    memory.push_back(allocate_host(bytes + guard));
    auto* data = static_cast<std::byte*>(memory.back()->data());
    std::fill_n(data, bytes + guard, mark);
    return data;
  };
  std::vector<void*> in, out;
  for (const Bytes& bytes : inputs) {
    in.push_back(allocate(bytes.size()));
    if (!bytes.empty()) std::memcpy(in.back(), bytes.data(), bytes.size());
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    out.push_back(used.empty() || used[i] ? allocate(outputs[i].bytes()) : nullptr);
  }
  std::byte* scratch = allocate(scratch_bytes);
  step({in.data(), out.data(), scratch});
  auto untouched = [&](const std::byte* end) {
    return std::all_of(end, end + guard, [](std::byte b) { return b == mark; });
  };
  EXPECT_TRUE(untouched(scratch + scratch_bytes)) << "wrote behind the scratch";
  std::vector<Bytes> results;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (out[i] == nullptr) {
      results.emplace_back();
      continue;
    }
    auto* data = static_cast<std::byte*>(out[i]);
    EXPECT_TRUE(untouched(data + outputs[i].bytes())) << "wrote behind output " << i;
    results.emplace_back(data, data + outputs[i].bytes());
  }
  return results;
}

inline std::vector<Bytes> run_kernel(MakeKernel make, const Node& node,
                                     const std::vector<Bytes>& inputs, const std::string& device,
                                     const std::vector<bool>& used = {},
                                     std::string* kernel = nullptr) {
  KernelContext context{.target = wafer::device(device)->target(), .output_used = used};
  if (used.empty()) context.output_used.assign(node.outputs.size(), true);
  Step step = make(node, context);
  if (kernel != nullptr) *kernel = context.kernel;
  return run_step(step, context.scratch_bytes, node.outputs, inputs, used);
}

inline double tolerance(DType dtype) {
  switch (dtype) {
    case DType::f64: return 1e-12;
    case DType::f32: return 2e-5;
    case DType::f16: return 2e-3;
    case DType::bf16: return 1.6e-2;
    default: return 0;
  }
}

// Absolute and relative at once; `scale` widens it for long sums.
inline void expect_close(const Type& type, const Bytes& got, const Bytes& expected, double scale,
                         const std::string& what) {
  double limit = tolerance(type.dtype) * scale;
  ASSERT_EQ(got.size(), expected.size()) << what;
  for (int64_t i = 0; i < type.elements(); ++i) {
    double a = element(type, got, i), b = element(type, expected, i);
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    ASSERT_LE(std::abs(a - b), limit * (1 + std::abs(b)))
        << what << ": element " << i << " of " << type << " is " << a << ", not " << b;
  }
}

// The same node with the given layouts of its inputs and outputs.
inline Tensor with_layouts(const Tensor& y, const std::vector<Layout>& inputs, Layout output) {
  std::vector<Tensor> placed;
  const Node& node = y.node();
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    Type type = node.inputs[i].type();
    type.layout = inputs[i];
    placed.push_back(make_input(type, str("x", i)));
  }
  std::vector<Type> types = node.outputs;
  for (Type& type : types) type.layout = output;
  return clone_node(node, placed, types)[0];
}

// Compares the cpu's kernel of y's node with the reference's; `inputs` given or random. Returns the
// kernel's name.
inline std::string compare(const Tensor& y, RandomStream& random, double scale = 1,
                           std::vector<Bytes> inputs = {}, const std::vector<bool>& used = {}) {
  const Node& node = y.node();
  inputs.resize(node.inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Type& type = node.inputs[i].type();
    if (inputs[i].empty()) inputs[i] = random_bytes(type, random);
  }
  std::string what = str(node.op->name, " {", node.attrs.text(), "}");
  for (const Tensor& input : node.inputs) what += str(" ", input.type());
  std::string kernel;
  auto got = run_kernel(cpu::find_kernel(*node.op), node, inputs, "cpu", used, &kernel);
  auto expected = run_kernel(reference::find_kernel(*node.op), node, inputs, "reference", used);
  for (size_t i = 0; i < got.size(); ++i) {
    if (used.empty() || used[i]) {
      expect_close(node.outputs[i], got[i], expected[i], scale, what + " by " + kernel);
    }
  }
  return kernel;
}

inline Tensor variable(DType dtype, const std::vector<int64_t>& sizes,
                       Layout layout = Layout::row_major) {
  return make_input(Type{dtype, Shape(sizes), layout}, "x");
}

}  // namespace wafer::testing
