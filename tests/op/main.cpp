// Runs the tests, or: --write-support FILE writes the support matrix; --perf [DEVICE [OP]] prints
// speeds; --write-onnx FOLDER OPSET writes the cases as ONNX files (tests/deploy/check_export.py);
// --write-export prints the table of docs/onnx-export.md.
#include <fstream>
#include <iostream>

#include "tests/op/onnx_files.h"
#include "tests/op/run.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    if (arguments.size() == 2 && arguments[0] == "--write-support") {
      std::ofstream file(arguments[1]);
      file << wafer::op_tests::support_matrix();
      return file.good() ? 0 : 1;
    }
    if (arguments.size() == 1 && arguments[0] == "--write-export") {
      std::cout << wafer::op_tests::export_table();
      return 0;
    }
    if (arguments.size() == 3 && arguments[0] == "--write-onnx") {
      wafer::op_tests::write_onnx_cases(arguments[1], std::stoll(arguments[2]));
      return 0;
    }
    if (!arguments.empty() && arguments[0] == "--perf") {
      wafer::op_tests::print_performance(arguments.size() > 1 ? arguments[1] : "cpu",
                                         arguments.size() > 2 ? arguments[2] : "");
      return 0;
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
  return RUN_ALL_TESTS();
}
