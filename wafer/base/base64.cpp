#include "wafer/base/base64.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "wafer/base/error.h"

namespace wafer {

namespace {
constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

constexpr std::array<int8_t, 256> make_values() {
  std::array<int8_t, 256> values{};
  for (int8_t& value : values) value = -1;
  for (size_t i = 0; i < alphabet.size(); ++i) {
    values[static_cast<unsigned char>(alphabet[i])] = static_cast<int8_t>(i);
  }
  return values;
}
constexpr std::array<int8_t, 256> values = make_values();
}  // namespace

std::string base64_encode(std::span<const std::byte> bytes) {
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t j = 0; j < 3; ++j) {
      word = word << 8 | (j < count ? std::to_integer<uint32_t>(bytes[i + j]) : 0);
    }
    for (size_t j = 0; j < 4; ++j) {
      text += j <= count ? alphabet[word >> (18 - 6 * j) & 63] : '=';
    }
  }
  return text;
}

std::vector<std::byte> base64_decode(std::string_view text) {
  WAFER_REQUIRE(text.size() % 4 == 0, "base64", "a length of ", text.size(),
                " characters; expected a multiple of 4");
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::vector<std::byte> bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (size_t i = 0; i < text.size(); i += 4) {
    size_t pad = i + 4 == text.size() ? padding : 0;
    uint32_t word = 0;
    for (size_t j = 0; j < 4; ++j) {
      int value = j < 4 - pad ? values[static_cast<unsigned char>(text[i + j])] : 0;
      WAFER_REQUIRE(value >= 0, "base64", "character ", i + j, " is not of the alphabet");
      word = word << 6 | static_cast<uint32_t>(value);
    }
    for (size_t j = 0; j < 3 - pad; ++j) {
      bytes.push_back(static_cast<std::byte>(word >> (16 - 8 * j) & 255));
    }
    bool clean = pad == 0 || (word & (pad == 1 ? 0xffu : 0xffffu)) == 0;
    WAFER_REQUIRE(clean, "base64", "bits are left over in the last group");
  }
  return bytes;
}

}  // namespace wafer
