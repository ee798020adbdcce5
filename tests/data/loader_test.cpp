#include "wafer/data/loader.h"

#include <numeric>
#include <set>

#include "tests/data/helpers.h"
#include "wafer/data/load.h"

namespace wafer::data {
namespace {

using testing::small_images;
using wafer::testing::expect_user_error;

std::vector<float> floats(const Tensor& tensor) {
  auto* first = static_cast<const float*>(tensor.storage()->data());
  return {first, first + tensor.elements()};
}

std::vector<int64_t> integers(const Tensor& tensor) {
  auto* first = static_cast<const int64_t*>(tensor.storage()->data());
  return {first, first + tensor.elements()};
}

struct Epoch {
  std::vector<float> inputs, weights;
  std::vector<int64_t> targets, indices;
};

Epoch run(Loader& loader, int64_t epoch, int64_t first = 0) {
  Epoch result;
  loader.start_epoch(epoch, first);
  int64_t expected = first;
  while (auto batch = loader.next()) {
    EXPECT_EQ(batch->index, expected++);
    EXPECT_EQ(batch->inputs.size(0), batch->size());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(batch->inputs.storage()->data()) % 64, 0u);
    for (float value : floats(batch->inputs)) result.inputs.push_back(value);
    for (int64_t value : integers(batch->targets)) result.targets.push_back(value);
    for (int64_t value : batch->indices) result.indices.push_back(value);
    result.weights.push_back(batch->mix_weight);
  }
  EXPECT_EQ(expected, loader.batches());
  return result;
}

TEST(Loader, InOrderWithALastPartialBatch) {
  Loader loader(small_images(10), {.batch_size = 4});
  EXPECT_EQ(loader.batches(), 3);
  Epoch epoch = run(loader, 0);
  ASSERT_EQ(epoch.indices.size(), 10u);
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(epoch.indices[i], static_cast<int64_t>(i));
    EXPECT_EQ(epoch.targets[i], static_cast<int64_t>(i % 2));
    EXPECT_NEAR(epoch.inputs[4 * i], static_cast<float>(i) / 255, 1e-6);
  }
  EXPECT_EQ(Loader(small_images(10), {.batch_size = 4, .drop_last = true}).batches(), 2);
}

TEST(Loader, ShuffledOrderDependsOnSeedAndEpochAlone) {
  Loader one(small_images(100), {.batch_size = 7, .shuffle = true, .seed = 5});
  Loader many(small_images(100),
              {.batch_size = 7, .shuffle = true, .seed = 5, .workers = 4, .prefetch = 2});
  Loader none(small_images(100), {.batch_size = 7, .shuffle = true, .seed = 5, .workers = 0});
  Epoch first = run(one, 3);
  EXPECT_EQ(run(many, 3).inputs, first.inputs);
  EXPECT_EQ(run(none, 3).inputs, first.inputs);
  EXPECT_EQ(run(one, 3).indices, first.indices);
  EXPECT_NE(run(one, 4).indices, first.indices);
  Loader other(small_images(100), {.batch_size = 7, .shuffle = true, .seed = 6});
  EXPECT_NE(run(other, 3).indices, first.indices);
  EXPECT_EQ(std::set<int64_t>(first.indices.begin(), first.indices.end()).size(), 100u);
}

TEST(Loader, EpochMayStartInTheMiddleOrEndEarly) {
  Loader loader(small_images(100), {.batch_size = 8, .shuffle = true, .seed = 1});
  Epoch whole = run(loader, 2);
  Epoch rest = run(loader, 2, 5);
  EXPECT_EQ(rest.indices, std::vector<int64_t>(whole.indices.begin() + 40, whole.indices.end()));
  loader.start_epoch(0);
  EXPECT_TRUE(loader.next().has_value());
  EXPECT_EQ(run(loader, 2).indices, whole.indices);
  EXPECT_TRUE(run(loader, 2, loader.batches()).indices.empty());
}

TEST(Loader, AugmentationDependsOnSeedEpochAndExampleAlone) {
  Splits shapes = load("shapes", {}, {.train_size = 60, .test_size = 10});
  LoaderOptions options{.batch_size = 16, .shuffle = true, .seed = 9};
  options.augmentation = Augmentation{.crop_padding = 4,
                                      .horizontal_flip = true,
                                      .brightness = 0.2f,
                                      .contrast = 0.2f,
                                      .saturation = 0.2f,
                                      .cutout = 8,
                                      .mixup = 0.4f};
  Loader one(shapes.train, options);
  options.workers = 3;
  Loader many(shapes.train, options);
  options.workers = 0;
  Loader none(shapes.train, options);
  Epoch first = run(one, 0);
  Epoch second = run(many, 0);
  EXPECT_EQ(first.inputs, second.inputs);
  EXPECT_EQ(first.inputs, run(none, 0).inputs);
  EXPECT_EQ(first.weights, second.weights);
  EXPECT_NE(run(many, 1).inputs, first.inputs);
}

