#include "wafer/data/resample.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "wafer/base/error.h"

namespace wafer::data {

namespace {
constexpr double beta = 7.857;        // of the Kaiser window: 80 dB
constexpr double half_width = 26;     // zero crossings of the sinc on each side
constexpr double cutoff = 0.9;        // middle of the transition, as a share of half the lower rate
constexpr size_t most_phases = 4096;  // whose weights are kept

// The modified Bessel function of the first kind of order 0, by its power series.
double bessel_i0(double x) {
  double term = 1, sum = 1;
  for (int k = 1; k < 60 && term > 1e-12 * sum; ++k) {
    term *= (x / (2 * k)) * (x / (2 * k));
    sum += term;
  }
  return sum;
}

// The filter at t samples of the lower rate from its middle.
double filter(double t) {
  double inside = 1 - (t / half_width) * (t / half_width);
  if (inside <= 0) return 0;
  double x = std::numbers::pi * cutoff * t;
  double sinc = std::abs(x) < 1e-9 ? 1 : std::sin(x) / x;
  return sinc * bessel_i0(beta * std::sqrt(inside)) / bessel_i0(beta);
}
}  // namespace

std::vector<float> resample(std::span<const float> signal, int64_t from, int64_t to, size_t most) {
  WAFER_CHECK(from > 0 && to > 0, "sample rates ", from, " and ", to);
  if (from == to)
    return {signal.begin(),
            signal.begin() + std::ssize(signal.first(std::min(most, signal.size())))};
  int64_t common = std::gcd(from, to), up = to / common, down = from / common;
  auto size = static_cast<int64_t>(signal.size());
  double exact =
      std::ceil(static_cast<double>(size) * static_cast<double>(up) / static_cast<double>(down));
  auto count = static_cast<size_t>(std::min(exact, static_cast<double>(most)));
  // Samples of the input in one of the lower rate.
  double stretch = std::max(1.0, static_cast<double>(down) / static_cast<double>(up));
  auto reach = static_cast<int64_t>(std::ceil(half_width * stretch));

  // Output i lies at input i * down / up: after sample `whole`, by `phase` / up.
  auto weights_of = [&](int64_t phase) {
    std::vector<double> weights;
    double sum = 0;
    for (int64_t k = 1 - reach; k <= reach; ++k) {
      double distance =
          static_cast<double>(k) - static_cast<double>(phase) / static_cast<double>(up);
      weights.push_back(filter(distance / stretch));
      sum += weights.back();
    }
    for (double& weight : weights) weight /= sum;  // a constant signal stays as it is
    return weights;
  };
  bool keep = static_cast<size_t>(up) <= most_phases && reach < 1 << 16;
  std::vector<std::vector<double>> kept(keep ? static_cast<size_t>(up) : 1);
  std::vector<float> result(count);
  int64_t whole = 0, phase = 0;
  for (float& value : result) {
    std::vector<double>& weights = kept[keep ? static_cast<size_t>(phase) : 0];
    if (!keep || weights.empty()) weights = weights_of(phase);
    double sum = 0;
    int64_t first = std::max<int64_t>(0, whole + 1 - reach);
    int64_t last = std::min(size - 1, whole + reach);
    for (int64_t at = first; at <= last; ++at) {
      sum += weights[static_cast<size_t>(at - whole - 1 + reach)] *
             static_cast<double>(signal[static_cast<size_t>(at)]);
    }
    value = static_cast<float>(sum);
    whole += (phase + down) / up;
    phase = (phase + down) % up;
  }
  return result;
}

}  // namespace wafer::data
