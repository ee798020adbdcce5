#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "wafer/ir/tensor.h"

// The cases that every op is tested with, on every device: one list per family of ops
// (cases_<family>.cpp), read by all modes: `test` (against the reference device), `grad` (against
// finite differences), `support` (every op, dtype and mode has a case) and `perf` (speed).
namespace wafer::op_tests {

using Sizes = std::vector<int64_t>;
using Build = std::function<std::vector<Tensor>(const std::vector<Tensor>&)>;

enum class Fill {
  uniform,    // floats in [low, high), integers in [-20, 20] or [0, 40], booleans
  separated,  // a shuffled grid over [low, high]: no two equal where the dtype can tell them apart
  index,      // integers in [low, high)
};

struct Input {
  Sizes sizes;
  double low = -2, high = 2;
  Fill fill = Fill::uniform;
  std::optional<DType> dtype = {};  // nothing: the dtype under test
};

struct OpCase {
  std::string op;    // as in ops.def
  std::string name;  // what is special about it
  std::vector<Input> inputs;
  Build build;
  std::vector<DType> dtypes;  // of the inputs without one
  bool grad = true;           // run in mode `grad`; also needs f64 among the dtypes
  bool second = true;         // check the gradient's gradient too
  // Allowed error in units of the output dtype's epsilon: relative to each element, or for sums of
  // many terms to the greatest element of the output.
  double tolerance = 4;
  bool of_largest = false;
  double magnitude = 0;  // of intermediate values, where it is above the output's
};

// dtype sets
const std::vector<DType>& all_dtypes();  // f64 to boolean
const std::vector<DType>& numbers();     // all but boolean
const std::vector<DType>& floats();
const std::vector<DType>& only(DType dtype);

// The dtypes that nodes of an op are made with by its builders; what the tests must cover.
std::vector<DType> claimed_dtypes(const std::string& op);
// The dtype that a node counts for: that of the values it works on.
DType tested_dtype(const Node& node);

// Two numbers in, by the op's name.
using BinaryOp = Tensor (*)(const Tensor&, const Tensor&);
const std::vector<std::pair<const char*, BinaryOp>>& binary_ops();

std::vector<OpCase> elementwise_cases();
std::vector<OpCase> activation_cases();
std::vector<OpCase> shape_cases();
std::vector<OpCase> reduce_cases();
std::vector<OpCase> matmul_cases();
std::vector<OpCase> conv_cases();
std::vector<OpCase> pool_cases();
std::vector<OpCase> index_cases();
std::vector<OpCase> random_cases();
std::vector<OpCase> softmax_cases();
std::vector<OpCase> loss_cases();
std::vector<OpCase> norm_cases();
std::vector<OpCase> attention_cases();
std::vector<OpCase> recurrent_cases();
std::vector<OpCase> control_flow_cases();
std::vector<OpCase> layout_cases();
// All of the above.
const std::vector<OpCase>& all_cases();
// Large ones for mode `perf`.
std::vector<OpCase> perf_cases();

// "3x5", "scalar".
std::string text(const Sizes& sizes);

}  // namespace wafer::op_tests
