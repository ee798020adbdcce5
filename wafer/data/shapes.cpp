#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "wafer/base/error.h"
#include "wafer/base/philox.h"
#include "wafer/base/threads.h"
#include "wafer/data/decoders.h"

namespace wafer::data {

namespace {

constexpr int kSide = 32;
constexpr float pi = std::numbers::pi_v<float>;
constexpr float kReach =
    1.25f;  // no shape leaves this circle: the corners of the largest square touch 1.21
constexpr const char* kClasses[] = {"circle", "ring", "square",   "frame",   "triangle",
                                    "cross",  "star", "crescent", "stripes", "checkers"};

struct Point {
  float x, y;
};

float length(Point p) {
  return std::sqrt(p.x * p.x + p.y * p.y);
}

// Regular polygon with the unit circle around it: inside when no edge is crossed.
bool in_polygon(Point p, int corners) {
  float step = 2 * pi / static_cast<float>(corners);
  float angle = std::atan2(p.y, p.x);
  float offset = angle - std::floor(angle / step) * step - step / 2;
  return length(p) * std::cos(offset) <= std::cos(step / 2);
}

// Five points between radius 1 and 0.42.
bool in_star(Point p) {
  float step = 2 * pi / 5, angle = std::atan2(p.y, p.x);
  float offset =
      std::abs(angle - std::floor(angle / step) * step - step / 2) / (step / 2);  // 0 valley, 1 tip
  float inner = 0.42f;
  // The edge from valley to tip is a straight line in polar form.
  Point valley{inner, 0}, tip{std::cos(step / 2), std::sin(step / 2)};
  float a = offset * step / 2, dx = tip.x - valley.x, dy = tip.y - valley.y;
  float limit = (valley.x * dy - valley.y * dx) / (std::cos(a) * dy - std::sin(a) * dx);
  return length(p) <= limit;
}

// p: in the shape's own frame, where it fills the unit circle.
bool inside(int shape, Point p) {
  float radius = length(p), ax = std::abs(p.x), ay = std::abs(p.y);
  switch (shape) {
    case 0: return radius <= 0.9f;
    case 1: return radius <= 1 && radius >= 0.6f;
    case 2: return std::max(ax, ay) <= 0.75f;
    case 3: return std::max(ax, ay) <= 0.85f && std::max(ax, ay) >= 0.5f;
    case 4: return in_polygon(p, 3);
    case 5: return (ax <= 0.28f && ay <= 0.95f) || (ay <= 0.28f && ax <= 0.95f);
    case 6: return in_star(p);
    case 7: return radius <= 0.95f && length({p.x - 0.45f, p.y}) > 0.75f;
    case 8: return std::max(ax, ay) <= 0.85f && std::fmod(p.y + 10.0f, 0.5f) < 0.25f;
    default:
      return std::max(ax, ay) <= 0.85f && (static_cast<int>(std::floor(p.x / 0.425f)) +
                                           static_cast<int>(std::floor(p.y / 0.425f))) %
                                                  2 ==
                                              0;
  }
}

float between(RandomStream& random, float low, float high) {
  return low + (high - low) * random.uniform();
}

// Sum of the four bytes of one draw, of mean 0 and deviation 1: near enough to a normal for noise.
float noise(RandomStream& random) {
  uint32_t word = random.next();
  auto sum =
      static_cast<int32_t>((word & 255) + (word >> 8 & 255) + (word >> 16 & 255) + (word >> 24));
  return static_cast<float>(sum - 510) / 147.8f;  // a byte has deviation 73.9, four have twice that
}

void draw(int shape, RandomStream& random, uint8_t* planes) {
  std::array<float, 3> back{}, front{}, slope{};
  float distance = 0;
  while (distance < 0.35f) {  // shape and background must differ
    distance = 0;
    for (size_t c = 0; c < 3; ++c) {
      back[c] = random.uniform();
      front[c] = random.uniform();
      distance += std::abs(back[c] - front[c]) / 3;
    }
  }
  for (float& value : slope) value = between(random, -0.3f, 0.3f);
  float size = between(random, 7, 13), angle = between(random, -pi, pi),
        spread = between(random, 0.03f, 0.15f);
  float squeeze = between(random, 0.8f, 1.0f);
  Point centre{between(random, size * 0.8f, kSide - size * 0.8f),
               between(random, size * 0.8f, kSide - size * 0.8f)};
  float cosine = std::cos(angle), sine = std::sin(angle);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      int covered = 0;  // of 2 x 2 samples
      for (int s = 0; s < 4; ++s) {
        float dx =
            (static_cast<float>(x) + 0.25f + 0.5f * static_cast<float>(s % 2) - centre.x) / size;
        float dy =
            (static_cast<float>(y) + 0.25f + 0.5f * static_cast<float>(s / 2) - centre.y) / size;
        Point p{cosine * dx + sine * dy, (cosine * dy - sine * dx) / squeeze};
        covered += length(p) < kReach && inside(shape, p) ? 1 : 0;
      }
      float cover = static_cast<float>(covered) / 4;
      for (size_t c = 0; c < 3; ++c) {
        float ground = back[c] + slope[c] * (static_cast<float>(x + y) / kSide - 1);
        float value = ground * (1 - cover) + front[c] * cover + spread * noise(random);
        planes[c * kSide * kSide + static_cast<size_t>(y * kSide + x)] =
            static_cast<uint8_t>(std::clamp(value * 255 + 0.5f, 0.0f, 255.0f));
      }
    }
  }
}

ArrayPart draw_part(int64_t count, uint64_t seed, uint64_t part) {
  constexpr size_t kBytes = 3 * kSide * kSide;
  auto pixels = std::make_shared<std::vector<uint8_t>>(static_cast<size_t>(count) * kBytes);
  ArrayPart result;
  for (int64_t i = 0; i < count; ++i) result.labels.push_back(i % 10);
  parallel_for(count, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      RandomStream random(seed, part << 48 | static_cast<uint64_t>(i));
      draw(static_cast<int>(i % 10), random, pixels->data() + static_cast<size_t>(i) * kBytes);
    }
  });
  result.inputs = std::as_bytes(std::span(*pixels));
  result.owner = pixels;
  return result;
}

}  // namespace

Splits draw_shapes(const LoadOptions& options) {
  for (int64_t count : {options.train_size, options.test_size}) {
    WAFER_REQUIRE(count >= 10 && count <= 10'000'000, "shapes",
                  "a part must have 10 to 10,000,000 images; got ", count);
  }
  Content content;
  content.description.name = "shapes";
  content.description.shape = {3, kSide, kSide};
  content.description.classes.assign(std::begin(kClasses), std::end(kClasses));
  content.train = draw_part(options.train_size, options.seed, 1);
  content.test = draw_part(options.test_size, options.seed, 2);
  return make_splits(std::move(content));
}

}  // namespace wafer::data
