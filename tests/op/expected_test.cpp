// The reference against PyTorch and NumPy: inputs, outputs and gradients that make_expected.py
// wrote.
#include <gtest/gtest.h>

#include <set>

#include "tests/op/expected.h"
#include "tests/op/run.h"
#include "wafer/io/npy.h"
#include "wafer/tensor/grad.h"

namespace wafer::op_tests {

namespace {

using Arrays = std::map<std::string, io::NpyArray>;

Tensor to_tensor(const io::NpyArray& array) {
  static const std::map<std::string, DType> dtypes = {
      {"<f8", DType::f64}, {"<f4", DType::f32}, {"<f2", DType::f16}, {"<i8", DType::i64},
      {"<i4", DType::i32}, {"<i2", DType::i16}, {"|i1", DType::i8},  {"<u8", DType::u64},
      {"<u4", DType::u32}, {"<u2", DType::u16}, {"|u1", DType::u8},  {"|b1", DType::boolean}};
  return Tensor::from_bytes(dtypes.at(array.descr), Shape(array.shape),
                            std::as_bytes(std::span(array.bytes)));
}

// The arrays <name>.<kind>0, <name>.<kind>1, ...; empty tensors for those that are left out.
std::vector<Tensor> numbered(const Arrays& arrays, const std::string& name, const char* kind,
                             size_t count) {
  std::vector<Tensor> result(count);
  for (size_t i = 0; i < count; ++i) {
    auto found = arrays.find(str(name, ".", kind, i));
    if (found != arrays.end()) result[i] = to_tensor(found->second);
  }
  return result;
}

void check(const Arrays& arrays, const ExpectedCase& c) {
  std::vector<Tensor> inputs = numbered(arrays, c.name, "in", 8);
  while (!inputs.empty() && !inputs.back()) inputs.pop_back();
  auto reference = device("reference");
  Graph graph = graph_of(c.build, inputs);
  std::vector<Tensor> expected = numbered(arrays, c.name, "out", graph.outputs.size());
  std::vector<Tensor> got = run_on(*reference, graph, inputs);
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_TRUE(expected[i]) << "no output " << i;
    EXPECT_TRUE(close(got[i], expected[i], c.tolerance, c.of_largest)) << "output " << i;
  }

  std::vector<Tensor> cotangents = numbered(arrays, c.name, "cot", graph.outputs.size());
  std::vector<Tensor> gradients = numbered(arrays, c.name, "grad", inputs.size());
  std::vector<Tensor> wanted;
  for (const Tensor& gradient : gradients) {
    if (gradient) wanted.push_back(gradient);
  }
  if (wanted.empty()) return;
  Build differentiated = [&](const std::vector<Tensor>& in) {
    std::vector<Tensor> outputs, by, all = c.build(in), weights;
    for (size_t i = 0; i < all.size(); ++i) {
      if (!cotangents[i]) continue;
      outputs.push_back(all[i]);
      weights.push_back(cotangents[i]);
    }
    for (size_t i = 0; i < in.size(); ++i) {
      if (gradients[i]) by.push_back(in[i]);
    }
    return grad(outputs, weights, by);
  };
  got = run_on(*reference, graph_of(differentiated, inputs), inputs);
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_TRUE(close(got[i], wanted[i], 1024, true)) << "gradient " << i;
  }
}

class Expected : public testing::TestWithParam<const char*> {};

TEST_P(Expected, ReferenceAgrees) {
  const std::string family = GetParam();
  Arrays arrays = io::read_npz(str(WAFER_SOURCE_DIR, "/tests/op/data/", family, ".npz"));
  std::set<std::string> left;
  for (const auto& [name, array] : arrays) left.insert(name.substr(0, name.rfind('.')));
  for (const ExpectedCase& c : expected_cases(family)) {
    SCOPED_TRACE(family + ": " + c.name);
    EXPECT_TRUE(left.erase(c.name)) << "the file has no such case";
    try {
      check(arrays, c);
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
  for (const std::string& name : left)
    ADD_FAILURE() << family << " case '" << name << "' is not run";
}

INSTANTIATE_TEST_SUITE_P(Families, Expected,
                         testing::Values("elementwise", "shape", "reduce", "matmul", "conv", "pool",
                                         "index", "loss", "norm", "random"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace

}  // namespace wafer::op_tests
