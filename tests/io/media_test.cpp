#include <cmath>

#include "tests/io/helpers.h"
#include "wafer/io/archive.h"
#include "wafer/io/image.h"
#include "wafer/io/wav.h"

namespace wafer::io {
namespace {

using wafer::testing::append;
using wafer::testing::append_big32;
using wafer::testing::append_little;
using wafer::testing::expect_user_error;
using wafer::testing::to_bytes;

Image gradient(int width, int height, int channels) {
  Image image{width, height, channels, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c)
        image.pixels.push_back(static_cast<uint8_t>(x * 5 + y * 3 + c * 20));
    }
  }
  return image;
}

void expect_every_cut_refused(const Bytes& whole, size_t step) {
  EXPECT_NO_THROW(decode_image(whole, "i"));
  for (size_t size = 0; size < whole.size() - 2; size += step) {
    EXPECT_THROW(decode_image(ByteView(whole).first(size), "i"), UserError)
        << size << " of " << whole.size();
  }
}

TEST(Image, PngRoundTripIsExact) {
  for (int channels : {1, 3}) {
    Image image = gradient(17, 9, channels);
    Image read = decode_image(encode_png(image), "i");
    EXPECT_EQ(read.width, 17);
    EXPECT_EQ(read.height, 9);
    EXPECT_EQ(read.channels, channels);
    EXPECT_EQ(read.pixels, image.pixels);
  }
}

TEST(Image, JpegRoundTripIsClose) {
  for (int channels : {1, 3}) {
    Image image = gradient(20, 12, channels);
    Image read = decode_image(encode_jpeg(image, 95), "i");
    ASSERT_EQ(read.pixels.size(), image.pixels.size());
    EXPECT_EQ(read.channels, channels);
    for (size_t i = 0; i < image.pixels.size(); ++i)
      EXPECT_NEAR(read.pixels[i], image.pixels[i], 24) << i;
  }
}

TEST(Image, EveryCutOfAnImageIsRefused) {
  Image image = gradient(16, 16, 3);
  expect_every_cut_refused(encode_png(image), 1);
  expect_every_cut_refused(encode_jpeg(image), 1);
  Bytes pgm = to_bytes("P5 # comment\n4 3\n255\n");
  pgm.resize(pgm.size() + 12);
  expect_every_cut_refused(pgm, 1);
}

TEST(Image, FlippedBytesAreDecodedOrRefusedCleanly) {
  for (const Bytes& whole : {encode_png(gradient(16, 16, 3)), encode_jpeg(gradient(16, 16, 3))}) {
    for (size_t i = 0; i < whole.size(); ++i) {
      Bytes damaged = whole;
      damaged[i] ^= 0x55;
      try {
        Image image = decode_image(damaged, "i");
        EXPECT_EQ(image.pixels.size(),
                  static_cast<size_t>(image.width * image.height * image.channels));
      } catch (const UserError&) {
      }
    }
  }
}

void append_chunk(Bytes& png, const std::string& type, ByteView content) {
  append_big32(png, static_cast<uint32_t>(content.size()));
  Bytes body = to_bytes(type);
  append(body, content);
  append(png, body);
  append_big32(png, wafer::testing::crc32(body));
}

// Two rows of two pixels, given as they lie in the file (a filter byte 0 before each row).
Bytes make_png(uint8_t bits, uint8_t color, ByteView rows, ByteView palette = {}) {
  Bytes png = {0x89, 'P', 'N', 'G', 13, 10, 26, 10}, header;
  append_big32(header, 2);
  append_big32(header, 2);
  append(header, Bytes{bits, color, 0, 0, 0});
  append_chunk(png, "IHDR", header);
  if (!palette.empty()) append_chunk(png, "PLTE", palette);
  Bytes data = {0x78, 1};
  append(data, wafer::testing::deflate_stored(rows));
  uint32_t a = 1, b = 0;
  for (uint8_t byte : rows) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  append_big32(data, b << 16 | a);
  append_chunk(png, "IDAT", data);
  append_chunk(png, "IEND", {});
  return png;
}

TEST(Image, PngKindsBecomeGreyOrRgb) {
  Image palette =
      decode_image(make_png(8, 3, Bytes{0, 0, 1, 0, 1, 0}, Bytes{10, 20, 30, 40, 50, 60}), "i");
  EXPECT_EQ(palette.channels, 3);
  EXPECT_EQ(palette.pixels, (Bytes{10, 20, 30, 40, 50, 60, 40, 50, 60, 10, 20, 30}));
  Image alpha = decode_image(
      make_png(8, 6, Bytes{0, 1, 2, 3, 99, 4, 5, 6, 0, 0, 7, 8, 9, 9, 1, 1, 1, 1}), "i");
  EXPECT_EQ(alpha.pixels, (Bytes{1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 1, 1}));
  Image grey_alpha = decode_image(make_png(8, 4, Bytes{0, 1, 255, 2, 255, 0, 3, 255, 4, 0}), "i");
  EXPECT_EQ(grey_alpha.channels, 1);
  EXPECT_EQ(grey_alpha.pixels, (Bytes{1, 2, 3, 4}));
  Image deep = decode_image(make_png(16, 0, Bytes{0, 0, 0, 255, 255, 0, 128, 128, 1, 1}), "i");
  EXPECT_EQ(deep.pixels, (Bytes{0, 255, 128, 1}));
  Image bits = decode_image(make_png(1, 0, Bytes{0, 0x80, 0, 0x40}), "i");
  EXPECT_EQ(bits.pixels, (Bytes{255, 0, 0, 255}));
}

