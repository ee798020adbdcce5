#include "wafer/select/runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "wafer/runtime/registry.h"

namespace wafer::select {
namespace {

TEST(Gauge, UsualIsWhatAQuarterOfTheReadingsWere) {
  auto cpu = device("cpu");
  Gauge gauge(*cpu, 1);
  std::vector<double> readings;
  for (int i = 0; i < 9; ++i) readings.push_back(gauge.read());
  std::sort(readings.begin(), readings.end());
  EXPECT_EQ(gauge.usual(), readings[2]);
  EXPECT_TRUE(gauge.is_usual(readings[2]));
  EXPECT_FALSE(gauge.is_usual(0.5 * readings[2]));
  EXPECT_FALSE(gauge.is_usual(2 * readings[2]));
  EXPECT_FALSE(gauge.is_usual({readings[2], 2 * readings[2]}));
  EXPECT_NEAR(gauge.distance({readings[2], 2 * readings[2]}), std::log(2.0), 1e-9);
  EXPECT_NEAR(gauge.distance({readings[2] / 3, 2 * readings[2]}), std::log(3.0), 1e-9);
}

TEST(Gauge, WorksOnceWithoutPatience) {
  auto cpu = device("cpu");
  Gauge impatient(*cpu, 1, 1000);
  int calls = 0;
  impatient.settle([&] { ++calls; });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(impatient.usual(), 1000);
}

TEST(Gauge, WaitsForTheUsualSpeedUntilPatienceEnds) {
  auto cpu = device("cpu");
  Gauge changed(*cpu, 1, 1000, 0.05);  // no machine takes 1000 s for the product
  int first = 0, second = 0;
  changed.settle([&] { ++first; });
  EXPECT_EQ(first, 1) << "work waits for the usual speed";
  EXPECT_FALSE(changed.await(0.01));
  changed.settle([&] { ++second; });
  EXPECT_EQ(second, 1) << "all calls share the patience";
  Gauge same(*cpu, 1);
  double usual = same.read();
  EXPECT_TRUE(same.await(60)) << "as fast as it was just now, sooner or later";
  EXPECT_EQ(same.usual(), usual) << "waiting does not change what is usual";
}

}  // namespace
}  // namespace wafer::select
