#pragma once
#include <string>
#include <vector>

#include "tests/op/cases.h"

namespace wafer::op_tests {

// A case of tests/op/data/<family>.npz by its name there, and the function that it is about.
struct ExpectedCase {
  std::string name;
  Build build;
  double tolerance = 64;  // as OpCase has it
  bool of_largest = true;
};

std::vector<ExpectedCase> expected_cases(const std::string& family);

}  // namespace wafer::op_tests
