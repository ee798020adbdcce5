// The public sets as their READMEs describe them; skipped where they are not.
#include <numeric>

#include "tests/data/helpers.h"
#include "wafer/data/load.h"

namespace wafer::data {
namespace {

class PublicSets : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = wafer::testing::shared_data();
    if (folder_.empty()) GTEST_SKIP() << "no public data sets here";
  }
  std::string path(const std::string& name) {
    if (!std::filesystem::is_directory(folder_ / name)) return "";
    return (folder_ / name).string();
  }
  testing::TemporaryCache cache_;
  std::filesystem::path folder_;
};

#define REQUIRE_SET(name) \
  if (path(name).empty()) GTEST_SKIP() << name << " is not here"

TEST_F(PublicSets, Cifar10) {
  REQUIRE_SET("cifar10");
  for (int round = 0; round < 2; ++round) {  // decoded, then from the cache
    Splits splits = load(path("cifar10")).split({.validation = 0.1});
    EXPECT_EQ(splits.train.size(), 45000);
    EXPECT_EQ(splits.validation.size(), 5000);
    EXPECT_EQ(splits.test.size(), 10000);
    EXPECT_EQ(splits.train.input_shape(), (Shape{3, 32, 32}));
    EXPECT_EQ(splits.train.class_names()[9], "truck");
    EXPECT_NEAR(splits.train.normalise().mean[0], 0.4913, 2e-3);
    EXPECT_NEAR(splits.train.normalise().mean[2], 0.4465, 2e-3);
    EXPECT_NEAR(splits.train.normalise().standard_deviation[1], 0.243, 2e-3);
    std::vector<int64_t> counts(10);
    for (int64_t label : splits.validation.labels()) ++counts[static_cast<size_t>(label)];
    EXPECT_EQ(counts, std::vector<int64_t>(10, 500));
  }
}

TEST_F(PublicSets, Mnist) {
  REQUIRE_SET("mnist");
  Splits splits = load(path("mnist"));
  EXPECT_EQ(splits.train.size(), 60000);
  EXPECT_EQ(splits.test.size(), 10000);
  std::vector<int64_t> counts(10);
  for (int64_t label : splits.train.labels()) ++counts[static_cast<size_t>(label)];
  EXPECT_EQ(counts,
            (std::vector<int64_t>{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949}));
  Normalise normalise = measure_normalise(splits.train);
  EXPECT_NEAR(normalise.mean[0], 0.1307, 1e-4);
  EXPECT_NEAR(normalise.standard_deviation[0], 0.3081, 1e-4);
}

TEST_F(PublicSets, SpokenDigits) {
  REQUIRE_SET("fsdd");
  Splits splits = load(path("fsdd"));
  EXPECT_EQ(splits.train.size(), 2700);
  EXPECT_EQ(splits.test.size(), 300);
  EXPECT_EQ(splits.train.input_shape(), (Shape{61, 40}));
  Splits left_out = load("fsdd", path("fsdd"), {.leave_out = "theo"});
  EXPECT_EQ(left_out.test.size(), 500);
  EXPECT_EQ(left_out.train.size(), 2500);
  wafer::testing::expect_user_error([&] { load("fsdd", path("fsdd"), {.leave_out = "teo"}); },
                                    {"'teo'", "did you mean 'theo'", "george"});
}

TEST_F(PublicSets, TinyShakespeare) {
  REQUIRE_SET("tiny_shakespeare");
  Splits splits = load(path("tiny_shakespeare")).split();
  EXPECT_EQ(splits.train.classes(), 65);
  EXPECT_EQ(splits.train.size(), (1003854 - 129) / 128 + 1);
  EXPECT_EQ(splits.validation.size(), (111540 - 129) / 128 + 1);
}

TEST_F(PublicSets, Tables) {
  REQUIRE_SET("credit_default");
  Splits credit = load(path("credit_default"));
  EXPECT_EQ(credit.train.size(), 30000);
  auto labels = credit.train.labels();
  EXPECT_EQ(std::accumulate(labels.begin(), labels.end(), int64_t{0}), 6636);
  EXPECT_EQ(credit.train.class_names(), (std::vector<std::string>{"0", "1"}));
  Splits german = load(path("german_credit")).split();
  EXPECT_EQ(german.train.description().columns.size(), 20u);
  EXPECT_EQ(german.train.size() + german.validation.size() + german.test.size(), 1000);
}

TEST_F(PublicSets, TrafficSignsAndFaces) {
  REQUIRE_SET("gtsrb");
  Splits signs = load(path("gtsrb")).split();
  EXPECT_EQ(signs.train.size() + signs.validation.size(), 13069);
  EXPECT_EQ(signs.test.size(), 12630);
  EXPECT_EQ(signs.train.classes(), 43);
  EXPECT_GT(signs.validation.group(0), -1);
  REQUIRE_SET("orl_faces");
  Splits faces = load(path("orl_faces")).split({.validation = 0, .test = 0.5});
  EXPECT_EQ(faces.train.size(), 200);
  EXPECT_EQ(faces.test.classes(), 40);
  EXPECT_EQ(faces.test.input_shape(), (Shape{1, 112, 92}));
}

}  // namespace
}  // namespace wafer::data