TEST(Image, PgmAndPpmAreRead) {
  Bytes ppm = to_bytes("P6\n# made by hand\n1 2\n255\n");
  append(ppm, Bytes{1, 2, 3, 4, 5, 6});
  EXPECT_EQ(decode_image(ppm, "i").pixels, (Bytes{1, 2, 3, 4, 5, 6}));
  Bytes few = to_bytes("P5 2 1 1\n");
  append(few, Bytes{0, 1});
  EXPECT_EQ(decode_image(few, "i").pixels, (Bytes{0, 255}));
}

TEST(Image, OtherDataIsNamed) {
  expect_user_error([] { decode_image({}, "x/y.jpg"); }, {"x/y.jpg", "empty"});
  expect_user_error([] { decode_image(to_bytes("GIF89a..."), "x.gif"); }, {"x.gif", "not a JPEG"});
  expect_user_error([] { decode_image(to_bytes("P5 99999999 99999999 255\n"), "p"); },
                    {"size", "99999999"});
  Bytes huge = make_png(8, 0, Bytes{0, 1, 2, 0, 3, 4});
  huge[16] = 0x7f;
  expect_user_error([&] { decode_image(huge, "p.png"); }, {"p.png", "PNG"});
}

TEST(Image, PublicSetsDecode) {
  auto folder = wafer::testing::shared_data();
  if (folder.empty()) GTEST_SKIP() << "no public data sets here";
  int count = 0, grey = 0;
  for_each_entry(folder / "imagenet_samples/imagenet-samples.tar",
                 [&](const std::string& name, Bytes bytes) {
                   if (!is_image_name(name)) return;
                   Image image = decode_image(bytes, name);
                   EXPECT_GE(std::min(image.width, image.height), 224);
                   ++count;
                   grey += image.channels == 1 ? 1 : 0;
                 });
  EXPECT_EQ(count, 125);
  EXPECT_EQ(grey, 1);
}

Bytes make_wav(uint16_t code, uint16_t channels, uint16_t bits, ByteView data) {
  Bytes wav = to_bytes("RIFF");
  append_little<uint32_t>(wav, static_cast<uint32_t>(36 + data.size()));
  append(wav, as_bytes("WAVEfmt "));
  append_little<uint32_t>(wav, 16);
  append_little<uint16_t>(wav, code);
  append_little<uint16_t>(wav, channels);
  append_little<uint32_t>(wav, 8000);
  append_little<uint32_t>(wav, 8000u * channels * bits / 8);
  append_little<uint16_t>(wav, static_cast<uint16_t>(channels * bits / 8));
  append_little<uint16_t>(wav, bits);
  append(wav, as_bytes("data"));
  append_little<uint32_t>(wav, static_cast<uint32_t>(data.size()));
  append(wav, data);
  return wav;
}

TEST(Wav, SampleKindsAreScaled) {
  Wav wav = parse_wav(make_wav(1, 1, 16, Bytes{0, 0, 0, 0x40, 0, 0x80}), "w");
  EXPECT_EQ(wav.sample_rate, 8000);
  EXPECT_EQ(wav.samples, (std::vector<float>{0, 0.5f, -1}));
  EXPECT_EQ(parse_wav(make_wav(1, 1, 8, Bytes{128, 192, 0}), "w").samples,
            (std::vector<float>{0, 0.5f, -1}));
  EXPECT_EQ(parse_wav(make_wav(1, 1, 24, Bytes{0, 0, 0xC0}), "w").samples,
            (std::vector<float>{-0.5f}));
  Bytes floats;
  append_little<float>(floats, 0.25f);
  append_little<float>(floats, -1.0f);
  Wav stereo = parse_wav(make_wav(3, 2, 32, floats), "w");
  EXPECT_EQ(stereo.channels, 2);
  EXPECT_EQ(stereo.samples, (std::vector<float>{0.25f, -1.0f}));
}

TEST(Wav, FaultsAreNamed) {
  Bytes whole = make_wav(1, 1, 16, Bytes(8));
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(parse_wav(ByteView(whole).first(size), "w"), UserError) << size;
  }
  expect_user_error([&] { parse_wav(ByteView(whole).first(46), "w.wav"); },
                    {"w.wav", "samples", "cut short", "offset 44"});
  expect_user_error([] { parse_wav(Bytes(50), "w.wav"); }, {"not a WAV"});
  expect_user_error([] { parse_wav(make_wav(2, 1, 4, Bytes(8)), "w"); },
                    {"format code 2", "16-bit PCM"});
  expect_user_error([] { parse_wav(make_wav(1, 0, 16, Bytes(8)), "w"); }, {"0 channels"});
  expect_user_error([] { parse_wav(make_wav(1, 2, 16, Bytes(6)), "w"); },
                    {"whole number of frames"});
  Bytes nan;
  append_little<float>(nan, std::nanf(""));
  expect_user_error([&] { parse_wav(make_wav(3, 1, 32, nan), "w"); }, {"sample 0", "finite"});
}

}  // namespace
}  // namespace wafer::io
