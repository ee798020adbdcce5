#pragma once
#include <string>
#include <vector>

#include "tests/kernel/helpers.h"
#include "wafer/kernel/c_printer.h"

namespace wafer::testing {

// One program with inputs, and what the CPU's interpreter makes of them.
struct Case {
  std::string name;
  kernel::Program program;
  std::vector<Type> input_types, output_types;
  std::vector<Bytes> inputs, expected;
  bool exact = true;  // else within a few units in the last place
};

// Every element-wise op in every dtype that it computes in, every cast, and groups with broadcasts;
// `few`: groups, and ops in a handful of dtypes only.
std::vector<Case> make_cases(bool few);

// All kernels and the prelude as one source.
std::string whole_source(const std::vector<kernel::PrintedKernel>& kernels,
                         const kernel::Dialect& dialect);
std::vector<kernel::PrintedKernel> print_all(const std::vector<Case>& cases);

// The host's own C++ as a kernel language.
extern const kernel::Dialect host_c;

// Compares what a kernel wrote with what is expected.
void expect_outputs(const Case& a_case, const std::vector<Bytes>& outputs);

// Runs all kernels; returns each one's outputs. Empty, with `reason` set, where that cannot be done
// on this machine.
std::vector<std::vector<Bytes>> run_host_c(const std::vector<Case>& cases);
std::vector<std::vector<Bytes>> run_opencl(const std::vector<Case>& cases, std::string& reason);
// Compiler's log for the architecture ("sm_80"); empty when all is well.
std::string compile_nvrtc(const std::string& source, const std::string& architecture,
                          std::string& reason);

}  // namespace wafer::testing
