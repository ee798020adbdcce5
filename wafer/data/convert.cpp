// g++ turns loops over bytes into vector instructions only at this level; clang++ does so at every
// level.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

#include "wafer/data/convert.h"

#include <cstring>

#include "wafer/base/error.h"

namespace wafer::data {

namespace {

template <class Token>
void widen(const std::byte* stored, size_t count, std::byte* output) {
  auto* tokens = reinterpret_cast<const Token*>(stored);
  auto* wide = reinterpret_cast<int64_t*>(output);
  for (size_t i = 0; i < count; ++i) wide[i] = static_cast<int64_t>(tokens[i]);
}

void widen_tokens(DType stored, const std::byte* tokens, size_t count, std::byte* output) {
  if (stored == DType::u8) return widen<uint8_t>(tokens, count, output);
  WAFER_CHECK(stored == DType::u16, "tokens are stored as ", stored);
  widen<uint16_t>(tokens, count, output);
}

void convert_image(const Description& about, const Normalise& normalise, const std::byte* stored,
                   float* output) {
  auto channels = static_cast<size_t>(about.shape[0]);
  size_t plane = static_cast<size_t>(about.elements()) / channels;
  auto* pixels = reinterpret_cast<const uint8_t*>(stored);
  for (size_t c = 0; c < channels; ++c) {
    float mean = normalise.empty() ? 0.0f : normalise.mean[c];
    float deviation = normalise.empty() ? 1.0f : normalise.standard_deviation[c];
    scale_pixels(pixels + c * plane, plane, 1.0f / (255.0f * deviation), -mean / deviation,
                 output + c * plane);
  }
}

void convert_numbers(const Description& about, const Normalise& normalise, const std::byte* stored,
                     float* output) {
  auto count = static_cast<size_t>(about.elements());
  if (normalise.empty()) {
    std::memcpy(output, stored, count * sizeof(float));
    return;
  }
  auto* values = reinterpret_cast<const float*>(stored);
  size_t width = normalise.mean.size();
  for (size_t i = 0; i < count; i += width) {
    for (size_t f = 0; f < width; ++f) {
      output[i + f] = (values[i + f] - normalise.mean[f]) / normalise.standard_deviation[f];
    }
  }
}

}  // namespace

void scale_pixels(const uint8_t* pixels, size_t count, float scale, float shift, float* output) {
  const uint8_t* __restrict from = pixels;
  float* __restrict to = output;
  for (size_t i = 0; i < count; ++i) {
    to[i] = static_cast<float>(static_cast<int32_t>(from[i])) * scale + shift;
  }
}

void sum_pixels(const uint8_t* pixels, size_t count, uint64_t& sum, uint64_t& squares) {
  while (count > 0) {
    // 2^16 squares of at most 255 fit in 32 bits.
    size_t part = count < 65536 ? count : 65536;
    uint32_t part_sum = 0, part_squares = 0;
    for (size_t i = 0; i < part; ++i) {
      uint32_t value = pixels[i];
      part_sum += value;
      part_squares += value * value;
    }
    sum += part_sum;
    squares += part_squares;
    pixels += part;
    count -= part;
  }
}

void convert_input(const Description& description, const Normalise& normalise,
                   const std::byte* stored, std::byte* output) {
  if (description.kind == InputKind::tokens) {
    return widen_tokens(description.stored, stored, static_cast<size_t>(description.elements()),
                        output);
  }
  auto* numbers = reinterpret_cast<float*>(output);
  if (description.stored == DType::u8)
    return convert_image(description, normalise, stored, numbers);
  WAFER_CHECK(description.stored == DType::f32, "inputs are stored as ", description.stored);
  convert_numbers(description, normalise, stored, numbers);
}

void convert_next_tokens(const Description& description, const std::byte* stored,
                         std::byte* output) {
  widen_tokens(description.stored, stored + byte_size(description.stored, 1),
               static_cast<size_t>(description.elements()), output);
}

}  // namespace wafer::data
