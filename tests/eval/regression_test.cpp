#include "wafer/eval/regression.h"

#include <gtest/gtest.h>

#include "tests/eval/expected.h"
#include "wafer/base/error.h"

namespace wafer::eval {
namespace {

TEST(Regression, EqualsScikitLearn) {
  for (const auto& item : testing::cases("regression.json")) {
    SCOPED_TRACE(item["name"].get<std::string>());
    auto result = regression(item["predicted"].get<std::vector<double>>(),
                             item["target"].get<std::vector<double>>());
    const auto& expected = item["expected"];
    EXPECT_SAME(result.mse, expected["mse"]);
    EXPECT_SAME(result.rmse, expected["rmse"]);
    EXPECT_SAME(result.mae, expected["mae"]);
    EXPECT_SAME(result.r2, expected["r2"]);
    EXPECT_SAME(result.median_absolute_error, expected["median_absolute_error"]);
    EXPECT_SAME(result.mean_absolute_percentage_error, expected["mean_absolute_percentage_error"]);
    EXPECT_SAME(result.explained_variance, expected["explained_variance"]);
    EXPECT_SAME(result.max_error, expected["max_error"]);
    EXPECT_SAME(result.pearson, expected["pearson"]);
    EXPECT_SAME(result.spearman, expected["spearman"]);
  }
}

TEST(Regression, RanksShareTies) {
  EXPECT_EQ(average_ranks(std::vector<double>{5, 1, 5, 3}), (std::vector<double>{3.5, 1, 3.5, 2}));
}

TEST(Regression, RefusesWhatItCannotMeasure) {
  std::vector<double> none, one = {1}, two = {1, 2}, broken = {std::nan("")};
  EXPECT_THROW(regression(none, none), UserError);
  EXPECT_THROW(regression(one, two), UserError);
  EXPECT_THROW(regression(broken, one), UserError);
  EXPECT_THROW(regression(one, broken), UserError);
}

}  // namespace
}  // namespace wafer::eval
