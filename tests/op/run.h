#pragma once
#include <gtest/gtest.h>

#include "tests/op/cases.h"
#include "wafer/ir/graph.h"
#include "wafer/runtime/registry.h"

namespace wafer::op_tests {

// Inputs of a case as its specification says, the same for the same seed.
std::vector<Tensor> random_inputs(const OpCase& op_case, DType dtype, uint64_t seed);

// The case's function as a graph on inputs of these types.
Graph graph_of(const Build& build, const std::vector<Tensor>& inputs);

// Compiles for the device and runs; outputs lie in host memory.
std::vector<Tensor> run_on(Device& device, const Graph& graph, const std::vector<Tensor>& inputs);

// The reason why a device's target cannot compile the graph; empty when it can.
std::string unsupported_reason(Device& device, const Graph& graph);

// Elements converted to double; whole numbers beyond 2^53 lose bits.
std::vector<double> values_of(const Tensor& tensor);

// Equal types and elements: integers to the bit, floats within the tolerance as OpCase says; NaN
// equals NaN.
::testing::AssertionResult close(const Tensor& got, const Tensor& expected, double tolerance,
                                 bool of_largest, double magnitude = 0);

// --gtest_random_seed where it is given, else another one at each start.
uint64_t run_seed();

// Devices that every machine has: those that docs/support.md shows.
std::vector<std::shared_ptr<Device>> host_devices();
// The device that WAFER_TEST_DEVICE names (none where it is absent); without that all but the
// reference and those of opencl and cuda, whose kernels are long to compile.
std::vector<std::shared_ptr<Device>> tested_devices();

// docs/support.md as it should be.
std::string support_matrix();
// Time, GFLOP/s and GB/s of perf_cases() whose op contains `filter`, on a device.
void print_performance(const std::string& device_name, const std::string& filter);

}  // namespace wafer::op_tests
