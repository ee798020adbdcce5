#include "tests/op/run.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>

#include "wafer/base/philox.h"
#include "wafer/op/op.h"
#include "wafer/runtime/device.h"
#include "wafer/tensor/jit.h"

namespace wafer::op_tests {

namespace {

// Limits of what an integer dtype is filled with.
struct Range {
  int64_t low, high;  // both included
};
Range integer_range(DType dtype, double low, double high) {
  auto from = static_cast<int64_t>(std::min(low, -20.0)),
       to = static_cast<int64_t>(std::max(high, 20.0));
  if (!is_signed(dtype)) {
    to -= from;
    from = 0;
  }
  if (bits(dtype) == 8) {
    from = std::max<int64_t>(from, is_signed(dtype) ? -128 : 0);
    to = std::min<int64_t>(to, is_signed(dtype) ? 127 : 255);
  }
  return {from, to};
}

std::vector<double> draw(const Input& input, DType dtype, int64_t count, RandomStream& random) {
  std::vector<double> values;
  auto n = static_cast<double>(count);
  auto below = [&](int64_t bound) {
    return static_cast<double>(random.below(static_cast<uint32_t>(bound)));
  };
  if (input.fill == Fill::separated) {
    std::vector<int64_t> places(static_cast<size_t>(count));
    std::iota(places.begin(), places.end(), int64_t{0});
    random.shuffle(places);
    for (int64_t place : places) {
      auto p = static_cast<double>(place);
      if (is_floating(dtype))
        values.push_back(input.low + (p + 0.5) / n * (input.high - input.low));
      else
        values.push_back(is_signed(dtype) ? p - std::floor(n / 2) : p);
    }
    return values;
  }
  bool negative = is_floating(dtype) || is_signed(dtype);
  Range range = integer_range(dtype, input.low, input.high);
  for (int64_t i = 0; i < count; ++i) {
    if (input.fill == Fill::index) {
      double value = below(static_cast<int64_t>(input.high - input.low));
      values.push_back(negative ? value + input.low : value);
    } else if (is_floating(dtype)) {
      double u = (random.next() + random.uniform()) * 0x1p-32;
      values.push_back(input.low + u * (input.high - input.low));
    } else if (dtype == DType::boolean) {
      values.push_back(below(2));
    } else {
      values.push_back(below(range.high - range.low + 1) + static_cast<double>(range.low));
    }
  }
  return values;
}

}  // namespace

std::vector<Tensor> random_inputs(const OpCase& op_case, DType dtype, uint64_t seed) {
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < op_case.inputs.size(); ++i) {
    const Input& input = op_case.inputs[i];
    DType type = input.dtype.value_or(dtype);
    Shape shape(input.sizes);
    RandomStream random(seed, i);
    std::vector<double> values = draw(input, type, shape.elements(), random);
    inputs.push_back(visit(type, [&]<class T>(std::type_identity<T>) {
      std::vector<T> typed;
      for (double value : values) {
        if constexpr (std::is_same_v<T, bool>)
          typed.push_back(static_cast<int64_t>(value) & 1);
        else if constexpr (std::is_integral_v<T>)
          typed.push_back(static_cast<T>(static_cast<int64_t>(value)));
        else
          typed.push_back(T(value));
      }
      return Tensor::from_values(typed, shape);
    }));
  }
  return inputs;
}

Graph graph_of(const Build& build, const std::vector<Tensor>& inputs) {
  std::vector<Type> types;
  for (const Tensor& input : inputs) types.push_back(input.type());
  return trace(build, types);
}

std::vector<Tensor> run_on(Device& device, const Graph& graph, const std::vector<Tensor>& inputs) {
  auto artifact = device.target().compile(graph, {});
  std::vector<std::shared_ptr<Storage>> storages;
  for (const Tensor& input : inputs) {
    auto storage = device.allocate(input.type().bytes());
    device.copy_from_host(input.storage()->data(), *storage, input.type().bytes());
    storages.push_back(std::move(storage));
  }
  auto results = execute(device, *artifact, storages);
  device.synchronize();
  std::vector<Tensor> outputs;
  for (size_t i = 0; i < results.size(); ++i) {
    const Type& type = artifact->outputs[i];
    auto host = allocate_host(type.bytes());
    device.copy_to_host(*results[i], host->data(), type.bytes());
    outputs.push_back(Tensor::from_storage(type, host));
  }
  return outputs;
}

