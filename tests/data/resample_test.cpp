#include "wafer/data/resample.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace wafer::data {
namespace {

std::vector<float> tone(double hertz, int64_t rate, size_t size) {
  std::vector<float> signal(size);
  for (size_t i = 0; i < size; ++i) {
    signal[i] = static_cast<float>(std::sin(2 * std::numbers::pi * hertz * static_cast<double>(i) /
                                            static_cast<double>(rate)));
  }
  return signal;
}

struct Rates {
  int64_t from, to;
};

TEST(Resample, TonesKeepAmplitudeAndPhase) {
  for (auto [from, to] : {Rates{44100, 8000},
                          {8000, 44100},
                          {16000, 8000},
                          {48000, 44100},
                          {7919, 8000},
                          {8000, 7919}}) {
    double hertz = 0.2 * static_cast<double>(std::min(from, to));
    auto found = resample(tone(hertz, from, static_cast<size_t>(from)), from, to, SIZE_MAX);
    ASSERT_EQ(found.size(), static_cast<size_t>(to));
    auto wanted = tone(hertz, to, static_cast<size_t>(to));
    for (size_t i = 200; i + 200 < found.size(); ++i) {
      ASSERT_NEAR(found[i], wanted[i], 5e-4) << from << " -> " << to << " at " << i;
    }
  }
}

TEST(Resample, WhatTheLowerRateCannotHoldIsDamped) {
  auto found = resample(tone(5000, 44100, 44100), 44100, 8000, SIZE_MAX);
  for (size_t i = 50; i + 50 < found.size(); ++i) ASSERT_NEAR(found[i], 0, 5e-4) << i;
}

TEST(Resample, HasLinearPhase) {
  std::vector<float> impulse(2001);
  std::vector<float> mirror = impulse;
  // Output 667 lies at input 1000.5, in the middle between the two impulses.
  impulse[1000] = mirror[1001] = 1;
  auto found = resample(impulse, 3, 2, SIZE_MAX), mirrored = resample(mirror, 3, 2, SIZE_MAX);
  for (size_t k = 0; k < 60; ++k) EXPECT_NEAR(found[667 - k], mirrored[667 + k], 1e-6) << k;
}

TEST(Resample, ConstantsEndsAndSizes) {
  std::vector<float> constant(1000, 0.75f);
  auto found = resample(constant, 1000, 1001, SIZE_MAX);
  ASSERT_EQ(found.size(), 1001u);
  for (size_t i = 100; i < 900; ++i) EXPECT_NEAR(found[i], 0.75, 1e-6);
  EXPECT_EQ(resample(constant, 8000, 8000, SIZE_MAX), constant);
  EXPECT_EQ(resample(constant, 8000, 8000, 10).size(), 10u);
  EXPECT_EQ(resample(constant, 8000, 16000, 10).size(), 10u);
  EXPECT_TRUE(resample({}, 8000, 16000, SIZE_MAX).empty());
  // Rates without a common factor, and a filter much longer than the signal.
  EXPECT_EQ(resample(constant, 9999991, 8000, SIZE_MAX).size(), 1u);
  EXPECT_EQ(resample(constant, 1, 9999991, 8000).size(), 8000u);
}

}  // namespace
}  // namespace wafer::data
