#include <map>
#include <set>
#include <sstream>

#include "runner.h"
#include "wafer/deploy/onnx/onnx.h"

namespace wafer::conformance {

namespace {
struct Count {
  int pass = 0, unsupported = 0, wrong = 0;
  int total() const { return pass + unsupported + wrong; }
  void add(Status status) {
    ++(status == Status::pass ? pass : status == Status::wrong ? wrong : unsupported);
  }
};

// Text that may stand in a table.
std::string cell(std::string text) {
  std::string out;
  for (char c : text) {
    if (c == '|')
      out += "\\|";
    else if (c == '\n')
      out += ' ';
    else if (c == '<')
      out += "&lt;";
    else
      out += c;
  }
  return out;
}
}  // namespace

std::string pass_list(const std::vector<Result>& results) {
  std::string text;
  for (const Result& r : results)
    if (r.status == Status::pass) text += r.suite + "/" + r.name + "\n";
  return text;
}

std::string report(const std::vector<Result>& results) {
  std::map<std::string, Count> suites, operators;
  int whole = 0;
  for (const Result& r : results) {
    suites[r.suite].add(r.status);
    whole += r.status == Status::pass && r.segments <= 1;
    for (const std::string& name : r.operators) operators[name].add(r.status);
  }
  for (const std::string& name : onnx::supported_operators()) operators[name];
  std::ostringstream out;
  out << "# ONNX\n\n"
         "wafer reads ONNX models of IR versions 3 to 13 and operator sets up to 27, and\n"
         "[writes](onnx-export.md) sets 17 to 27. This page is\n"
         "made by the conformance tests (`test_conformance --write`), which run the standard's "
         "own\n"
         "test data (the `onnx` 1.22.0 package) through the public import path on the cpu "
         "backend.\n"
         "A test passes when types and shapes are equal and numbers within the standard's\n"
         "tolerances (1e-3 relative, 1e-7 absolute, and one unit in the last place of the largest\n"
         "element, since the expected sums are rounded too); `unsupported` is a clear error;\n"
         "`wrong` is anything else.\n\n"
         "`Session::graph` compiles a model ahead as one graph; `Session::run` also runs models\n"
         "whose shapes or course depend on computed values, strings or sequences, piece by "
         "piece.\n\n"
         "| Suite | Tests | Pass | Unsupported | Wrong |\n|---|---|---|---|---|\n";
  for (const auto& [name, count] : suites) {
    out << "| " << name << " | " << count.total() << " | " << count.pass << " | "
        << count.unsupported << " | " << count.wrong << " |\n";
  }
  out << "\nOf the passing tests " << whole << " ran as one compiled graph.\n\n"
      << "## Training\n\n`wafer train --from model.onnx --data photos/` trains a model further: "
         "what becomes a parameter\nand what is replaced is in "
         "[models](models.md#going-on-from-a-model).\n\n"
      << "## Operators\n\nThe tests whose model uses the operator; an operator without tests has "
         "a rule that other tests\nof this project cover, or none do.\n\n"
         "| Operator | Tests | Pass | Unsupported | Wrong |\n|---|---|---|---|---|\n";
  for (const auto& [name, count] : operators) {
    out << "| " << name << " | " << count.total() << " | " << count.pass << " | "
        << count.unsupported << " | " << count.wrong << " |\n";
  }
  out << "\n## Tests that do not pass\n\n| Test | What a user sees |\n|---|---|\n";
  for (const Result& r : results) {
    if (r.status == Status::pass) continue;
    out << "| " << r.suite << "/" << r.name << " | " << (r.status == Status::wrong ? "WRONG: " : "")
        << cell(r.message) << " |\n";
  }
  return out.str();
}

}  // namespace wafer::conformance
