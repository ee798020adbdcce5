#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wafer {

// Base64 (RFC 4648, section 4) with padding.
std::string base64_encode(std::span<const std::byte> bytes);
// UserError for a character that is not in the alphabet, a wrong length or wrong padding.
std::vector<std::byte> base64_decode(std::string_view text);

}  // namespace wafer
