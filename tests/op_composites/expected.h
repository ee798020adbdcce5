#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/text.h"
#include "wafer/io/npy.h"
#include "wafer/ir/graph.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/reduce.h"
#include "wafer/runtime/registry.h"
#include "wafer/tensor/eval.h"
#include "wafer/tensor/grad.h"

namespace wafer::testing {
using tests::message_of;

// Values come from the reference device.
inline const bool on_reference = (set_default_device(device("reference")), true);

using Named = std::map<std::string, Tensor>;

inline Tensor tensor_of(const io::NpyArray& array) {
  DType dtype = array.descr == "<f8"   ? DType::f64
                : array.descr == "<i8" ? DType::i64
                                       : DType::boolean;
  return Tensor::from_bytes(dtype, Shape(array.shape), std::as_bytes(std::span(array.bytes)));
}

// The arrays <name>/<part>/<key> of data/composites.npz by key.
inline Named arrays_of(const std::string& name, const std::string& part) {
  static const auto arrays =
      io::read_npz(WAFER_SOURCE_DIR "/tests/op_composites/data/composites.npz");
  Named found;
  std::string prefix = name + "/" + part + "/";
  for (auto it = arrays.lower_bound(prefix); it != arrays.end(); ++it) {
    if (it->first.compare(0, prefix.size(), prefix) != 0) break;
    found[it->first.substr(prefix.size())] = tensor_of(it->second);
  }
  return found;
}

inline void expect_close(const Tensor& actual, const Tensor& expected, double tolerance,
                         const std::string& what) {
  ASSERT_EQ(actual.shape().text(), expected.shape().text()) << what;
  auto a = cast(actual, DType::f64).data<double>(), b = cast(expected, DType::f64).data<double>();
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    ASSERT_NEAR(a[i], b[i], tolerance * (1 + std::abs(b[i]))) << what << " at element " << i;
  }
}

// Compares outputs and gradients with those of the file.
inline void check_case(const std::string& name,
                       const std::function<std::vector<Tensor>(Named&)>& function) {
  SCOPED_TRACE(name);
  Named inputs = arrays_of(name, "in"), expected = arrays_of(name, "out");
  ASSERT_FALSE(expected.empty());
  std::vector<Tensor> outputs = function(inputs);
  ASSERT_EQ(outputs.size(), expected.size());
  std::vector<Tensor> upstream, wrt;
  for (size_t i = 0; i < outputs.size(); ++i) {
    expect_close(outputs[i], expected[std::to_string(i)], 1e-11, "output " + std::to_string(i));
    upstream.push_back(arrays_of(name, "g")[std::to_string(i)]);
  }
  Named gradients = arrays_of(name, "d");
  if (gradients.empty()) return;
  for (const auto& [key, gradient] : gradients) wrt.push_back(inputs.at(key));
  std::vector<Tensor> found = grad(outputs, upstream, wrt);
  size_t i = 0;
  for (const auto& [key, gradient] : gradients) {
    expect_close(found[i++], gradient, 1e-10, "gradient by " + key);
  }
}

// Compares grad with central differences of sum(output * weights) in f64, at every element of every
// floating input.
inline void check_differences(
    const std::function<std::vector<Tensor>(const std::vector<Tensor>&)>& function,
    std::vector<Tensor> inputs, double tolerance = 1e-6) {
  auto loss_of = [&](const std::vector<Tensor>& at) {
    Tensor loss = Tensor::from_values<double>({0}, {});
    double weight = 0.7;
    for (const Tensor& output : function(at)) {
      std::vector<double> weights(static_cast<size_t>(output.elements()));
      for (double& w : weights) w = std::sin(weight += 1.3);
      loss = loss + reduce_sum(output * Tensor::from_values(weights, output.shape()));
    }
    return loss;
  };
  std::vector<Tensor> gradients = grad(loss_of(inputs), inputs);
  constexpr double step = 1e-5;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].dtype() != DType::f64) continue;
    auto values = inputs[i].data<double>(), found = gradients[i].data<double>();
    for (size_t j = 0; j < values.size(); ++j) {
      auto at = [&](double distance) {
        auto moved = values;
        moved[j] += distance;
        auto arguments = inputs;
        arguments[i] = Tensor::from_values(moved, inputs[i].shape());
        return loss_of(arguments).item();
      };
      double difference = (at(step) - at(-step)) / (2 * step);
      ASSERT_NEAR(found[j], difference, tolerance * (1 + std::abs(difference)))
          << "input " << i << " at element " << j;
    }
  }
}

inline Tensor symbolic(const std::vector<Dim>& dims, DType dtype = DType::f32) {
  return make_input(Type{dtype, Shape(dims)}, "x");
}

// Numbers without a pattern, in (-1, 1).
inline Tensor numbers(const Shape& shape, double seed = 0.3) {
  std::vector<double> values(static_cast<size_t>(shape.elements()));
  for (double& value : values) value = std::sin(seed += 2.399 + 0.01 * seed);
  return Tensor::from_values(values, shape);
}

}  // namespace wafer::testing
