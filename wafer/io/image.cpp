#include "wafer/io/image.h"

#include <cstring>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/io/image_detail.h"

namespace wafer::io {

void check_image_size(uint64_t width, uint64_t height, const std::string& where) {
  if (width == 0 || height == 0 || width > kMaxImageSide || height > kMaxImageSide ||
      width * height > kMaxPixels) {
    throw UserError(
        where, "the image's size is not sensible",
        {.got = str(width, "x", height),
         .expected = str("1 to ", kMaxImageSide, " a side and at most ", kMaxPixels, " pixels")});
  }
}

namespace {

// The header of a PNM file is numbers in text, with comments from '#' to the end of a line.
uint32_t pnm_number(ByteView bytes, size_t* position, const std::string& where) {
  size_t at = *position;
  while (at < bytes.size() && (std::strchr(" \t\r\n", bytes[at]) != nullptr || bytes[at] == '#')) {
    if (bytes[at] == '#') {
      while (at < bytes.size() && bytes[at] != '\n') ++at;
    } else {
      ++at;
    }
  }
  uint32_t value = 0;
  size_t digits = 0;
  for (; at < bytes.size() && bytes[at] >= '0' && bytes[at] <= '9' && digits < 9; ++at, ++digits) {
    value = value * 10 + (bytes[at] - '0');
  }
  if (digits == 0) throw UserError(where, str("the PGM header is damaged at offset ", at));
  *position = at;
  return value;
}

}  // namespace

Image decode_pnm(ByteView bytes, const std::string& where) {
  if (bytes.size() < 2 || bytes[0] != 'P' || (bytes[1] != '5' && bytes[1] != '6')) {
    throw UserError(where, "not a binary PGM or PPM file: it does not start with P5 or P6");
  }
  size_t position = 2;
  Image image;
  image.channels = bytes[1] == '5' ? 1 : 3;
  uint32_t width = pnm_number(bytes, &position, where),
           height = pnm_number(bytes, &position, where);
  uint32_t maximum = pnm_number(bytes, &position, where);
  check_image_size(width, height, where);
  if (maximum == 0 || maximum > 255) {
    throw UserError(where, "the PGM header's largest value is not read",
                    {.got = str(maximum), .expected = "1 to 255"});
  }
  ++position;  // one blank ends the header
  size_t size = size_t{width} * height * static_cast<size_t>(image.channels);
  if (position > bytes.size() || bytes.size() - position < size) {
    throw UserError(where, str("the image is cut short (pixels from offset ", position, ")"),
                    {.got = str(bytes.size() - std::min(position, bytes.size()), " bytes"),
                     .expected = str(size),
                     .hint = "fetch or copy the file again"});
  }
  image.width = static_cast<int>(width);
  image.height = static_cast<int>(height);
  image.pixels.assign(bytes.begin() + static_cast<ptrdiff_t>(position),
                      bytes.begin() + static_cast<ptrdiff_t>(position + size));
  if (maximum != 255) {
    for (uint8_t& value : image.pixels) {
      value =
          static_cast<uint8_t>((std::min<uint32_t>(value, maximum) * 255 + maximum / 2) / maximum);
    }
  }
  return image;
}

Image decode_image(ByteView bytes, const std::string& where) {
  if (bytes.size() >= 2 && bytes[0] == 0xff && bytes[1] == 0xd8) return decode_jpeg(bytes, where);
  if (bytes.size() >= 4 && std::memcmp(bytes.data(), "\x89PNG", 4) == 0)
    return decode_png(bytes, where);
  if (bytes.size() >= 2 && bytes[0] == 'P' && (bytes[1] == '5' || bytes[1] == '6')) {
    return decode_pnm(bytes, where);
  }
  throw UserError(where, bytes.empty() ? "the image file is empty" : "not a JPEG, PNG or PGM image",
                  {.hint = "convert it to PNG or JPEG, or take it out of the set"});
}

Image read_image(const std::filesystem::path& path) {
  return decode_image(read_file(path, uint64_t{1} << 30), path.string());
}

bool is_image_name(const std::filesystem::path& path) {
  std::string ending = lower(path.extension().string());
  return ending == ".jpg" || ending == ".jpeg" || ending == ".png" || ending == ".pgm" ||
         ending == ".ppm";
}

}  // namespace wafer::io
