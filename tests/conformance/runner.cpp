#include "runner.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>

#include "wafer/base/error.h"
#include "wafer/deploy/onnx/onnx.h"

namespace wafer::conformance {

namespace {
namespace fs = std::filesystem;
using onnx::Value;

// The tolerances of the standard's own runner, and one unit in the last place of the largest
// element: the expected sums are rounded too.
constexpr double relative_tolerance = 1e-3, absolute_tolerance = 1e-7;
constexpr double rounding = 1.2e-7;

std::vector<double> numbers(const Tensor& tensor) {
  std::vector<double> out;
  visit(tensor.dtype(), [&]<class T>(std::type_identity<T>) {
    for (T value : tensor.data<T>()) out.push_back(static_cast<double>(value));
  });
  return out;
}

// What differs between two values, or nothing.
std::string difference(const Value& got, const Value& expected) {
  if (expected.sequence) {
    if (!got.sequence || got.sequence->size() != expected.sequence->size())
      return str("got ", got.text(), ", expected ", expected.text());
    for (size_t i = 0; i < expected.sequence->size(); ++i) {
      std::string inner = difference((*got.sequence)[i], (*expected.sequence)[i]);
      if (!inner.empty()) return str("element ", i, ": ", inner);
    }
    return {};
  }
  if (expected.empty_optional) return got.empty_optional ? "" : "expected an empty optional";
  if (got.type != expected.type || onnx::dims_of(got) != onnx::dims_of(expected))
    return str("got ", got.text(), ", expected ", expected.text());
  if (expected.strings)
    return got.strings->values == expected.strings->values ? "" : "the strings differ";
  if (expected.tensor.dtype() == DType::i64 || expected.tensor.dtype() == DType::u64) {
    bool same = expected.tensor.dtype() == DType::i64
                    ? got.tensor.data<int64_t>() == expected.tensor.data<int64_t>()
                    : got.tensor.data<uint64_t>() == expected.tensor.data<uint64_t>();
    if (same) return {};
  }
  auto a = numbers(got.tensor), b = numbers(expected.tensor);
  bool floating = is_floating(expected.tensor.dtype());
  double largest = 0;
  for (double value : b)
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < b.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    double limit =
        floating ? absolute_tolerance + relative_tolerance * std::abs(b[i]) + rounding * largest
                 : 0;
    // A comparison with NaN is false.
    if (std::abs(a[i] - b[i]) <= limit && std::isfinite(b[i])) continue;
    return str("element ", i, " is ", a[i], ", expected ", b[i]);
  }
  return {};
}

void collect_operators(const onnx::GraphDef& graph, std::set<std::string>& names) {
  for (const auto& node : graph.nodes) {
    names.insert(node.domain.empty() ? node.op_type : node.domain + "." + node.op_type);
    for (const auto& [name, attribute] : node.attributes)
      if (attribute.g) collect_operators(*attribute.g, names);
  }
}

std::vector<Value> read_values(const fs::path& folder, const std::string& prefix,
                               const std::vector<onnx::ValueInfo>& infos) {
  std::vector<Value> values;
  for (size_t i = 0; i < infos.size(); ++i) {
    fs::path path = folder / str(prefix, "_", i, ".pb");
    values.push_back(fs::exists(path) ? onnx::read_value(path, infos[i].type) : Value());
  }
  return values;
}

// Whether a model may draw random numbers: the standard does not say which, so that a test's cannot
// be met. Such a test counts as unsupported where its numbers differ.
bool draws_random_numbers(const std::vector<std::string>& operators) {
  for (const std::string& name : operators) {
    if (name == "Bernoulli" || name == "Multinomial" || name.starts_with("Random")) return true;
    if (name == "Dropout") return true;  // in training mode
  }
  return false;
}

Result run_test(const std::string& suite, const fs::path& folder) {
  Result result;
  result.suite = suite;
  result.name = folder.filename().string();
  try {
    onnx::Session session(folder / "model.onnx");
    std::set<std::string> names;
    collect_operators(session.model().graph, names);
    result.operators.assign(names.begin(), names.end());
    for (const auto& [key, function] : session.model().functions) {
      for (const auto& node : function.nodes) names.insert(node.op_type);
    }
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (!entry.is_directory()) continue;
      auto outputs = session.run(read_values(entry.path(), "input", session.inputs()));
      result.segments = std::max(result.segments, outputs.segments);
      auto expected = read_values(entry.path(), "output", session.outputs());
      for (size_t i = 0; i < expected.size(); ++i) {
        if (!expected[i]) continue;
        std::string what = difference(outputs.values[i], expected[i]);
        if (what.empty()) continue;
        result.status = Status::wrong;
        result.message = str("output '", session.outputs()[i].name, "': ", what);
        if (draws_random_numbers(result.operators)) {
          result.status = Status::unsupported;
          result.message = "random numbers are drawn by another generator than the test's";
        }
        return result;
      }
    }
    result.status = Status::pass;
  } catch (const UserError& error) {
    result.message = error.what();
    // The file's place on this machine says nothing.
    std::string place = str("[", (folder / "model.onnx").string(), "] ");
    size_t at = result.message.find(place);
    if (at != std::string::npos) result.message.erase(at, place.size());
  } catch (const std::exception& error) {
    result.status = Status::wrong;
    result.message = str("not a clear error: ", error.what());
  }
  return result;
}
}  // namespace

fs::path data_folder() {
  const char* set = std::getenv("WAFER_ONNX_DATA");
  fs::path folder = set ? set : WAFER_ONNX_DATA_FOLDER;
  return fs::is_directory(folder / "node") ? folder : fs::path();
}

std::vector<Result> run_suite(const std::string& suite, const std::string& filter) {
  std::vector<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(data_folder() / suite)) {
    bool wanted = entry.path().filename().string().find(filter) != std::string::npos;
    if (wanted && fs::exists(entry.path() / "model.onnx")) folders.push_back(entry.path());
  }
  std::sort(folders.begin(), folders.end());
  std::vector<Result> results;
  for (const fs::path& folder : folders) results.push_back(run_test(suite, folder));
  return results;
}

}  // namespace wafer::conformance
