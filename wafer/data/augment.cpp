#include "wafer/data/augment.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "wafer/base/error.h"

namespace wafer::data {

namespace {
uint8_t to_pixel(float value) {
  return static_cast<uint8_t>(std::clamp(value, 0.0f, 255.0f) + 0.5f);
}

size_t area(int height, int width) {
  return static_cast<size_t>(height) * static_cast<size_t>(width);
}
}  // namespace

bool Augmentation::changes_images() const {
  return crop_padding > 0 || horizontal_flip || brightness > 0 || contrast > 0 || saturation > 0 ||
         cutout > 0;
}

std::string text(const Augmentation& a) {
  return str("crop=", a.crop_padding, " flip=", a.horizontal_flip, " brightness=", a.brightness,
             " contrast=", a.contrast, " saturation=", a.saturation, " cutout=", a.cutout,
             " mixup=", a.mixup, " shift=", a.shift);
}

void check(const Augmentation& augmentation) {
  auto require = [](bool good, const char* name, double value, const char* expected) {
    if (!good)
      throw UserError("augmentation", str(name, " is out of range"),
                      {.got = str(value), .expected = expected});
  };
  require(augmentation.crop_padding >= 0, "crop_padding", augmentation.crop_padding,
          "0 or more pixels");
  require(augmentation.cutout >= 0, "cutout", augmentation.cutout, "0 or more pixels");
  require(augmentation.brightness >= 0 && augmentation.brightness <= 1, "brightness",
          augmentation.brightness, "0 to 1");
  require(augmentation.contrast >= 0 && augmentation.contrast <= 1, "contrast",
          augmentation.contrast, "0 to 1");
  require(augmentation.saturation >= 0 && augmentation.saturation <= 1, "saturation",
          augmentation.saturation, "0 to 1");
  require(augmentation.mixup >= 0 && augmentation.mixup <= 100, "mixup", augmentation.mixup,
          "0 to 100");
}

void crop_shifted(std::span<uint8_t> planes, int channels, int height, int width, int dy, int dx,
                  std::vector<uint8_t>& scratch) {
  if (dy == 0 && dx == 0) return;
  scratch.assign(planes.begin(), planes.end());
  int begin = std::clamp(-dx, 0, width), end = std::clamp(width - dx, 0, width);
  for (int c = 0; c < channels; ++c) {
    for (int y = 0; y < height; ++y) {
      uint8_t* row =
          planes.data() + (area(c, height) + static_cast<size_t>(y)) * static_cast<size_t>(width);
      std::memset(row, 0, static_cast<size_t>(width));
      int from = y + dy;
      if (from < 0 || from >= height || begin >= end) continue;
      const uint8_t* source = scratch.data() + (area(c, height) + static_cast<size_t>(from)) *
                                                   static_cast<size_t>(width);
      std::memcpy(row + begin, source + begin + dx, static_cast<size_t>(end - begin));
    }
  }
}

void flip_horizontal(std::span<uint8_t> planes, int channels, int height, int width) {
  auto stride = static_cast<size_t>(width);
  for (size_t row = 0; row < area(channels, height); ++row) {
    std::reverse(planes.data() + row * stride, planes.data() + (row + 1) * stride);
  }
}

void jitter_colour(std::span<uint8_t> planes, int channels, int height, int width, float brightness,
                   float contrast, float saturation) {
  size_t plane = area(height, width);
  auto grey = [&](size_t i) {
    if (channels != 3) return static_cast<float>(planes[i]);
    return 0.299f * static_cast<float>(planes[i]) + 0.587f * static_cast<float>(planes[plane + i]) +
           0.114f * static_cast<float>(planes[2 * plane + i]);
  };
  if (brightness != 1) {
    for (uint8_t& value : planes) value = to_pixel(static_cast<float>(value) * brightness);
  }
  if (contrast != 1) {
    double sum = 0;
    for (size_t i = 0; i < plane; ++i) sum += static_cast<double>(grey(i));
    float mean = static_cast<float>(sum / static_cast<double>(plane));
    for (uint8_t& value : planes)
      value = to_pixel(mean + (static_cast<float>(value) - mean) * contrast);
  }
  if (saturation != 1 && channels == 3) {
    for (size_t i = 0; i < plane; ++i) {
      float centre = grey(i);
      for (size_t c = 0; c < 3; ++c) {
        uint8_t& value = planes[c * plane + i];
        value = to_pixel(centre + (static_cast<float>(value) - centre) * saturation);
      }
    }
  }
}

void cut_out(std::span<uint8_t> planes, int channels, int height, int width, int y, int x,
             int side) {
  int top = std::max(0, y - side / 2), bottom = std::min(height, y - side / 2 + side);
  int left = std::max(0, x - side / 2), right = std::min(width, x - side / 2 + side);
  if (left >= right) return;
  size_t plane = area(height, width);
  for (int c = 0; c < channels; ++c) {
    uint8_t* pixels = planes.data() + static_cast<size_t>(c) * plane;
    uint64_t sum = 0;
    for (size_t i = 0; i < plane; ++i) sum += pixels[i];
    auto mean = static_cast<uint8_t>(sum / plane);
    for (int row = top; row < bottom; ++row) {
      std::memset(pixels + area(row, width) + left, mean, static_cast<size_t>(right - left));
    }
  }
}

void augment_image(const Augmentation& augmentation, std::span<uint8_t> planes, int channels,
                   int height, int width, RandomStream& random, std::vector<uint8_t>& scratch) {
  if (augmentation.crop_padding > 0) {
    auto span = static_cast<uint32_t>(2 * augmentation.crop_padding + 1);
    int dy = static_cast<int>(random.below(span)) - augmentation.crop_padding;
    int dx = static_cast<int>(random.below(span)) - augmentation.crop_padding;
    crop_shifted(planes, channels, height, width, dy, dx, scratch);
  }
  if (augmentation.horizontal_flip && (random.next() & 1) != 0) {
    flip_horizontal(planes, channels, height, width);
  }
  if (augmentation.brightness > 0 || augmentation.contrast > 0 || augmentation.saturation > 0) {
    auto factor = [&](float spread) { return 1 + spread * (2 * random.uniform() - 1); };
    float brightness = factor(augmentation.brightness), contrast = factor(augmentation.contrast);
    float saturation = factor(augmentation.saturation);
    jitter_colour(planes, channels, height, width, brightness, contrast, saturation);
  }
  if (augmentation.cutout > 0) {
    int y = static_cast<int>(random.below(static_cast<uint32_t>(height)));
    int x = static_cast<int>(random.below(static_cast<uint32_t>(width)));
    cut_out(planes, channels, height, width, y, x, augmentation.cutout);
  }
}

namespace {
float open_uniform(RandomStream& random) {
  return random.uniform() + 0x1p-25f;
}

double draw_normal(RandomStream& random) {
  double radius = std::sqrt(-2 * std::log(static_cast<double>(open_uniform(random))));
  return radius * std::cos(2 * 3.14159265358979323846 * static_cast<double>(random.uniform()));
}

// alpha >= 1.
double draw_gamma(double alpha, RandomStream& random) {
  double d = alpha - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    double x = draw_normal(random), v = 1 + c * x;
    if (v <= 0) continue;
    v = v * v * v;
    double u = static_cast<double>(open_uniform(random));
    if (std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}
}  // namespace

float draw_beta(float alpha, RandomStream& random) {
  if (alpha > 1) {
    double x = draw_gamma(static_cast<double>(alpha), random),
           y = draw_gamma(static_cast<double>(alpha), random);
    return static_cast<float>(x / (x + y));
  }
  while (true) {
    double u = std::log(static_cast<double>(open_uniform(random))) / static_cast<double>(alpha);
    double v = std::log(static_cast<double>(open_uniform(random))) / static_cast<double>(alpha);
    // x = e^u, y = e^v may both underflow, so that their ratio is taken from the difference of the
    // logs.
    if (std::exp(u) + std::exp(v) <= 1) return static_cast<float>(1 / (1 + std::exp(v - u)));
  }
}

namespace {

// The weights of the source pixels that make one target pixel.
struct Taps {
  int first = 0;
  std::vector<float> weights;
};

std::vector<Taps> make_taps(int from, int to) {
  double scale = static_cast<double>(from) / to, radius = std::max(scale, 1.0);
  std::vector<Taps> result(static_cast<size_t>(to));
  for (int i = 0; i < to; ++i) {
    double centre = (i + 0.5) * scale;
    int first = std::max(0, static_cast<int>(centre - radius + 0.5));
    int last = std::min(from, static_cast<int>(centre + radius + 0.5));
    Taps& taps = result[static_cast<size_t>(i)];
    taps.first = first;
    double sum = 0;
    for (int j = first; j < last; ++j) {
      double weight = std::max(0.0, 1 - std::abs((j + 0.5 - centre) / radius));
      taps.weights.push_back(static_cast<float>(weight));
      sum += weight;
    }
    for (float& weight : taps.weights)
      weight = static_cast<float>(static_cast<double>(weight) / sum);
  }
  return result;
}

}  // namespace

io::Image resize(const io::Image& image, int height, int width) {
  WAFER_REQUIRE(height > 0 && width > 0, "resize", "the size must be positive; got ", height, "x",
                width);
  if (height == image.height && width == image.width) return image;
  auto channels = static_cast<size_t>(image.channels);
  std::vector<Taps> across = make_taps(image.width, width), down = make_taps(image.height, height);
  auto row = static_cast<size_t>(width) * channels;
  std::vector<float> narrow(row * static_cast<size_t>(image.height));
  for (size_t y = 0; y < static_cast<size_t>(image.height); ++y) {
    const uint8_t* source = image.pixels.data() + y * static_cast<size_t>(image.width) * channels;
    for (size_t x = 0; x < across.size(); ++x) {
      for (size_t c = 0; c < channels; ++c) {
        float sum = 0;
        for (size_t j = 0; j < across[x].weights.size(); ++j) {
          sum +=
              across[x].weights[j] *
              static_cast<float>(source[(static_cast<size_t>(across[x].first) + j) * channels + c]);
        }
        narrow[y * row + x * channels + c] = sum;
      }
    }
  }
  io::Image result{width, height, image.channels, io::Bytes(row * static_cast<size_t>(height))};
  for (size_t y = 0; y < down.size(); ++y) {
    for (size_t x = 0; x < row; ++x) {
      float sum = 0;
      for (size_t j = 0; j < down[y].weights.size(); ++j) {
        sum += down[y].weights[j] * narrow[(static_cast<size_t>(down[y].first) + j) * row + x];
      }
      result.pixels[y * row + x] = to_pixel(sum);
    }
  }
  return result;
}

io::Image convert_channels(const io::Image& image, int channels) {
  if (image.channels == channels) return image;
  WAFER_CHECK(channels == 1 || channels == 3);
  size_t pixels = area(image.height, image.width);
  io::Image result{image.width, image.height, channels,
                   io::Bytes(pixels * static_cast<size_t>(channels))};
  for (size_t i = 0; i < pixels; ++i) {
    if (channels == 3) {
      std::memset(result.pixels.data() + 3 * i, image.pixels[i], 3);
    } else {
      const uint8_t* rgb = image.pixels.data() + 3 * i;
      result.pixels[i] =
          to_pixel(0.299f * static_cast<float>(rgb[0]) + 0.587f * static_cast<float>(rgb[1]) +
                   0.114f * static_cast<float>(rgb[2]));
    }
  }
  return result;
}

std::vector<uint8_t> to_planes(const io::Image& image) {
  auto channels = static_cast<size_t>(image.channels), plane = image.pixels.size() / channels;
  std::vector<uint8_t> planes(image.pixels.size());
  for (size_t c = 0; c < channels; ++c) {
    for (size_t i = 0; i < plane; ++i) planes[c * plane + i] = image.pixels[i * channels + c];
  }
  return planes;
}

}  // namespace wafer::data
