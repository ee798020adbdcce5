// libpng, like libjpeg, leaves by longjmp: the functions that call it own no C++ object.
#include <png.h>

#include <csetjmp>
#include <cstring>
#include <vector>

#include "wafer/base/error.h"
#include "wafer/io/image.h"
#include "wafer/io/image_detail.h"

namespace wafer::io {

namespace {

struct PngDecoder {
  png_structp png = nullptr;
  png_infop info = nullptr;
  const uint8_t* data = nullptr;
  size_t size = 0, position = 0;
  char text[200] = {};
  png_uint_32 width = 0, height = 0;
  int channels = 0;
};

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto* decoder = static_cast<PngDecoder*>(png_get_error_ptr(png));
  std::strncpy(decoder->text, message, sizeof decoder->text - 1);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void on_read(png_structp png, png_bytep output, png_size_t count) {
  auto* decoder = static_cast<PngDecoder*>(png_get_io_ptr(png));
  if (count > decoder->size - decoder->position) png_error(png, "the data is cut short");
  std::memcpy(output, decoder->data + decoder->position, count);
  decoder->position += count;
}

bool read_header(PngDecoder* decoder) {
  decoder->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, decoder, on_error, on_warning);
  if (decoder->png == nullptr) return false;
  if (setjmp(png_jmpbuf(decoder->png)) != 0) return false;
  decoder->info = png_create_info_struct(decoder->png);
  png_set_read_fn(decoder->png, decoder, on_read);
  png_set_user_limits(decoder->png, kMaxImageSide, kMaxImageSide);
  png_set_chunk_malloc_max(decoder->png, 64u << 20);
  png_read_info(decoder->png, decoder->info);
  decoder->width = png_get_image_width(decoder->png, decoder->info);
  decoder->height = png_get_image_height(decoder->png, decoder->info);
  png_set_expand(decoder->png);    // palette to RGB, few bits to 8, transparency to alpha
  png_set_scale_16(decoder->png);  // 16 bits to 8
  png_set_strip_alpha(decoder->png);
  png_set_interlace_handling(decoder->png);
  png_read_update_info(decoder->png, decoder->info);
  decoder->channels = png_get_channels(decoder->png, decoder->info);
  return true;
}

bool read_pixels(PngDecoder* decoder, png_bytep* rows) {
  if (setjmp(png_jmpbuf(decoder->png)) != 0) return false;
  png_read_image(decoder->png, rows);
  png_read_end(decoder->png, nullptr);
  return true;
}

[[noreturn]] void fail(const std::string& where, const PngDecoder& decoder) {
  throw UserError(where,
                  str("the PNG image is damaged or cut short (near offset ", decoder.position,
                      "): ", decoder.text),
                  {.hint = "fetch the file again, or take it out of the set"});
}

}  // namespace

Image decode_png(ByteView bytes, const std::string& where) {
  PngDecoder decoder;
  decoder.data = bytes.data();
  decoder.size = bytes.size();
  struct Guard {
    PngDecoder* decoder;
    ~Guard() { png_destroy_read_struct(&decoder->png, &decoder->info, nullptr); }
  } guard{&decoder};
  if (!read_header(&decoder)) fail(where, decoder);
  check_image_size(decoder.width, decoder.height, where);
  WAFER_CHECK(decoder.channels == 1 || decoder.channels == 3);
  Image image;
  image.width = static_cast<int>(decoder.width);
  image.height = static_cast<int>(decoder.height);
  image.channels = decoder.channels;
  size_t stride = size_t{decoder.width} * static_cast<size_t>(decoder.channels);
  WAFER_CHECK(png_get_rowbytes(decoder.png, decoder.info) == stride);
  image.pixels.resize(stride * decoder.height);
  std::vector<png_bytep> rows(decoder.height);
  for (size_t y = 0; y < rows.size(); ++y) rows[y] = image.pixels.data() + y * stride;
  if (!read_pixels(&decoder, rows.data())) fail(where, decoder);
  return image;
}

Bytes encode_png(const Image& image) {
  WAFER_CHECK(image.channels == 1 || image.channels == 3);
  WAFER_CHECK(image.width > 0 && image.height > 0 &&
              image.pixels.size() == static_cast<size_t>(image.width) *
                                         static_cast<size_t>(image.height) *
                                         static_cast<size_t>(image.channels));
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(header);
  Bytes output(size);
  int written =
      png_image_write_to_memory(&header, output.data(), &size, 0, image.pixels.data(), 0, nullptr);
  WAFER_CHECK(written != 0, header.message);
  output.resize(size);
  return output;
}

}  // namespace wafer::io
