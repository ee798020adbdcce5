#include "wafer/nn/init.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numbers>
#include <vector>

namespace wafer::nn {

namespace {
std::atomic<uint64_t> construction_seed = 0, construction_count = 0;
}  // namespace

void manual_seed(uint64_t seed) {
  construction_seed = seed;
  construction_count = 0;
}

namespace init {

namespace {
// Box and Muller's transform; u is in (0, 1].
double standard_normal(RandomStream& random) {
  double u = 1.0 - static_cast<double>(random.uniform());
  double angle = 2 * std::numbers::pi * static_cast<double>(random.uniform());
  return std::sqrt(-2 * std::log(u)) * std::cos(angle);
}

void fill_uniform(std::span<float> values, double low, double high, RandomStream& random) {
  for (float& value : values) {
    value = static_cast<float>(low + (high - low) * static_cast<double>(random.uniform()));
  }
}
void fill_normal(std::span<float> values, double mean, double deviation, RandomStream& random) {
  for (float& value : values) {
    value = static_cast<float>(mean + deviation * standard_normal(random));
  }
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double total = 0;
  for (size_t i = 0; i < a.size(); ++i) total += a[i] * b[i];
  return total;
}

// Makes the vectors orthonormal, in place (Gram-Schmidt, twice for accuracy).
void orthonormalise(std::vector<std::vector<double>>& vectors, RandomStream& random) {
  for (size_t i = 0; i < vectors.size(); ++i) {
    double length = 0;
    while (length < 1e-8) {  // false the first time but for a chance of nearly zero
      for (double& value : vectors[i]) value = standard_normal(random);
      for (int pass = 0; pass < 2; ++pass) {
        for (size_t j = 0; j < i; ++j) {
          double projection = dot(vectors[i], vectors[j]);
          for (size_t k = 0; k < vectors[i].size(); ++k)
            vectors[i][k] -= projection * vectors[j][k];
        }
      }
      length = std::sqrt(dot(vectors[i], vectors[i]));
    }
    for (double& value : vectors[i]) value /= length;
  }
}
}  // namespace

Fans fans(const Shape& shape) {
  WAFER_REQUIRE(shape.rank() >= 2, "init", "fan in and fan out need two dimensions; got ", shape);
  auto kernel = shape.elements() == 0
                    ? 0.0
                    : static_cast<double>(shape.elements() / (shape.size(0) * shape.size(1)));
  return {static_cast<double>(shape.size(1)) * kernel, static_cast<double>(shape.size(0)) * kernel};
}

double leaky_relu_gain(double a) {
  return std::sqrt(2 / (1 + a * a));
}

Initialiser constant(double value) {
  return [value](std::span<float> values, const Shape&, RandomStream&) {
    std::fill(values.begin(), values.end(), static_cast<float>(value));
  };
}
Initialiser zeros() {
  return constant(0);
}
Initialiser ones() {
  return constant(1);
}

Initialiser uniform(double low, double high) {
  return [=](std::span<float> values, const Shape&, RandomStream& random) {
    fill_uniform(values, low, high, random);
  };
}

Initialiser normal(double mean, double deviation) {
  return [=](std::span<float> values, const Shape&, RandomStream& random) {
    fill_normal(values, mean, deviation, random);
  };
}

Initialiser trunc_normal(double mean, double deviation, double low, double high) {
  WAFER_REQUIRE(
      deviation > 0 && low < high && low < mean + 4 * deviation && high > mean - 4 * deviation,
      "init", "a normal of mean ", mean, " and deviation ", deviation, " hardly ever lies in [",
      low, ", ", high, "]");
  return [=](std::span<float> values, const Shape&, RandomStream& random) {
    for (float& value : values) {
      double drawn;
      do drawn = mean + deviation * standard_normal(random);
      while (drawn < low || drawn > high);
      value = static_cast<float>(drawn);
    }
  };
}

Initialiser xavier_uniform(double gain) {
  return [=](std::span<float> values, const Shape& shape, RandomStream& random) {
    Fans f = fans(shape);
    double bound = gain * std::sqrt(6 / std::max(f.in + f.out, 1.0));
    fill_uniform(values, -bound, bound, random);
  };
}
Initialiser xavier_normal(double gain) {
  return [=](std::span<float> values, const Shape& shape, RandomStream& random) {
    Fans f = fans(shape);
    fill_normal(values, 0, gain * std::sqrt(2 / std::max(f.in + f.out, 1.0)), random);
  };
}

Initialiser kaiming_uniform(double a) {
  return [=](std::span<float> values, const Shape& shape, RandomStream& random) {
    double bound = leaky_relu_gain(a) * std::sqrt(3 / std::max(fans(shape).in, 1.0));
    fill_uniform(values, -bound, bound, random);
  };
}
Initialiser kaiming_normal(double a) {
  return [=](std::span<float> values, const Shape& shape, RandomStream& random) {
    fill_normal(values, 0, leaky_relu_gain(a) / std::sqrt(std::max(fans(shape).in, 1.0)), random);
  };
}

Initialiser kaiming_normal_fan_out() {
  return [](std::span<float> values, const Shape& shape, RandomStream& random) {
    fill_normal(values, 0, std::sqrt(2 / std::max(fans(shape).out, 1.0)), random);
  };
}

Initialiser orthogonal(double gain) {
  return [=](std::span<float> values, const Shape& shape, RandomStream& random) {
    WAFER_REQUIRE(shape.rank() >= 2, "init", "orthogonal needs two dimensions; got ", shape);
    if (values.empty()) return;
    auto rows = static_cast<size_t>(shape.size(0));
    size_t columns = values.size() / rows;
    bool wide = rows <= columns;
    std::vector<std::vector<double>> vectors(std::min(rows, columns),
                                             std::vector<double>(std::max(rows, columns)));
    orthonormalise(vectors, random);
    for (size_t i = 0; i < rows; ++i) {
      for (size_t j = 0; j < columns; ++j) {
        double value = wide ? vectors[i][j] : vectors[j][i];
        values[i * columns + j] = static_cast<float>(gain * value);
      }
    }
  };
}

Tensor make(const Initialiser& initialiser, const Shape& shape, RandomStream& random) {
  auto count = static_cast<size_t>(shape.elements());
  auto storage = allocate_host(count * sizeof(float));
  initialiser({static_cast<float*>(storage->data()), count}, shape, random);
  return Tensor::from_storage({DType::f32, shape}, std::move(storage));
}

RandomStream stream_of(uint64_t seed, const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (unsigned char c : name) hash = (hash ^ c) * 0x100000001b3u;
  return RandomStream(seed, hash);
}

RandomStream next_stream() {
  return RandomStream(construction_seed, construction_count++);
}

namespace {
thread_local int deferrals = 0;
}  // namespace

Deferred::Deferred() {
  ++deferrals;
}
Deferred::~Deferred() {
  --deferrals;
}
bool deferred() {
  return deferrals > 0;
}

}  // namespace init
}  // namespace wafer::nn
