#pragma once
#include <filesystem>
#include <string>
#include <vector>

// The tests of the ONNX standard: folders with a model, inputs and expected outputs.
namespace wafer::conformance {

enum class Status { pass, unsupported, wrong };

struct Result {
  std::string suite, name;             // "node", "test_add"
  std::vector<std::string> operators;  // of the model's graph, in order of name
  Status status = Status::unsupported;
  std::string message;  // what a user would see, or what differs
  int segments = 0;     // graphs compiled one after another
};

// The folder of the tests: WAFER_ONNX_DATA, or where scripts/setup.sh puts them; empty where
// neither is.
std::filesystem::path data_folder();

// Runs every test of a suite whose name contains `filter`, through Session alone.
std::vector<Result> run_suite(const std::string& suite, const std::string& filter = {});

// docs/onnx.md: a table by operator, and every test that does not pass with its reason.
std::string report(const std::vector<Result>& results);
// The tests that pass, one a line.
std::string pass_list(const std::vector<Result>& results);

}  // namespace wafer::conformance