TEST(Loader, MixupGivesBothTargets) {
  LoaderOptions options{.batch_size = 8, .seed = 2};
  options.augmentation = Augmentation{.mixup = 1.0f};
  Loader loader(small_images(8, 8), options);
  loader.start_epoch(0);
  Batch batch = loader.next().value();
  auto own = integers(batch.targets), other = integers(batch.mixed_targets);
  auto inputs = floats(batch.inputs);
  for (size_t i = 0; i < 8; ++i) {
    float expected = batch.mix_weight * static_cast<float>(own[i]) +
                     (1 - batch.mix_weight) * static_cast<float>(other[i]);
    EXPECT_NEAR(inputs[4 * i] * 255, expected, 1e-3);
  }
}

TEST(Loader, MemoryIsReusedOnceABatchIsGone) {
  Loader loader(small_images(512), {.batch_size = 8, .prefetch = 2});
  loader.start_epoch(0);
  std::set<const void*> seen;
  while (auto batch = loader.next()) seen.insert(batch->inputs.storage()->data());
  EXPECT_LE(seen.size(), 8u);
  Loader none(small_images(512), {.batch_size = 8, .workers = 0});
  none.start_epoch(0);
  seen.clear();
  while (auto batch = none.next()) seen.insert(batch->inputs.storage()->data());
  EXPECT_EQ(seen.size(), 1u);
  loader.start_epoch(1);
  Batch kept = loader.next().value();
  std::vector<float> before = floats(kept.inputs);
  while (loader.next()) {
  }
  EXPECT_EQ(floats(kept.inputs), before);
}

TEST(Loader, KeepsFewLargeBatchesAhead) {
  Dataset images = small_images(4);
  auto example = static_cast<int64_t>(Type{images.input_dtype(), images.input_shape()}.bytes() +
                                      Type{images.target_dtype(), images.target_shape()}.bytes());
  int64_t of_12_mib = (12 << 20) / example, of_10_mib = (10 << 20) / example;
  EXPECT_EQ(batches_ahead(images, {.batch_size = 4}), 4);
  EXPECT_EQ(batches_ahead(images, {.batch_size = of_10_mib}), 3);
  EXPECT_EQ(batches_ahead(images, {.batch_size = of_12_mib}), 2);
  EXPECT_EQ(batches_ahead(images, {.batch_size = 100 * of_12_mib}), 2);
  EXPECT_EQ(batches_ahead(images, {.batch_size = 100 * of_12_mib, .workers = 3}), 3);
  EXPECT_EQ(batches_ahead(images, {.batch_size = 100 * of_12_mib, .workers = 8}), 4);
  EXPECT_EQ(batches_ahead(images, {.batch_size = 100 * of_12_mib, .prefetch = 1}), 1);
  EXPECT_EQ(batches_ahead(images, {.batch_size = 4, .workers = 0}), 0);
}

TEST(Loader, BadOptionsAreNamed) {
  expect_user_error([] { Loader loader(Dataset(small_images(4)).take(0), {}); },
                    {"small", "no examples"});
  expect_user_error([] { Loader loader(small_images(4), {.batch_size = 0}); }, {"batch size", "0"});
  expect_user_error([] { Loader loader(small_images(4), {.batch_size = 5, .drop_last = true}); },
                    {"batch size 5", "set of 4"});
  LoaderOptions options;
  options.augmentation = Augmentation{.crop_padding = -1};
  expect_user_error([&] { Loader loader(small_images(4), options); }, {"crop_padding", "-1"});
  for (int workers : {-1, 257}) {
    expect_user_error([&] { Loader loader(small_images(4), {.workers = workers}); },
                      {"workers", std::to_string(workers)});
  }
  EXPECT_EQ(Loader(small_images(4), {.batch_size = 5}).batches(), 1);
}

// A source that fails on one example: errors of the loader's threads must reach the caller.
class FailingSource : public Source {
 public:
  const Description& description() const override { return about_; }
  int64_t size() const override { return 20; }
  int64_t label(int64_t) const override { return 0; }
  const std::byte* input(int64_t index, int64_t, std::vector<std::byte>& scratch) const override {
    if (index == 13) throw UserError("image 13", "the file has gone");
    scratch.assign(4, std::byte{1});
    return scratch.data();
  }

 private:
  Description about_{.name = "failing", .shape = {1, 2, 2}, .classes = {"a"}};
};

TEST(Loader, ErrorsOfTheThreadsAreRethrown) {
  for (int workers : {0, 2}) {
    Loader loader(Dataset(std::make_shared<FailingSource>()),
                  {.batch_size = 4, .workers = workers});
    loader.start_epoch(0);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(loader.next().has_value());
    expect_user_error([&] { loader.next(); }, {"image 13", "gone"});
  }
}

}  // namespace
}  // namespace wafer::data
