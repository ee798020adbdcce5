#include "wafer/data/augment.h"

#include <cmath>
#include <numbers>

#include "tests/data/helpers.h"
#include "wafer/data/log_mel.h"

namespace wafer::data {
namespace {

using testing::flat_image;
using wafer::testing::expect_user_error;
using Pixels = std::vector<uint8_t>;

TEST(Augment, CropMovesAndPadsWithZeros) {
  Pixels scratch;
  Pixels image = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  crop_shifted(image, 1, 3, 3, 1, -1, scratch);
  EXPECT_EQ(image, (Pixels{0, 4, 5, 0, 7, 8, 0, 0, 0}));
  image = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  crop_shifted(image, 1, 3, 3, 0, 2, scratch);
  EXPECT_EQ(image, (Pixels{3, 0, 0, 6, 0, 0, 9, 0, 0}));
  crop_shifted(image, 1, 3, 3, 5, 5, scratch);
  EXPECT_EQ(image, Pixels(9, 0));
}

TEST(Augment, FlipReversesRowsOfEveryPlane) {
  Pixels image = {1, 2, 3, 4, 5, 6, 7, 8};
  flip_horizontal(image, 2, 2, 2);
  EXPECT_EQ(image, (Pixels{2, 1, 4, 3, 6, 5, 8, 7}));
}

TEST(Augment, ColourJitter) {
  Pixels image = {100, 200, 100, 200, 100, 200};  // two grey pixels
  jitter_colour(image, 3, 1, 2, 0.5f, 1, 1);
  EXPECT_EQ(image, (Pixels{50, 100, 50, 100, 50, 100}));
  jitter_colour(image, 3, 1, 2, 1, 2, 1);  // about the mean, 75
  EXPECT_EQ(image, (Pixels{25, 125, 25, 125, 25, 125}));
  Pixels red = {200, 0, 0};
  jitter_colour(red, 3, 1, 1, 1, 1, 0);
  EXPECT_EQ(red, (Pixels{60, 60, 60}));  // 0.299 * 200
}

TEST(Augment, CutOutIsClippedAtTheBorder) {
  Pixels image = {0, 0, 0, 0, 90, 0, 0, 0, 90};
  cut_out(image, 1, 3, 3, 0, 0, 3);  // rows and columns -1..1
  EXPECT_EQ(image, (Pixels{20, 20, 0, 20, 20, 0, 0, 0, 90}));
}

TEST(Augment, BetaHasItsMeanAndVariance) {
  for (float alpha : {0.2f, 1.0f, 3.0f}) {
    RandomStream random(1);
    double sum = 0, squares = 0;
    int count = 20000;
    for (int i = 0; i < count; ++i) {
      double value = static_cast<double>(draw_beta(alpha, random));
      ASSERT_GE(value, 0);
      ASSERT_LE(value, 1);
      sum += value;
      squares += value * value;
    }
    double mean = sum / count;
    EXPECT_NEAR(mean, 0.5, 0.015);
    EXPECT_NEAR(squares / count - mean * mean, 1 / (4 * (2 * static_cast<double>(alpha) + 1)), 0.01)
        << alpha;
  }
}

TEST(Resize, KnownValues) {
  io::Image image{2, 1, 1, {0, 100}};
  EXPECT_EQ(resize(image, 1, 4).pixels, (io::Bytes{0, 25, 75, 100}));  // half-pixel centres
  io::Image wide{4, 1, 1, {0, 0, 80, 80}};
  EXPECT_EQ(resize(wide, 1, 2).pixels,
            (io::Bytes{11, 69}));  // as Pillow's BILINEAR: weights 3 3 1 of 7
  EXPECT_EQ(resize(flat_image(7, 9, 3, 77), 4, 20).pixels, io::Bytes(240, 77));
  EXPECT_EQ(resize(image, 1, 2).pixels, image.pixels);
}

TEST(Resize, ChannelsConvert) {
  io::Image rgb{1, 1, 3, {100, 150, 200}};
  EXPECT_EQ(convert_channels(rgb, 1).pixels, (io::Bytes{141}));  // 140.75
  EXPECT_EQ(convert_channels(flat_image(1, 1, 1, 9), 3).pixels, (io::Bytes{9, 9, 9}));
}

TEST(LogMel, EqualsTheDirectTransform) {
  AudioFormat format{.sample_rate = 8000, .samples = 400, .window = 64, .hop = 40, .mels = 8};
  io::Wav wav{8000, 1, {}};
  for (int i = 0; i < 300; ++i) {
    wav.samples.push_back(0.4f * std::sin(0.3f * static_cast<float>(i)) +
                          0.1f * std::cos(1.7f * static_cast<float>(i)));
  }
  std::vector<float> frames = log_mel(wav, format, "w"), filters = mel_filters(format);
  ASSERT_EQ(frame_count(format), 9);
  ASSERT_EQ(frames.size(), 72u);
  const double pi = std::acos(-1.0);
  for (size_t f = 0; f < 9; ++f) {
    for (size_t m = 0; m < 8; ++m) {
      double mel = 0;
      for (size_t k = 0; k <= 32; ++k) {
        double re = 0, im = 0;
        for (size_t i = 0; i < 64; ++i) {
          size_t at = f * 40 + i;
          double x = at < 300 ? static_cast<double>(wav.samples[at]) : 0;
          double hann = 0.5 - 0.5 * std::cos(2 * pi * static_cast<double>(i) / 64);
          re += x * hann * std::cos(2 * pi * static_cast<double>(k * i) / 64);
          im += x * hann * std::sin(2 * pi * static_cast<double>(k * i) / 64);
        }
        mel += static_cast<double>(filters[m * 33 + k]) * (re * re + im * im);
      }
      EXPECT_NEAR(frames[f * 8 + m], std::log(std::max(mel, 1e-6)), 2e-3) << f << ' ' << m;
    }
  }
}

TEST(LogMel, FiltersAreTrianglesOnTheMelScale) {
  AudioFormat format;
  std::vector<float> filters = mel_filters(format);
  size_t bins = 129, last_peak = 0;
  for (size_t m = 0; m < 40; ++m) {
    size_t peak = 0;
    for (size_t k = 0; k < bins; ++k) {
      EXPECT_GE(filters[m * bins + k], 0);
      EXPECT_LE(filters[m * bins + k], 1);
      if (filters[m * bins + k] > filters[m * bins + peak]) peak = k;
    }
    EXPECT_GE(peak, last_peak);
    last_peak = peak;
  }
  EXPECT_GT(last_peak, 100u);
}

// A tone is the same spectrogram at any rate it was recorded at, but for the ends.
TEST(LogMel, ResamplesOtherRates) {
  auto tone = [](int rate) {
    io::Wav wav{rate, 1, {}};
    for (int i = 0; i < rate; ++i) {
      wav.samples.push_back(0.5f *
                            static_cast<float>(std::sin(2 * std::numbers::pi * 1000 * i / rate)));
    }
    return wav;
  };
  AudioFormat format;
  auto bins = static_cast<size_t>(format.mels);
  std::vector<float> wanted = log_mel(tone(8000), format, "w");
  for (int rate : {44100, 16000, 11025, 6000}) {
    std::vector<float> found = log_mel(tone(rate), format, "w");
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t i = 4 * bins; i < wanted.size() - 4 * bins; ++i) {
      if (wanted[i] > -3) {
        EXPECT_NEAR(found[i], wanted[i], 0.01) << rate << " Hz, value " << i;
      }
    }
  }
}

TEST(LogMel, ImpossibleRatesAndFormatsAreRefused) {
  expect_user_error([] { log_mel({0, 1, {0}}, {}, "a.wav"); }, {"a.wav", "0 Hz"});
  expect_user_error([] { check(AudioFormat{.window = 3}, "a"); }, {"window", "3"});
}

}  // namespace
}  // namespace wafer::data
