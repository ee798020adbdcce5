// libjpeg reports an error by calling back, and the callback must not return: it longjmps to the
// entry of a function that owns no C++ object; what must outlive the jump is in a struct of the
// caller.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <cstring>

// After cstdio, which jpeglib.h needs.
#include <jerror.h>
#include <jpeglib.h>

#include "wafer/base/error.h"
#include "wafer/io/image.h"
#include "wafer/io/image_detail.h"

namespace wafer::io {

namespace {

struct ErrorState {
  jpeg_error_mgr manager;
  std::jmp_buf jump;
  char text[JMSG_LENGTH_MAX];
};

[[noreturn]] void on_error(j_common_ptr info) {
  auto* state = reinterpret_cast<ErrorState*>(info->err);
  (*info->err->format_message)(info, state->text);
  std::longjmp(state->jump, 1);
}

// libjpeg fills what is missing or unreadable with grey and only warns; such a picture is an error
// here.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_ADOBE_XFORM:
    case JWRN_NOT_SEQUENTIAL:
    case JWRN_TOO_MUCH_DATA: return;
    default: on_error(info);
  }
}

void install(ErrorState* state) {
  jpeg_std_error(&state->manager);
  state->manager.error_exit = on_error;
  state->manager.emit_message = on_message;
  state->manager.output_message = [](j_common_ptr) {};
  state->text[0] = '\0';
}

struct JpegDecoder {
  ErrorState error;
  jpeg_decompress_struct info;
};

// The two halves of a decode; false after an error, whose text is in decoder->error.
bool read_header(JpegDecoder* decoder, const uint8_t* data, size_t size) {
  if (setjmp(decoder->error.jump) != 0) return false;
  jpeg_create_decompress(&decoder->info);
  jpeg_mem_src(&decoder->info, const_cast<unsigned char*>(data), static_cast<unsigned long>(size));
  jpeg_read_header(&decoder->info, TRUE);
  decoder->info.out_color_space = decoder->info.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  return true;
}

bool read_pixels(JpegDecoder* decoder, uint8_t* pixels, size_t stride) {
  if (setjmp(decoder->error.jump) != 0) return false;
  jpeg_start_decompress(&decoder->info);
  while (decoder->info.output_scanline < decoder->info.output_height) {
    JSAMPROW row = pixels + decoder->info.output_scanline * stride;
    jpeg_read_scanlines(&decoder->info, &row, 1);
  }
  jpeg_finish_decompress(&decoder->info);
  return true;
}

[[noreturn]] void fail(const std::string& where, const ErrorState& error) {
  throw UserError(where, std::string("the JPEG image is damaged or cut short: ") + error.text,
                  {.hint = "fetch the file again, or take it out of the set"});
}

struct Encoder {
  ErrorState error;
  jpeg_compress_struct info;
  unsigned char* data;
  unsigned long size;
};

bool write_jpeg(Encoder* encoder, const uint8_t* pixels, int width, int height, int channels,
                int quality) {
  if (setjmp(encoder->error.jump) != 0) return false;
  jpeg_create_compress(&encoder->info);
  jpeg_mem_dest(&encoder->info, &encoder->data, &encoder->size);
  encoder->info.image_width = static_cast<JDIMENSION>(width);
  encoder->info.image_height = static_cast<JDIMENSION>(height);
  encoder->info.input_components = channels;
  encoder->info.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&encoder->info);
  jpeg_set_quality(&encoder->info, quality, TRUE);
  jpeg_start_compress(&encoder->info, TRUE);
  while (encoder->info.next_scanline < encoder->info.image_height) {
    JSAMPROW row = const_cast<uint8_t*>(pixels) + size_t{encoder->info.next_scanline} *
                                                      static_cast<size_t>(width) *
                                                      static_cast<size_t>(channels);
    jpeg_write_scanlines(&encoder->info, &row, 1);
  }
  jpeg_finish_compress(&encoder->info);
  return true;
}

}  // namespace

Image decode_jpeg(ByteView bytes, const std::string& where) {
  JpegDecoder decoder{};
  install(&decoder.error);
  decoder.info.err = &decoder.error.manager;
  struct Guard {
    jpeg_decompress_struct* info;
    ~Guard() { jpeg_destroy_decompress(info); }
  } guard{&decoder.info};
  if (!read_header(&decoder, bytes.data(), bytes.size())) fail(where, decoder.error);
  if (decoder.info.num_components != 1 && decoder.info.num_components != 3) {
    throw UserError(
        where, "a JPEG image with another number of channels than 1 or 3 is not read",
        {.got = std::to_string(decoder.info.num_components), .hint = "convert it to RGB"});
  }
  check_image_size(decoder.info.image_width, decoder.info.image_height, where);
  Image image;
  image.width = static_cast<int>(decoder.info.image_width);
  image.height = static_cast<int>(decoder.info.image_height);
  image.channels = decoder.info.num_components;
  size_t stride = static_cast<size_t>(image.width) * static_cast<size_t>(image.channels);
  image.pixels.resize(stride * static_cast<size_t>(image.height));
  if (!read_pixels(&decoder, image.pixels.data(), stride)) fail(where, decoder.error);
  return image;
}

Bytes encode_jpeg(const Image& image, int quality) {
  WAFER_CHECK(image.channels == 1 || image.channels == 3);
  WAFER_CHECK(image.pixels.size() == static_cast<size_t>(image.width) *
                                         static_cast<size_t>(image.height) *
                                         static_cast<size_t>(image.channels));
  Encoder encoder{};
  install(&encoder.error);
  encoder.info.err = &encoder.error.manager;
  struct Guard {
    Encoder* encoder;
    ~Guard() {
      jpeg_destroy_compress(&encoder->info);
      std::free(encoder->data);
    }
  } guard{&encoder};
  bool written =
      write_jpeg(&encoder, image.pixels.data(), image.width, image.height, image.channels, quality);
  WAFER_CHECK(written, encoder.error.text);
  return Bytes(encoder.data, encoder.data + encoder.size);
}

}  // namespace wafer::io
