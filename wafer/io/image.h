#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "wafer/io/file.h"

namespace wafer::io {

// 8-bit samples, row by row from the top, channels interleaved: [height, width, channels].
struct Image {
  int width = 0, height = 0;
  int channels = 0;  // 1 grey, 3 RGB
  Bytes pixels;
};

// JPEG, PNG or binary PGM/PPM, found by the first bytes. Palettes become RGB, alpha is dropped, 16
// bits become
// 8. UserError names `where` when the data is of another kind, damaged, cut short or above 2^28
// pixels.
Image decode_image(ByteView bytes, const std::string& where);
Image read_image(const std::filesystem::path& path);

Image decode_jpeg(ByteView bytes, const std::string& where);
Image decode_png(ByteView bytes, const std::string& where);
Image decode_pnm(ByteView bytes, const std::string& where);

// True for names that end in .jpg, .jpeg, .png, .pgm, .ppm (any case).
bool is_image_name(const std::filesystem::path& path);

// Grey or RGB as a PNG file in memory.
Bytes encode_png(const Image& image);
// Grey or RGB as a JPEG file in memory; quality 1 to 100.
Bytes encode_jpeg(const Image& image, int quality = 90);

}  // namespace wafer::io
