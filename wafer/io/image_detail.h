#pragma once
#include <cstdint>
#include <string>

namespace wafer::io {

constexpr uint64_t kMaxImageSide = 65500;  // JPEG's own limit
constexpr uint64_t kMaxPixels = uint64_t{1} << 28;

// UserError when the size is zero or above the limits.
void check_image_size(uint64_t width, uint64_t height, const std::string& where);

}  // namespace wafer::io
