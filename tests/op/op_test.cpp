#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "tests/op/run.h"
#include "wafer/base/philox.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"
#include "wafer/op/reduce.h"
#include "wafer/pass/decompose.h"
#include "wafer/tensor/grad.h"

namespace wafer::op_tests {

namespace {

std::vector<std::string> op_names() {
  std::vector<std::string> names;
  for (const OpDef* op : all_ops()) {
    if (op != &op::input && op != &op::constant) names.emplace_back(op->name);
  }
  return names;
}

std::vector<const OpCase*> cases_of(const std::string& op) {
  std::vector<const OpCase*> result;
  for (const OpCase& each : all_cases()) {
    if (each.op == op) result.push_back(&each);
  }
  return result;
}

std::string label(const OpCase& c, DType dtype) {
  return str(c.op, " '", c.name, "' of ", dtype, ", seed ", run_seed(),
             " (--gtest_random_seed=", run_seed(), " repeats it)");
}

// Calls fn; what it throws is a failure within the case, not the end of the test.
template <class F>
void guarded(F&& fn) {
  try {
    fn();
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what();
  }
}

class Ops : public testing::TestWithParam<std::string> {};

std::shared_ptr<Device> reference_device() {
  return device("reference");
}

void compare_devices(const OpCase& c, DType dtype) {
  std::vector<Tensor> inputs = random_inputs(c, dtype, run_seed());
  Graph graph = graph_of(c.build, inputs);
  std::vector<Tensor> expected = run_on(*device("reference"), graph, inputs);
  for (const auto& device : tested_devices()) {
    SCOPED_TRACE("on " + device->info().name);
    if (std::string reason = unsupported_reason(*device, graph); !reason.empty()) {
      // The compute backend that every machine has supports everything; docs/support.md shows what
      // others lack.
      EXPECT_FALSE(device->info().name == "cpu" || device->info().is_host_cpu) << reason;
      continue;
    }
    std::vector<Tensor> got = run_on(*device, graph, inputs);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_TRUE(close(got[i], expected[i], c.tolerance, c.of_largest, c.magnitude))
          << "output " << i;
    }
  }
}

// Pairs of a case and a dtype such that each case and each dtype of the op is among them; which
// ones, depends on the seed.
std::vector<std::pair<const OpCase*, DType>> sampled_pairs(const std::string& op) {
  std::vector<const OpCase*> cases = cases_of(op);
  std::set<std::pair<size_t, DType>> chosen;
  auto turn = static_cast<size_t>(run_seed());
  std::set<DType> missing;
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto& dtypes = cases[i]->dtypes;
    chosen.insert({i, dtypes[(i + turn) % dtypes.size()]});
    missing.insert(dtypes.begin(), dtypes.end());
  }
  for (const auto& pair : chosen) missing.erase(pair.second);
  for (DType dtype : missing) {
    ++turn;
    for (size_t i = 0; i < cases.size(); ++i) {
      size_t at = (i + turn) % cases.size();
      const auto& dtypes = cases[at]->dtypes;
      if (std::find(dtypes.begin(), dtypes.end(), dtype) == dtypes.end()) continue;
      chosen.insert({at, dtype});
      break;
    }
  }
  std::vector<std::pair<const OpCase*, DType>> result;
  for (const auto& [i, dtype] : chosen) result.emplace_back(cases[i], dtype);
  return result;
}

// Cases of an op in one graph: devices that compile kernels take long to compile each.
void compare_together(Device& device, const std::string& op) {
  struct Part {
    const OpCase* op_case;
    DType dtype;
    std::vector<Tensor> expected;
  };
  std::vector<Part> parts;
  std::vector<Tensor> inputs;
  Graph whole;
  for (const auto& [op_case, op_dtype] : sampled_pairs(op)) {
    const OpCase* c = op_case;
    DType dtype = op_dtype;
    SCOPED_TRACE(label(*c, dtype));
    guarded([&] {
      std::vector<Tensor> own = random_inputs(*c, dtype, run_seed());
      Graph graph = graph_of(c->build, own);
      try {
        decompose(graph, device.target());
      } catch (const UserError& error) {
        EXPECT_FALSE(device.info().is_host_cpu) << error.what();
        return;
      }
      parts.push_back({c, dtype, run_on(*reference_device(), graph, own)});
      inputs.insert(inputs.end(), own.begin(), own.end());
      whole.inputs.insert(whole.inputs.end(), graph.inputs.begin(), graph.inputs.end());
      whole.outputs.insert(whole.outputs.end(), graph.outputs.begin(), graph.outputs.end());
    });
  }
  guarded([&] {
    std::vector<Tensor> got = run_on(device, whole, inputs);
    size_t next = 0;
    for (const Part& part : parts) {
      SCOPED_TRACE(label(*part.op_case, part.dtype));
      for (size_t i = 0; i < part.expected.size(); ++i) {
        EXPECT_TRUE(close(got.at(next++), part.expected[i], part.op_case->tolerance,
                          part.op_case->of_largest, part.op_case->magnitude))
            << "output " << i;
      }
    }
    EXPECT_EQ(next, got.size());
  });
}

