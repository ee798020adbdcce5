#include <cmath>
#include <numbers>

#include "wafer/deploy/onnx/rules.h"
#include "wafer/deploy/onnx/walk.h"
#include "wafer/op/matmul.h"

namespace wafer::onnx {

namespace {
constexpr double pi = std::numbers::pi;
constexpr int64_t longest = int64_t{1} << 12;  // of a transform, whose matrix is written out

// cos and sin of 2 pi row column / length.
struct Waves {
  Tensor cosine, sine;
};
Waves waves(int64_t rows, int64_t columns, int64_t length, DType dtype) {
  std::vector<double> c, s;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      double angle = 2 * pi * static_cast<double>((i * j) % length) / static_cast<double>(length);
      c.push_back(std::cos(angle));
      s.push_back(std::sin(angle));
    }
  return {reshape(constant(c, dtype), {rows, columns}),
          reshape(constant(s, dtype), {rows, columns})};
}

// Along the last axis but one of x [..., time, 1 or 2], as products with the transform's matrix.
Tensor transform(const Context& c, Tensor x, int64_t length, bool inverse, bool onesided) {
  c.require(length > 0 && length <= longest, str("a transform of ", length, "; at most ", longest));
  int64_t time = x.size(-2);
  bool half = inverse && onesided;
  int64_t wanted = half ? length / 2 + 1 : length;
  if (time > wanted) x = narrow(x, -2, 0, wanted);
  time = std::min(time, wanted);
  auto component = [&](int64_t i) { return squeeze(narrow(x, -1, i, i + 1), -1); };
  Tensor real = component(0), imaginary = x.size(-1) == 2 ? component(1) : Tensor();
  int64_t outputs = !inverse && onesided ? length / 2 + 1 : length;
  Waves w = waves(time, outputs, length, x.dtype());
  if (half) {
    // Each frequency but the first (and the middle one of an even length) stands for two.
    std::vector<double> twice(static_cast<size_t>(time), 2);
    twice[0] = 1;
    if (length % 2 == 0 && time == wanted) twice.back() = 1;
    Tensor weight = reshape(constant(twice, x.dtype()), {time, 1});
    w = {mul(w.cosine, weight), mul(w.sine, weight)};
  }
  double sign = inverse ? 1 : -1;  // of the exponent
  Tensor a = matmul(real, w.cosine), b = mul(matmul(real, w.sine), sign);
  if (imaginary) {
    a = sub(a, mul(matmul(imaginary, w.sine), sign));
    b = add(b, matmul(imaginary, w.cosine));
  }
  if (inverse) {
    a = div(a, static_cast<double>(length));
    b = div(b, static_cast<double>(length));
  }
  return half ? unsqueeze(a, -1) : stack({a, b}, -1);
}

Values dft(Context& c) {
  const Tensor& x = c.in(0);
  int64_t given = c.version() < 20 ? c.integer("axis", 1) : c.has(2) ? c.scalar_integer(2) : -2;
  int axis = axis_of(c, given, x.rank());
  c.require(axis < x.rank() - 1 && (x.size(-1) == 1 || x.size(-1) == 2),
            "expected [..., 1 or 2], and another axis than the last");
  bool inverse = c.flag("inverse"), onesided = c.flag("onesided");
  int64_t length = x.size(axis);
  if (inverse && onesided) length = 2 * (length - 1);
  if (c.has(1)) length = c.scalar_integer(1);
  Tensor y = transform(c, swap_axes(x, axis, x.rank() - 2), length, inverse, onesided);
  return {swap_axes(y, axis, x.rank() - 2)};
}

Values stft(Context& c) {
  Tensor x = c.in(0);
  if (x.rank() == 2) x = unsqueeze(x, 2);
  c.require(x.rank() == 3, "expected [batch, time, 1 or 2]");
  int64_t hop = c.scalar_integer(1), length = c.has(3) ? c.scalar_integer(3) : 0;
  if (length == 0) length = c.in(2).size(0);
  c.require(hop > 0 && length > 0 && length <= x.size(1), "step or frame length out of range");
  int64_t frames = (x.size(1) - length) / hop + 1;
  c.require(frames <= Walk::most_host_elements / length,
            str(frames, " frames of ", length, "; expected at most ", Walk::most_host_elements,
                " numbers"));
  Ints at;
  for (int64_t f = 0; f < frames; ++f)
    for (int64_t i = 0; i < length; ++i) at.push_back(f * hop + i);
  Tensor cut = reshape(take(x, at, 1), {x.size(0), frames, length, x.size(2)});
  if (c.has(2)) {
    c.require(c.in(2).size(0) == length, "the window is not of the frame's length");
    cut = mul(cut, reshape(c.in(2), {length, 1}));
  }
  bool onesided = c.flag("onesided", true) && x.size(2) == 1;
  return {transform(c, cut, length, false, onesided)};
}

// a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N).
Values window(Context& c, double a0, double a1, double a2) {
  int64_t size = c.scalar_integer(0);
  c.require(size >= 0 && size < int64_t{1} << 32, "a size out of range");
  DType type = carrier(element_type(c.integer("output_datatype", 1), "window"));
  auto period = static_cast<double>(c.flag("periodic", true) ? size : size - 1);
  Tensor angle = mul(arange(size, DType::f64), period > 0 ? 2 * pi / period : 0.0);
  Tensor y = add(sub(scalar(a0, DType::f64), mul(cos(angle), a1)), mul(cos(mul(angle, 2.0)), a2));
  return {cast(y, type)};
}
Values hann(Context& c) {
  return window(c, 0.5, 0.5, 0);
}
Values hamming(Context& c) {
  return window(c, 25.0 / 46, 21.0 / 46, 0);
}
Values blackman(Context& c) {
  return window(c, 0.42, 0.5, 0.08);
}

// Triangles between frequencies at equal distances on the mel scale.
Values mel_weight_matrix(Context& c) {
  int64_t bands = c.scalar_integer(0), length = c.scalar_integer(1);
  auto rate = static_cast<double>(c.scalar_integer(2));
  double low = c.scalar_number(3), high = c.scalar_number(4);
  c.require(bands > 0 && length > 0 && rate > 0 && bands < 100000 && length < 1 << 24,
            "sizes out of range");
  int64_t bins = length / 2 + 1;
  auto mel = [](double hertz) { return 2595 * std::log10(1 + hertz / 700); };
  double step = (mel(high) - mel(low)) / static_cast<double>(bands + 2);
  Ints edge;
  for (int64_t i = 0; i < bands + 2; ++i) {
    double hertz = 700 * (std::pow(10, (static_cast<double>(i) * step + mel(low)) / 2595) - 1);
    edge.push_back(
        static_cast<int64_t>(std::floor(static_cast<double>(length + 1) * hertz / rate)));
    c.require(edge.back() >= 0 && edge.back() < bins, "the frequencies leave the spectrum");
  }
  c.require(bins <= Walk::most_host_elements / bands,
            str("a matrix of ", bins, "x", bands, "; expected at most ", Walk::most_host_elements,
                " numbers"));
  std::vector<double> weights(static_cast<size_t>(bins * bands));
  for (int64_t i = 0; i < bands; ++i) {
    auto at = [&](int64_t bin) -> double& { return weights[static_cast<size_t>(bin * bands + i)]; };
    auto first = edge[static_cast<size_t>(i)], centre = edge[static_cast<size_t>(i) + 1],
         last = edge[static_cast<size_t>(i) + 2];
    if (centre == first) at(centre) = 1;
    for (int64_t bin = first; centre > first && bin <= centre; ++bin)
      at(bin) = static_cast<double>(bin - first) / static_cast<double>(centre - first);
    for (int64_t bin = centre; bin < last; ++bin)
      at(bin) = static_cast<double>(last - bin) / static_cast<double>(last - centre);
  }
  DType type = carrier(element_type(c.integer("output_datatype", 1), "MelWeightMatrix"));
  return {reshape(constant(weights, type), {bins, bands})};
}

constexpr RuleEntry signal_table[] = {
    {"BlackmanWindow", blackman},
    {"DFT", dft},
    {"HammingWindow", hamming},
    {"HannWindow", hann},
    {"MelWeightMatrix", mel_weight_matrix},
    {"STFT", stft},
};
}  // namespace

RuleList signal_rules() {
  return signal_table;
}

}  // namespace wafer::onnx
