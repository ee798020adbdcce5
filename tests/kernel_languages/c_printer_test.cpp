#include "wafer/kernel/c_printer.h"

#include <gtest/gtest.h>

#include "tests/kernel_languages/cases.h"

namespace wafer {
namespace {

using namespace wafer::testing;

Tensor f32(const Shape& shape) {
  return make_input({DType::f32, shape}, "x");
}

TEST(CPrinter, AKernelReadsAsItsProgram) {
  Tensor x = f32({4, 3}), y = f32({3}), s = f32({});
  Graph group{{x, y, s}, {maximum(x + y, s)}, {}};
  auto program = kernel::build_program(group, {x.type(), y.type(), s.type()}, {x.type()});
  auto printed = kernel::print_kernel(program, "shifted");
  EXPECT_EQ(printed.inputs, (std::vector<int>{0, 1, 2}));
  EXPECT_EQ(printed.outputs, (std::vector<int>{0}));
  EXPECT_FALSE(printed.f64);
  EXPECT_EQ(printed.source,
            "WF_KERNEL shifted(const WF_GLOBAL float* in0, const WF_GLOBAL float* in1, const "
            "WF_GLOBAL float* in2, WF_GLOBAL float* out0) {\n"
            "  WF_LOOP(i, 12) {\n"
            "    WF_INDEX d1 = i / 1 % 3;\n"
            "    float v0 = in0[i];\n"
            "    float v1 = in1[d1 * 1];\n"
            "    float v2 = v0 + v1;\n"
            "    float v3 = in2[0];\n"
            "    float v4 = wf_maximum_float(v2, v3);\n"
            "    out0[i] = (float)v4;\n"
            "  }\n"
            "}\n");
}

TEST(CPrinter, ComputesAsTheInterpreterDoes) {
  auto cases = make_cases(false);
  auto results = run_host_c(cases);
  ASSERT_EQ(results.size(), cases.size());
  for (size_t i = 0; i < cases.size(); ++i) expect_outputs(cases[i], results[i]);
}

TEST(CPrinter, OpenClComputesAsTheInterpreterDoes) {
  auto cases = make_cases(true);
  std::string reason;
  auto results = run_opencl(cases, reason);
  if (!reason.empty()) GTEST_SKIP() << reason;
  ASSERT_EQ(results.size(), cases.size());
  for (size_t i = 0; i < cases.size(); ++i) expect_outputs(cases[i], results[i]);
}

TEST(CPrinter, NvrtcCompilesEveryKernelWithoutAWarning) {
  auto source = whole_source(print_all(make_cases(false)), kernel::cuda_c);
  for (const char* architecture : {"sm_80", "sm_90"}) {
    std::string reason;
    std::string log = compile_nvrtc(source, architecture, reason);
    if (!reason.empty()) GTEST_SKIP() << reason;
    EXPECT_EQ(log, "") << architecture;
  }
}

}  // namespace
}  // namespace wafer