// Every device against the reference on fresh random inputs.
TEST_P(Ops, test) {
  if (tested_devices().empty()) GTEST_SKIP() << "no such device is here";
  if (std::getenv("WAFER_TEST_DEVICE")) return compare_together(*tested_devices()[0], GetParam());
  for (const OpCase* c : cases_of(GetParam())) {
    for (DType dtype : c->dtypes) {
      SCOPED_TRACE(label(*c, dtype));
      guarded([&] { compare_devices(*c, dtype); });
    }
  }
}

// A scalar function of inputs, and its gradient by some of them.
struct Scalar {
  Build value, gradients;
};

// <function(inputs), fixed random numbers>, with the numbers as constants of the graph.
Scalar contracted(const Build& function, const std::vector<size_t>& wrt, uint64_t seed) {
  Build value = [function, seed](const std::vector<Tensor>& in) {
    Tensor loss;
    uint64_t stream = 1000;
    for (const Tensor& output : function(in)) {
      if (!is_floating(output.dtype())) continue;
      RandomStream random(seed, stream++);
      std::vector<double> weights(static_cast<size_t>(output.elements()));
      for (double& weight : weights) weight = random.uniform() - 0.5;
      Tensor weighted = cast(output, DType::f64) * Tensor::from_values(weights, output.shape());
      Tensor sum = reduce_sum(weighted);
      loss = loss ? loss + sum : sum;
    }
    return std::vector{loss};
  };
  Build gradients = [value, wrt](const std::vector<Tensor>& in) {
    std::vector<Tensor> by;
    for (size_t i : wrt) by.push_back(in[i]);
    return grad(value(in)[0], by);
  };
  return {value, gradients};
}

// Compares gradients with central differences at up to 40 elements of each input.
void check_gradient(const Scalar& function, const std::vector<Tensor>& inputs,
                    const std::vector<size_t>& wrt) {
  constexpr double step = 1e-6;
  constexpr int64_t checked = 40;
  auto reference = device("reference");
  Graph value_graph = graph_of(function.value, inputs);
  auto artifact = reference->target().compile(value_graph, {});
  std::vector<Tensor> gradients = run_on(*reference, graph_of(function.gradients, inputs), inputs);

  std::vector<std::shared_ptr<Storage>> storages;
  for (const Tensor& input : inputs) {
    storages.push_back(allocate_host(input.type().bytes()));
    reference->copy_from_host(input.storage()->data(), *storages.back(), input.type().bytes());
  }
  auto evaluate = [&] {
    return *static_cast<const double*>(execute(*reference, *artifact, storages)[0]->data());
  };
  double center = std::abs(evaluate());
  for (size_t k = 0; k < wrt.size(); ++k) {
    auto* x = static_cast<double*>(storages[wrt[k]]->data());
    std::vector<double> gradient = values_of(gradients[k]);
    int64_t elements = inputs[wrt[k]].elements();
    int64_t stride = std::max<int64_t>(1, elements / checked);
    for (int64_t i = 0; i < elements; i += stride) {
      double kept = x[i];
      x[i] = kept + step;
      double above = evaluate();
      x[i] = kept - step;
      double below = evaluate();
      x[i] = kept;
      double expected = (above - below) / (2 * step), got = gradient[static_cast<size_t>(i)];
      // Rounding of the function's value divided by the step, and the step's square.
      double allowed = 1e-6 * (1 + std::abs(expected)) + 1e-9 * center;
      ASSERT_NEAR(got, expected, allowed) << "gradient by element " << i << " of input " << wrt[k];
    }
  }
}

