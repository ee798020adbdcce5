#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "tests/pass/graphs.h"
#include "wafer/base/philox.h"
#include "wafer/op/activation.h"
#include "wafer/op/conv.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/loss.h"
#include "wafer/op/matmul.h"
#include "wafer/op/pool.h"
#include "wafer/op/shape_ops.h"
#include "wafer/pass/gradient.h"
#include "wafer/runtime/registry.h"

// Runs whole graphs on a device, and compares what comes out.
namespace wafer::testing {

// One value for each element; integers are held too.
using GraphValues = std::vector<std::vector<double>>;

inline std::vector<std::shared_ptr<Storage>> on_device(Device& device, const Graph& graph,
                                                       const GraphValues& values) {
  std::vector<std::shared_ptr<Storage>> memory;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    const Type& type = graph.inputs[i].type();
    std::vector<std::byte> bytes(type.bytes());
    visit(type.dtype, [&]<class T>(std::type_identity<T>) {
      for (size_t k = 0; k < values[i].size(); ++k)
        reinterpret_cast<T*>(bytes.data())[k] = static_cast<T>(values[i][k]);
    });
    memory.push_back(device.allocate(bytes.size()));
    device.copy_from_host(bytes.data(), *memory.back(), bytes.size());
  }
  return memory;
}

// The outputs of the compiled graph.
inline GraphValues run_artifact(Device& on, const Artifact& artifact, const Graph& graph,
                                const GraphValues& inputs) {
  auto outputs = execute(on, artifact, on_device(on, graph, inputs));
  on.synchronize();
  GraphValues results;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Type& type = artifact.outputs[i];
    std::vector<std::byte> bytes(type.bytes());
    on.copy_to_host(*outputs[i], bytes.data(), bytes.size());
    auto& values = results.emplace_back();
    visit(type.dtype, [&]<class T>(std::type_identity<T>) {
      for (int64_t k = 0; k < type.elements(); ++k)
        values.push_back(static_cast<double>(reinterpret_cast<const T*>(bytes.data())[k]));
    });
  }
  return results;
}
inline GraphValues run_graph(const Graph& graph, const GraphValues& inputs,
                             const std::string& name) {
  auto on = device(name);
  return run_artifact(*on, *on->target().compile(graph, {}), graph, inputs);
}

// Floating inputs in (-1, 1), integers below `classes`.
inline GraphValues random_values(const Graph& graph, uint64_t seed, uint32_t classes = 10) {
  RandomStream random(seed);
  GraphValues values;
  for (const Tensor& input : graph.inputs) {
    auto& one = values.emplace_back();
    for (int64_t i = 0; i < input.elements(); ++i) {
      one.push_back(is_floating(input.dtype()) ? 2.0 * static_cast<double>(random.uniform()) - 1
                                               : static_cast<double>(random.below(classes)));
    }
  }
  return values;
}

// |got - expected| / |expected|, by Euclidean norms.
inline double distance(const std::vector<double>& got, const std::vector<double>& expected) {
  EXPECT_EQ(got.size(), expected.size());
  double difference = 0, norm = 1e-30;
  for (size_t i = 0; i < std::min(got.size(), expected.size()); ++i) {
    difference += (got[i] - expected[i]) * (got[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(difference / norm);
}

inline void expect_near(const GraphValues& got, const GraphValues& expected, double limit,
                        const std::string& what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_LE(distance(got[i], expected[i]), limit) << what << ", output " << i;
}

// Loss and gradients of a small CNN on `batch` images of `channels` channels: convolution, bias,
// ReLU, max pool, a residual convolution, a linear layer with ReLU, another. Inputs: images,
// classes, then the parameters.
inline Graph cnn_gradients(int64_t batch, int64_t channels, int64_t features = 8) {
  auto f32 = [](const Shape& shape, const char* name) {
    return make_input({DType::f32, shape}, name);
  };
  Tensor x = f32({batch, channels, 8, 8}, "x");
  Tensor classes = make_input({DType::i64, Shape{batch}}, "classes");
  std::vector<Tensor> parameters = {f32({features, channels, 3, 3}, "w1"),
                                    f32({features}, "b1"),
                                    f32({features, features, 3, 3}, "w2"),
                                    f32({features}, "b2"),
                                    f32({17, features * 16}, "w3"),
                                    f32({17}, "b3"),
                                    f32({10, 17}, "w4"),
                                    f32({10}, "b4")};
  ConvOptions same{.padding = {1}};
  Tensor h = max_pool2d(relu(conv(x, parameters[0], parameters[1], same)), 2);
  h = relu(conv(h, parameters[2], parameters[3], same) + h);
  h = relu(linear(flatten(h, 1), parameters[4], parameters[5]));
  Tensor output = linear(h, parameters[6], parameters[7]);
  Tensor loss;
  {
    PathScope scope = PathScope::whole("loss");
    loss = cross_entropy(output, classes);
  }
  Graph graph;
  graph.inputs = {x, classes};
  graph.inputs.insert(graph.inputs.end(), parameters.begin(), parameters.end());
  graph.outputs = gradient({loss}, {scalar_like(loss, 1)}, parameters);
  graph.outputs.push_back(loss);
  return graph;
}

}  // namespace wafer::testing
