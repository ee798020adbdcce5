#include "wafer/select/runner.h"

#include <gtest/gtest.h>

#include "wafer/runtime/registry.h"

namespace wafer::select {
namespace {

TEST(Gauge, WorksOnceAtFullSpeed) {
  auto cpu = device("cpu");
  // Whatever time the product takes, it is no longer than a shortest of 1000 s.
  Gauge gauge(*cpu, 1, 1000, 5);
  gauge.read();
  EXPECT_LT(gauge.shortest(), 1000);
  EXPECT_TRUE(gauge.full_speed(gauge.shortest()));
  EXPECT_FALSE(gauge.full_speed(2 * gauge.shortest() + 1e-5));
  Gauge impatient(*cpu, 1, 1e-9);
  int calls = 0;
  impatient.settle([&] { ++calls; });
  EXPECT_EQ(calls, 1) << "without patience nothing is done again";
}

TEST(Gauge, WorksAgainWhileTheMachineIsSlowerThanItWasUntilPatienceEnds) {
  auto cpu = device("cpu");
  Gauge gauge(*cpu, 1, 1e-9, 0.05);  // no machine takes a nanosecond for the product
  int first = 0, second = 0;
  gauge.settle([&] { ++first; });
  EXPECT_GT(first, 1);
  EXPECT_EQ(gauge.shortest(), 1e-9);
  gauge.settle([&] { ++second; });
  EXPECT_EQ(second, 1) << "all calls share the patience";
}

}  // namespace
}  // namespace wafer::select
