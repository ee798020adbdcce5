#include "wafer/select/gauge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "wafer/runtime/registry.h"

namespace wafer::select {
namespace {

// What the second graph takes, among others.
double second(const Gauge::Reading& reading) {
  return reading.at(1);
}

TEST(Gauge, UsualIsWhatAQuarterOfTheReadingsWere) {
  auto cpu = device("cpu");
  Gauge gauge(*cpu, 1);
  std::vector<double> seconds;
  for (int i = 0; i < 9; ++i) seconds.push_back(second(gauge.read()));
  std::sort(seconds.begin(), seconds.end());
  Gauge::Reading usual = gauge.usual();
  EXPECT_EQ(second(usual), seconds[2]);
  EXPECT_TRUE(gauge.is_usual(usual));
  // Each of the graphs can tell that the speed is another.
  for (size_t i = 0; i < usual.size(); ++i) {
    for (double factor : {0.5, 2.0}) {
      Gauge::Reading other = usual;
      other[i] *= factor;
      EXPECT_FALSE(gauge.is_usual(other));
      EXPECT_FALSE(gauge.is_usual({usual, other}));
      EXPECT_FALSE(gauge.is_usual({other, usual}));
      EXPECT_NEAR(gauge.distance({usual, other}), std::log(2.0), 1e-9);
    }
  }
  EXPECT_EQ(gauge.distance({usual, usual}), 0);
}

TEST(Gauge, WorksOnceWithoutPatience) {
  auto cpu = device("cpu");
  Gauge::Reading never{1000, 1000};  // no machine takes so many seconds
  Gauge impatient(*cpu, 1, never);
  int calls = 0;
  impatient.settle([&] { ++calls; });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(impatient.usual(), never);
}

TEST(Gauge, WaitsForTheUsualSpeedUntilPatienceEnds) {
  auto cpu = device("cpu");
  Gauge changed(*cpu, 1, {1000, 1000}, 0.05);
  int first = 0, second = 0;
  changed.settle([&] { ++first; });
  EXPECT_EQ(first, 1) << "work waits for the usual speed";
  EXPECT_FALSE(changed.await(0.01));
  changed.settle([&] { ++second; });
  EXPECT_EQ(second, 1) << "all calls share the patience";
  Gauge same(*cpu, 1);
  Gauge::Reading usual = same.read();
  EXPECT_TRUE(same.await(60)) << "as fast as it was just now, sooner or later";
  EXPECT_EQ(same.usual(), usual) << "waiting does not change what is usual";
}

}  // namespace
}  // namespace wafer::select
