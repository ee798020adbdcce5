#include "wafer/data/dataset.h"

#include <cmath>

#include "tests/data/helpers.h"
#include "wafer/data/input_spec.h"
#include "wafer/data/load.h"

namespace wafer::data {
namespace {

using testing::flat_image;
using testing::small_images;
using wafer::testing::expect_user_error;

TEST(Dataset, SubsetsCountWithinTheSet) {
  Dataset set = small_images(10);
  Dataset part = set.subset({9, 3, 5}).subset({2, 0});
  ASSERT_EQ(part.size(), 2);
  EXPECT_EQ(part.image(0).pixels, (io::Bytes(4, 5)));
  EXPECT_EQ(part.image(1).pixels, (io::Bytes(4, 9)));
  EXPECT_EQ(part.labels(), (std::vector<int64_t>{1, 1}));
  EXPECT_EQ(set.take(3).size(), 3);
  EXPECT_EQ(set.take(30).size(), 10);
  EXPECT_EQ(set.input_shape(), (Shape{1, 2, 2}));
  EXPECT_EQ(set.input_dtype(), DType::f32);
  EXPECT_EQ(set.target_dtype(), DType::i64);
}

TEST(Dataset, InputsAreNormalised) {
  Dataset set = small_images(2, 2, 3).with({{0.1f, 0.2f, 0.3f}, {0.5f, 1.0f, 2.0f}});
  std::vector<float> input(12);
  set.read_input(1, reinterpret_cast<std::byte*>(input.data()));
  for (size_t i = 0; i < 12; ++i) {
    float mean = set.normalise().mean[i / 4], deviation = set.normalise().standard_deviation[i / 4];
    EXPECT_NEAR(input[i], (1 / 255.0f - mean) / deviation, 1e-6) << i;
  }
  expect_user_error([&] { set.with({{0.1f}, {1.0f}}); }, {"small", "1 values for 3"});
  expect_user_error([&] { set.with({{0, 0, 0}, {1, 0, 1}}); }, {"must be positive"});
}

TEST(Dataset, MeanAndDeviationAreMeasured) {
  Normalise measured = measure_normalise(small_images(256));
  double mean = 127.5 / 255, deviation = std::sqrt((256.0 * 256 - 1) / 12) / 255;
  EXPECT_NEAR(measured.mean.at(0), mean, 1e-6);
  EXPECT_NEAR(measured.standard_deviation.at(0), deviation, 1e-6);
  EXPECT_EQ(measure_normalise(small_images(1)).standard_deviation.at(0), 1);
}

TEST(Dataset, BadTargetsAndInputsAreNamed) {
  Description about;
  about.name = "set";
  about.where = "folder/set";
  about.kind = InputKind::features;
  about.stored = DType::f32;
  about.shape = {2};
  about.classes = {"a", "b"};
  std::vector<float> values = {1, 2, 3, 4};
  auto make = [&](std::vector<int64_t> labels) {
    ArrayPart part;
    part.inputs = std::as_bytes(std::span(values));
    part.labels = std::move(labels);
    part.names = {"one", "two"};
    return make_array_source(about, std::move(part));
  };
  EXPECT_NO_THROW(make({0, 1}));
  expect_user_error(
      [&] {
        make({0, 2});
      },
      {"folder/set", "example 1 (two)", "out of range", "got 2", "0 to 1"});
  expect_user_error([&] { make({0, -1}); }, {"got -1"});
  expect_user_error([&] { make({0}); }, {"differ in number"});
  values[2] = std::nanf("");
  expect_user_error([&] { make({0, 1}); }, {"example 1 (two), element 0", "finite"});
}

TEST(Windows, TargetsAreTheNextTokens) {
  Description about;
  about.name = "text";
  about.kind = InputKind::tokens;
  about.task = Task::next_token;
  about.stored = DType::u8;
  about.shape = {3};
  about.classes.assign(10, "x");
  std::vector<uint8_t> tokens = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  Dataset set(make_window_source(about, nullptr, std::as_bytes(std::span(tokens)), 3));
  ASSERT_EQ(set.size(), 3);
  EXPECT_EQ(set.input_dtype(), DType::i64);
  std::vector<int64_t> window(3);
  set.read_input(2, reinterpret_cast<std::byte*>(window.data()));
  EXPECT_EQ(window, (std::vector<int64_t>{6, 7, 8}));
  set.read_target(2, reinterpret_cast<std::byte*>(window.data()));
  EXPECT_EQ(window, (std::vector<int64_t>{7, 8, 9}));
  expect_user_error(
      [&] { make_window_source(about, nullptr, std::as_bytes(std::span(tokens).first(3)), 3); },
      {"shorter than one window", "at least 4"});
}

TEST(Splits, ClassesKeepTheirSharesAndTheSeedDecides) {
  Splits all;
  all.train = small_images(250, 5);
  Splits first = all.split({.validation = 0.1, .test = 0.2, .seed = 3});
  EXPECT_EQ(first.test.size(), 50);
  EXPECT_EQ(first.validation.size(), 20);
  EXPECT_EQ(first.train.size(), 180);
  std::vector<int64_t> counts(5);
  for (int64_t label : first.validation.labels()) ++counts[static_cast<size_t>(label)];
  EXPECT_EQ(counts, (std::vector<int64_t>(5, 4)));
  std::vector<bool> seen(250);
  for (const Dataset* part : {&first.train, &first.validation, &first.test}) {
    for (int64_t i = 0; i < part->size(); ++i) {
      size_t value = part->image(i).pixels[0];
      EXPECT_FALSE(seen[value]);
      seen[value] = true;
    }
  }
  auto firsts = [](const Splits& splits) { return splits.validation.image(0).pixels[0]; };
  EXPECT_EQ(firsts(first), firsts(all.split({.validation = 0.1, .test = 0.2, .seed = 3})));
  bool differs = false;
  for (uint64_t seed = 4; seed < 8; ++seed) {
    differs = differs ||
              firsts(all.split({.validation = 0.1, .test = 0.2, .seed = seed})) != firsts(first);
  }
  EXPECT_TRUE(differs);
}

TEST(Splits, PartsMayBeLeftOutAndBadOnesAreNamed) {
  Splits all;
  all.train = small_images(20);
  Splits none = all.split({.validation = 0, .test = 0.0});
  EXPECT_EQ(none.train.size(), 20);
  EXPECT_TRUE(none.validation.empty());
  EXPECT_TRUE(none.test.empty());
  expect_user_error([&] { all.split({.validation = 1.5}); }, {"validation", "1.5"});
  expect_user_error([&] { all.split({.validation = 0.001}); }, {"validation", "empty"});
  Splits one;
  one.train = small_images(20, 1);
  expect_user_error([&] { one.split(); }, {"one class only", "'a'"});
}

TEST(InputSpec, RoundTripsAndPreparesImages) {
  Dataset set = small_images(4, 2, 3).with({{0.1f, 0.2f, 0.3f}, {0.5f, 1.0f, 2.0f}});
  InputSpec spec = InputSpec::from_json(input_spec(set).to_json(), "m");
  EXPECT_EQ(spec.normalise, set.normalise());
  EXPECT_EQ(spec.description.classes, set.class_names());
  EXPECT_EQ(spec.description.shape, set.description().shape);
  std::vector<float> expected(12);
  set.read_input(3, reinterpret_cast<std::byte*>(expected.data()));
  EXPECT_EQ(prepare(spec, flat_image(2, 2, 3, 3)), expected);
  EXPECT_EQ(prepare(spec, flat_image(7, 5, 1, 3)), expected);  // grey and of another size
  expect_user_error([&] { prepare(spec, io::Wav{}); }, {"another kind", "image"});
  expect_user_error([] { InputSpec::from_json("{\"name\": 3}", "model.x"); },
                    {"model.x", "damaged"});
  std::string text = input_spec(set).to_json();
  text.replace(text.find("[3,2,2]"), 7, "[9,2,2]");
  expect_user_error([&] { InputSpec::from_json(text, "model.x"); }, {"model.x", "do not fit"});
}

TEST(InputSpec, TextBecomesTokensAndBack) {
  InputSpec spec;
  spec.description.kind = InputKind::tokens;
  spec.description.shape = {4};
  spec.description.classes = {"a", "b", "é"};
  EXPECT_EQ(tokenise(spec, "béa"), (std::vector<int64_t>{1, 2, 0}));
  EXPECT_EQ(detokenise(spec, {2, 2, 1}), "ééb");
  expect_user_error([&] { tokenise(spec, "abc"); }, {"'c'", "vocabulary"});
  expect_user_error([] { utf8_characters("a\xff", "t.txt"); }, {"t.txt", "offset 1", "UTF-8"});
}

TEST(InputSpec, RowsOfTablesAreEncoded) {
  InputSpec spec;
  spec.description.kind = InputKind::features;
  spec.description.stored = DType::f32;
  spec.description.columns = {{"age", {}}, {"job", {"cook", "nurse"}}};
  spec.description.shape = {3};
  spec.normalise = {{10, 0, 0}, {2, 1, 1}};
  EXPECT_EQ(prepare(spec, {"14", "nurse"}, "row"), (std::vector<float>{2, 0, 1}));
  expect_user_error(
      [&] {
        prepare(spec, {"14", "nurze"}, "row");
      },
      {"'job'", "nurze", "did you mean 'nurse'"});
  expect_user_error([&] { prepare(spec, {"x", "cook"}, "row"); }, {"'age'", "'x'"});
  expect_user_error([&] { prepare(spec, {"1"}, "row"); }, {"1 cells", "takes 2"});
}

}  // namespace
}  // namespace wafer::data