// False when there is nothing to differentiate by.
bool check_gradients(const OpCase& c) {
  std::vector<Tensor> inputs = random_inputs(c, DType::f64, run_seed());
  std::vector<size_t> wrt;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].dtype() == DType::f64) wrt.push_back(i);
  }
  if (wrt.empty()) return false;
  SCOPED_TRACE(label(c, DType::f64));
  guarded([&] {
    Scalar first = contracted(c.build, wrt, run_seed());
    check_gradient(first, inputs, wrt);
    if (!c.second || testing::Test::HasFailure()) return;
    SCOPED_TRACE("the gradient's gradient");
    check_gradient(contracted(first.gradients, wrt, run_seed() + 1), inputs, wrt);
  });
  return true;
}

TEST_P(Ops, grad) {
  bool any = false;
  for (const OpCase* c : cases_of(GetParam())) {
    bool in_f64 = std::find(c->dtypes.begin(), c->dtypes.end(), DType::f64) != c->dtypes.end();
    if (c->grad && in_f64) any = check_gradients(*c) || any;
  }
  const OpDef* op = find_op(GetParam());
  bool random = op == &op::random_uniform || op == &op::random_normal;
  bool differentiable = (op->vjp || op->decompose) && !random;
  EXPECT_TRUE(any || !differentiable) << "no case of a differentiable op is in mode grad";
  if (!any) GTEST_SKIP() << "not differentiable";
}

// Every dtype that the op claims has a case that makes such a node, and cases hold what they name.
TEST_P(Ops, support) {
  std::set<DType> covered;
  for (const OpCase* c : cases_of(GetParam())) {
    bool holds = false;
    for (DType dtype : c->dtypes) {
      guarded([&] {
        Graph graph = graph_of(c->build, random_inputs(*c, dtype, 1));
        for (const Node* node : topological_order(graph)) {
          if (node->op->name != GetParam()) continue;
          holds = true;
          covered.insert(tested_dtype(*node));
        }
      });
    }
    EXPECT_TRUE(holds) << "case '" << c->name << "' makes no " << GetParam();
  }
  for (DType dtype : claimed_dtypes(GetParam())) {
    EXPECT_TRUE(covered.count(dtype)) << GetParam() << " of " << dtype << " has no case";
  }
}

bool is_empty(const OpCase& c, const Graph& graph) {
  auto without_elements = [](const Type& type) { return type.elements() == 0; };
  bool input = std::any_of(c.inputs.begin(), c.inputs.end(), [](const Input& each) {
    return std::find(each.sizes.begin(), each.sizes.end(), 0) != each.sizes.end();
  });
  return input || std::any_of(graph.outputs.begin(), graph.outputs.end(),
                              [&](const Tensor& y) { return without_elements(y.type()); });
}

TEST_P(Ops, HasACaseWithoutElements) {
  bool any = false;
  for (const OpCase* c : cases_of(GetParam()))
    any = any || is_empty(*c, graph_of(c->build, random_inputs(*c, c->dtypes[0], 1)));
  EXPECT_TRUE(any) << "no case of " << GetParam() << " has a dimension of zero";
}

TEST_P(Ops, perf) {
  bool holds = false;
  for (const OpCase& c : perf_cases()) {
    if (c.op != GetParam()) continue;
    // Only traced: the values are never read.
    std::vector<Tensor> inputs;
    for (const Input& input : c.inputs) {
      Type type{input.dtype.value_or(c.dtypes[0]), Shape(input.sizes)};
      inputs.push_back(Tensor::from_storage(type, allocate_host(type.bytes())));
    }
    Graph graph = graph_of(c.build, inputs);
    bool found = false;
    for (const Node* node : topological_order(graph)) found = found || node->op->name == c.op;
    EXPECT_TRUE(found) << "case '" << c.name << "' makes no " << c.op;
    holds = holds || found;
  }
  EXPECT_TRUE(holds) << GetParam() << " has no case in tests/op/perf_cases.cpp";
}

INSTANTIATE_TEST_SUITE_P(All, Ops, testing::ValuesIn(op_names()),
                         [](const auto& info) { return info.param; });

TEST(Cases, NameOpsThatExist) {
  for (const OpCase& c : all_cases()) EXPECT_NE(find_op(c.op), nullptr) << c.op;
}

TEST(SupportMatrix, IsWhatTheDocumentShows) {
  std::ifstream file(std::string(WAFER_SOURCE_DIR) + "/docs/support.md");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), support_matrix())
      << "docs/support.md is stale: run scripts/support_matrix.sh";
}

}  // namespace

}  // namespace wafer::op_tests