std::string unsupported_reason(Device& device, const Graph& graph) {
  try {
    device.target().compile(graph, {});
    return "";
  } catch (const UserError& error) {
    std::string text = error.what();
    if (text.find("not supported by target") == std::string::npos) throw;
    return text;
  }
}

std::vector<double> values_of(const Tensor& tensor) {
  return visit(tensor.dtype(), [&]<class T>(std::type_identity<T>) {
    auto* data = static_cast<const T*>(tensor.storage()->data());
    std::vector<double> values;
    for (int64_t i = 0; i < tensor.elements(); ++i) values.push_back(static_cast<double>(data[i]));
    return values;
  });
}

namespace {
double epsilon(DType dtype) {
  switch (dtype) {
    case DType::f64: return 0x1p-52;
    case DType::f32: return 0x1p-23;
    case DType::f16: return 0x1p-10;
    default: return 0x1p-7;
  }
}
// Devices may flush what is smaller to zero.
double least_normal(DType dtype) {
  switch (dtype) {
    case DType::f64: return 0x1p-1022;
    case DType::f16: return 0x1p-24;
    default: return 0x1p-126;
  }
}
}  // namespace

testing::AssertionResult close(const Tensor& got, const Tensor& expected, double tolerance,
                               bool of_largest, double magnitude) {
  if (!(got.type() == expected.type())) {
    return testing::AssertionFailure() << got.type() << " in place of " << expected.type();
  }
  std::vector<double> a = values_of(got), b = values_of(expected);
  DType dtype = got.dtype();
  if (!is_floating(dtype)) {
    size_t size = byte_size(dtype, 1);
    auto* left = static_cast<const char*>(got.storage()->data());
    auto* right = static_cast<const char*>(expected.storage()->data());
    for (size_t i = 0; i < a.size(); ++i) {
      if (std::memcmp(left + i * size, right + i * size, size) != 0) {
        return testing::AssertionFailure()
               << "element " << i << " is " << a[i] << " in place of " << b[i];
      }
    }
    return testing::AssertionSuccess();
  }
  double largest = 0;
  for (double value : b) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(value));
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
    double scale = std::max(of_largest ? largest : std::abs(b[i]), magnitude);
    double allowed = tolerance * (epsilon(dtype) * scale + least_normal(dtype));
    if (!(std::abs(a[i] - b[i]) <= allowed)) {
      return testing::AssertionFailure()
             << "element " << i << " is " << a[i] << " in place of " << b[i] << ", error "
             << std::abs(a[i] - b[i]) << " above the " << allowed << " allowed";
    }
  }
  return testing::AssertionSuccess();
}

uint64_t run_seed() {
  static const uint64_t seed = [] {
    int given = testing::GTEST_FLAG(random_seed);
    return given != 0 ? static_cast<uint64_t>(given) : 1 + std::random_device{}() % 99999;
  }();
  return seed;
}

std::vector<std::shared_ptr<Device>> host_devices() {
  std::vector<std::shared_ptr<Device>> result;
  for (const Backend& backend : backends()) {
    bool everywhere = backend.name == "reference" || backend.name == "cpu";
    if (everywhere) result.insert(result.end(), backend.devices.begin(), backend.devices.end());
  }
  return result;
}

std::vector<std::shared_ptr<Device>> tested_devices() {
  std::vector<std::shared_ptr<Device>> result;
  if (const char* name = std::getenv("WAFER_TEST_DEVICE")) {
    try {
      return {device(name)};
    } catch (const UserError&) {
      return {};
    }
  }
  for (const Backend& backend : backends()) {
    // `null` computes nothing.
    const auto& left_out = {"reference", "null", "opencl", "cuda"};
    if (std::find(left_out.begin(), left_out.end(), backend.name) != left_out.end()) continue;
    result.insert(result.end(), backend.devices.begin(), backend.devices.end());
  }
  return result;
}

}  // namespace wafer::op_tests
