#pragma once
#include <functional>
#include <map>
#include <string>

#include "tests/op/run.h"
#include "wafer/base/error.h"

namespace wafer::testing {

// Runs the cases of ops, in one graph for each op: the device computes what the reference does.
// Each case in one of its dtypes, another for each `turn`.
inline void compare_with_reference(const std::shared_ptr<Device>& device,
                                   const std::function<bool(const std::string&)>& wanted,
                                   size_t turn) {
  std::map<std::string, std::vector<const op_tests::OpCase*>> by_op;
  for (const auto& each : op_tests::all_cases()) {
    if (wanted(each.op)) by_op[each.op].push_back(&each);
  }
  ASSERT_FALSE(by_op.empty());
  for (const auto& [op, cases] : by_op) {
    std::vector<Tensor> inputs, expected;
    std::vector<const op_tests::OpCase*> owner;
    Graph whole;
    for (const auto* each : cases) {
      DType dtype = each->dtypes[turn++ % each->dtypes.size()];
      SCOPED_TRACE(str(op, " '", each->name, "' of ", dtype));
      std::vector<Tensor> own = op_tests::random_inputs(*each, dtype, 1);
      Graph graph = op_tests::graph_of(each->build, own);
      for (const Tensor& y : op_tests::run_on(*wafer::device("reference"), graph, own)) {
        expected.push_back(y);
        owner.push_back(each);
      }
      inputs.insert(inputs.end(), own.begin(), own.end());
      whole.inputs.insert(whole.inputs.end(), graph.inputs.begin(), graph.inputs.end());
      whole.outputs.insert(whole.outputs.end(), graph.outputs.begin(), graph.outputs.end());
    }
    std::vector<Tensor> got = op_tests::run_on(*device, whole, inputs);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_TRUE(op_tests::close(got[i], expected[i], owner[i]->tolerance, owner[i]->of_largest,
                                  owner[i]->magnitude))
          << op << " '" << owner[i]->name << "'";
    }
  }
}

}  // namespace wafer::testing
