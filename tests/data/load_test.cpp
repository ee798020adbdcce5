#include "wafer/data/load.h"

#include <algorithm>
#include <set>

#include "tests/data/helpers.h"
#include "wafer/data/cache.h"
#include "wafer/data/input_spec.h"
#include "wafer/data/registry.h"

namespace wafer::data {
namespace {

using testing::flat_image;
using testing::TemporaryCache;
using wafer::testing::append_big32;
using wafer::testing::expect_user_error;
using wafer::testing::Files;
using wafer::testing::TemporaryFolder;
using wafer::testing::to_bytes;

void put(const std::filesystem::path& path, io::ByteView bytes) {
  std::filesystem::create_directories(path.parent_path());
  io::write_file_atomic(path, bytes);
}

Files image_files() {
  Files files;
  for (int i = 0; i < 4; ++i) {
    std::string number(1, static_cast<char>('0' + i));
    uint8_t value = static_cast<uint8_t>(10 * i);
    files.push_back({"set/train/dog/" + number + ".png",
                     io::encode_png(flat_image(4, 3, 3, static_cast<uint8_t>(100 + value)))});
    files.push_back(
        {"set/train/cat/" + number + ".png", io::encode_png(flat_image(4, 3, 3, value))});
  }
  files.push_back({"set/test/cat/9.png", io::encode_png(flat_image(4, 3, 3, 90))});
  files.push_back({"set/test/dog/9.png", io::encode_png(flat_image(4, 3, 3, 190))});
  files.push_back({"set/README.txt", to_bytes("not an image")});
  return files;
}

void expect_cats_and_dogs(const Splits& splits) {
  ASSERT_EQ(splits.train.size(), 8);
  ASSERT_EQ(splits.test.size(), 2);
  EXPECT_EQ(splits.train.class_names(), (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(splits.train.input_shape(), (Shape{3, 3, 4}));
  EXPECT_EQ(splits.train.labels(), (std::vector<int64_t>{0, 0, 0, 0, 1, 1, 1, 1}));
  EXPECT_EQ(splits.train.image(1).pixels[0], 10);
  EXPECT_EQ(splits.test.image(1).pixels[0], 190);
  EXPECT_NE(splits.test.example_name(1).find("test/dog/9.png"), std::string::npos);
}

TEST(LoadImages, FoldersAndArchivesGiveTheSameSet) {
  TemporaryCache cache;
  TemporaryFolder folder;
  for (const auto& [name, bytes] : image_files()) put(folder / ("plain/" + name), bytes);
  put(folder / "tar/set.tar", wafer::testing::tar(image_files()));
  put(folder / "gz/set.tar.gz", wafer::testing::gzip(wafer::testing::tar(image_files())));
  put(folder / "set.zip", wafer::testing::zip(image_files()));
  expect_cats_and_dogs(load("images", folder / "plain"));
  expect_cats_and_dogs(load("images", folder / "tar"));
  expect_cats_and_dogs(load((folder / "gz").string()));
  expect_cats_and_dogs(load((folder / "set.zip").string()));
  EXPECT_EQ(cache.folder().files(), 4u);
}

TEST(LoadImages, ClassesTxtOrdersTheLabels) {
  TemporaryCache cache;
  TemporaryFolder folder;
  put(folder / "set.tar", wafer::testing::tar(image_files()));
  put(folder / "classes.txt", to_bytes("dog\ncat\n"));
  Splits splits = load("images", folder.path());
  EXPECT_EQ(splits.train.class_names(), (std::vector<std::string>{"dog", "cat"}));
  EXPECT_EQ(splits.train.label(0), 1);
  put(folder / "classes.txt", to_bytes("dog\nkat\n"));
  expect_user_error([&] { load("images", folder.path()); },
                    {"'cat'", "not listed", "did you mean 'kat'"});
  put(folder / "classes.txt", to_bytes("dog\ncat\nbird\n"));
  expect_user_error([&] { load("images", folder.path()); }, {"'bird'", "no training image"});
}

TEST(LoadImages, SizesMustAgreeOrBeGiven) {
  TemporaryCache cache;
  TemporaryFolder folder;
  put(folder / "a/1.png", io::encode_png(flat_image(4, 4, 1, 5)));
  put(folder / "b/1.png", io::encode_png(flat_image(5, 4, 1, 9)));
  expect_user_error([&] { load("images", folder.path()); },
                    {"b/1.png", "1x4x5", "1x4x4", "give all the same size", "--image-size"});
  Splits splits =
      load("images", folder.path(), {.image_height = 8, .image_width = 8, .channels = 3});
  EXPECT_EQ(splits.train.input_shape(), (Shape{3, 8, 8}));
  EXPECT_EQ(splits.train.image(1).pixels, io::Bytes(192, 9));
}

TEST(LoadImages, BadFilesAndFoldersAreNamed) {
  TemporaryCache cache;
  TemporaryFolder folder;
  expect_user_error([&] { load("images", folder.path()); }, {"no images were found"});
  io::Bytes good = io::encode_jpeg(flat_image(8, 8, 3, 5));
  put(folder / "cat/1.jpg", good);
  put(folder / "dog/2.jpg", io::ByteView(good).first(good.size() / 2));
  expect_user_error([&] { load("images", folder.path()); }, {"dog/2.jpg", "cut short"});
  std::filesystem::remove(folder / "dog/2.jpg");
  expect_user_error([&] { load("images", folder.path()); }, {"dog", "holds no images"});
  put(folder / "dog/2.jpg", good);
  put(folder / "test/3.jpg", good);
  expect_user_error([&] { load("images", folder.path()); }, {"test/3.jpg", "no class folder"});
}

TEST(LoadImages, ListingGivesLabelsAndGroups) {
  TemporaryCache cache;
  TemporaryFolder folder;
  Files files = {{"train.csv", to_bytes("path,class_id,track,frame\n")},
                 {"test.csv", to_bytes("path,class_id\n")}};
  for (int i = 0; i < 40; ++i) {
    std::string name = str("train/0000", i % 2, "/", i, ".png");
    std::string row = str(name, ",", i % 2, ",", i / 8, ",", i, "\n");
    files[0].second.insert(files[0].second.end(), row.begin(), row.end());
    files.push_back({name, io::encode_png(flat_image(2, 2, 1, static_cast<uint8_t>(i)))});
  }
  for (int i = 0; i < 2; ++i) {
    std::string row = str("test/", i, ".png,", 1 - i, "\n");
    files[1].second.insert(files[1].second.end(), row.begin(), row.end());
    files.push_back({str("test/", i, ".png"), io::encode_png(flat_image(2, 2, 1, 1))});
  }
  put(folder / "signs.tar", wafer::testing::tar(files));
  put(folder / "classes.txt", to_bytes("stop\ngo\n"));
  Splits splits = load("images", folder.path()).split({.validation = 0.2});
  EXPECT_EQ(splits.test.labels(), (std::vector<int64_t>{1, 0}));
  EXPECT_EQ(splits.train.class_names(), (std::vector<std::string>{"stop", "go"}));
  EXPECT_EQ(splits.validation.size(), 8);
  std::set<int64_t> held;
  for (int64_t i = 0; i < splits.validation.size(); ++i) held.insert(splits.validation.group(i));
  EXPECT_EQ(held.size(), 2u);
  for (int64_t i = 0; i < splits.train.size(); ++i)
    EXPECT_FALSE(held.contains(splits.train.group(i)));
}

TEST(Cache, IsUsedCheckedAndRebuilt) {
  TemporaryCache cache;
  TemporaryFolder folder;
  put(folder / "set.tar", wafer::testing::tar(image_files()));
  expect_cats_and_dogs(load("images", folder.path()));
  ASSERT_EQ(cache.folder().files(), 1u);
  std::filesystem::path file = std::filesystem::directory_iterator(cache.folder().path())->path();
  auto written = std::filesystem::last_write_time(file);
  expect_cats_and_dogs(load("images", folder.path()));
  EXPECT_EQ(std::filesystem::last_write_time(file), written);

  for (bool cut : {true, false}) {
    io::Bytes bytes = io::read_file(file);
    if (cut) bytes.resize(bytes.size() - 10);
    if (!cut) bytes.back() ^= 1;
    put(file, bytes);
    ::testing::internal::CaptureStderr();
    expect_cats_and_dogs(load("images", folder.path()));
    std::string warning = ::testing::internal::GetCapturedStderr();
    EXPECT_NE(warning.find("again"), std::string::npos) << warning;
    EXPECT_NE(warning.find(file.string()), std::string::npos) << warning;
    EXPECT_NE(io::read_file(file), bytes);
  }

  ::setenv("WAFER_CACHE", (folder / "set.tar/no").c_str(), 1);  // cannot be made
  ::testing::internal::CaptureStderr();
  expect_cats_and_dogs(load("images", folder.path()));
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("not kept"), std::string::npos);
}

TEST(Cache, ChangedDataIsDecodedAgain) {
  TemporaryCache cache;
  TemporaryFolder folder;
  put(folder / "set.tar", wafer::testing::tar(image_files()));
  expect_cats_and_dogs(load("images", folder.path()));
  Files files = image_files();
  files.pop_back();
  files[0].second = io::encode_png(flat_image(4, 3, 3, 222));
  put(folder / "set.tar", wafer::testing::tar(files));
  EXPECT_EQ(load("images", folder.path()).train.image(4).pixels[0], 222);
}

io::Bytes cifar_batch(int records, uint8_t label) {
  io::Bytes bytes;
  for (int i = 0; i < records; ++i) {
    bytes.push_back(static_cast<uint8_t>((label + i) % 10));
    bytes.insert(bytes.end(), 1024, 1);
    bytes.insert(bytes.end(), 1024, 2);
    bytes.insert(bytes.end(), 1024, static_cast<uint8_t>(i));
  }
  return bytes;
}

TEST(LoadCifar, BinaryBatchesFromFolderAndArchive) {
  TemporaryCache cache;
  TemporaryFolder folder;
  Files files = {{"cifar-10-batches-bin/data_batch_1.bin", cifar_batch(20, 0)},
                 {"cifar-10-batches-bin/data_batch_2.bin", cifar_batch(20, 5)},
                 {"cifar-10-batches-bin/data_batch_3.bin", cifar_batch(1, 0)},
                 {"cifar-10-batches-bin/data_batch_4.bin", cifar_batch(1, 0)},
                 {"cifar-10-batches-bin/data_batch_5.bin", cifar_batch(1, 0)},
                 {"cifar-10-batches-bin/test_batch.bin", cifar_batch(10, 1)}};
  for (const auto& [name, bytes] : files) put(folder / ("plain/" + name), bytes);
  put(folder / "packed/cifar-10-binary.tar.gz", wafer::testing::tar(files));
  for (const char* where : {"plain", "packed"}) {
    Splits splits = load((folder / where).string());
    EXPECT_EQ(splits.description().name, "cifar10");
    EXPECT_EQ(splits.train.size(), 43);
    EXPECT_EQ(splits.test.size(), 10);
    EXPECT_EQ(splits.train.class_names()[3], "cat");
    EXPECT_EQ(splits.train.label(21), 6);
    EXPECT_EQ(splits.train.image(21).pixels[2], 1);
  }
  put(folder / "plain/cifar-10-batches-bin/data_batch_2.bin",
      io::ByteView(files[1].second).first(5000));
  expect_user_error([&] { load((folder / "plain").string()); },
                    {"data_batch_2.bin", "5000", "3073"});
  files[1].second[3073] = 77;
  put(folder / "plain/cifar-10-batches-bin/data_batch_2.bin", files[1].second);
  expect_user_error([&] { load((folder / "plain").string()); },
                    {"data_batch_2.bin", "record 1", "offset 3073", "77"});
  std::filesystem::remove(folder / "plain/cifar-10-batches-bin/test_batch.bin");
  expect_user_error([&] { load((folder / "plain").string()); },
                    {"the file test_batch.bin is missing"});
}

io::Bytes idx_images(uint32_t count) {
  io::Bytes bytes;
  append_big32(bytes, 2051);
  for (uint32_t dim : {count, 2u, 2u}) append_big32(bytes, dim);
  for (uint32_t i = 0; i < count * 4; ++i) bytes.push_back(static_cast<uint8_t>(i));
  return bytes;
}

io::Bytes idx_labels(const io::Bytes& labels) {
  io::Bytes bytes;
  append_big32(bytes, 2049);
  append_big32(bytes, static_cast<uint32_t>(labels.size()));
  wafer::testing::append(bytes, labels);
  return bytes;
}

TEST(LoadIdx, PairsOfFilesAreCheckedAgainstEachOther) {
  TemporaryFolder folder;
  put(folder / "train-images-idx3-ubyte", idx_images(3));
  put(folder / "train-labels-idx1-ubyte", idx_labels({1, 2, 9}));
  put(folder / "t10k-images-idx3-ubyte.gz", wafer::testing::gzip(idx_images(2)));
  put(folder / "t10k-labels-idx1-ubyte.gz", wafer::testing::gzip(idx_labels({1, 2})));
  Splits splits = load(folder.path().string());
  EXPECT_EQ(splits.train.labels(), (std::vector<int64_t>{1, 2, 9}));
  EXPECT_EQ(splits.test.size(), 2);
  EXPECT_EQ(splits.train.classes(), 10);
  EXPECT_EQ(splits.train.image(1).pixels, (io::Bytes{4, 5, 6, 7}));
  put(folder / "train-labels-idx1-ubyte", idx_labels({1, 2}));
  expect_user_error([&] { load("mnist", folder.path()); },
                    {"train-labels", "differ in number", "2 labels", "3"});
  put(folder / "train-labels-idx1-ubyte", idx_labels({1, 2, 200}));
  expect_user_error([&] { load("mnist", folder.path()); }, {"out of range", "200"});
  put(folder / "train-labels-idx1-ubyte", idx_labels({1, 2, 3}));
  put(folder / "t10k-labels-idx1-ubyte.gz", wafer::testing::gzip(idx_labels({1, 20})));
  expect_user_error([&] { load("mnist", folder.path()); }, {"example 1", "got 20", "0 to 9"});
  std::filesystem::remove(folder / "t10k-labels-idx1-ubyte.gz");
  expect_user_error([&] { load("mnist", folder.path()); }, {"t10k-labels", "missing"});
}

TEST(LoadTable, ClassesNumbersAndCategories) {
  TemporaryFolder folder;
  std::string text = "id,age,job,pay\n";
  for (int i = 0; i < 40; ++i)
    text += str(i, ",", 20 + i, ",", i % 3 == 0 ? "cook" : "nurse", ",", i * 1.5, "\n");
  put(folder / "t.csv", to_bytes(text));
  Splits pay = load((folder / "t.csv").string(), {}, {.drop = {"id"}});
  EXPECT_EQ(pay.train.task(), Task::regression);
  EXPECT_EQ(pay.train.input_shape(), (Shape{3}));
  EXPECT_EQ(pay.train.target_shape(), (Shape{1}));
  EXPECT_EQ(pay.train.value(2), 3);
  Splits job =
      load("table", folder.path(), {.target = "job"}).split({.validation = 0.1, .test = 0.2});
  EXPECT_EQ(job.train.class_names(), (std::vector<std::string>{"cook", "nurse"}));
  EXPECT_EQ(job.train.size() + job.validation.size() + job.test.size(), 40);
  Splits normal = pay.split({.validation = 0, .test = 0.0});
  EXPECT_EQ(normal.train.normalise().mean[1], 0);  // one-hot columns stay
  EXPECT_NEAR(normal.train.normalise().mean[0], 39.5, 1e-4);
  expect_user_error([&] { load("table", folder.path(), {.target = "jobb"}); },
                    {"jobb", "did you mean 'job'"});
  put(folder / "t.csv", to_bytes("a,b\n1,yes\nnan,no\n2,no\n"));
  expect_user_error([&] { load("table", folder.path()); }, {"t.csv", "line 3", "'a'", "missing"});
  put(folder / "t.csv", to_bytes("a,b\n1,yes\n2,yes\n"));
  expect_user_error([&] { load("table", folder.path()); }, {"'b'", "one class only", "'yes'"});
}

TEST(LoadText, WindowsOfCharacters) {
  TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 100; ++i) text += "abcé\n";
  put(folder / "x.txt", to_bytes(text));
  Splits splits = load("text", folder.path(), {.sequence_length = 10});
  EXPECT_EQ(splits.train.class_names(), (std::vector<std::string>{"\n", "a", "b", "c", "é"}));
  EXPECT_EQ(splits.train.size(), 44);  // 450 characters, each window needs one more
  EXPECT_EQ(splits.validation.size(), 4);
  EXPECT_TRUE(splits.test.empty());
  EXPECT_EQ(splits.split().train.size(), 44);
  std::vector<int64_t> window(10);
  splits.train.read_target(0, reinterpret_cast<std::byte*>(window.data()));
  EXPECT_EQ(window, (std::vector<int64_t>{2, 3, 4, 0, 1, 2, 3, 4, 0, 1}));
  expect_user_error([&] { load("text", folder.path(), {.sequence_length = 1000}); },
                    {"shorter than one window"});
}

TEST(Shapes, AreDrawnFromTheSeed) {
  Splits a = load("shapes", {}, {.train_size = 40, .test_size = 20, .seed = 1});
  Splits b = load("shapes", {}, {.train_size = 40, .test_size = 20, .seed = 1});
  Splits c = load("shapes", {}, {.train_size = 40, .test_size = 20, .seed = 2});
  EXPECT_EQ(a.train.classes(), 10);
  EXPECT_EQ(a.train.image(7).pixels, b.train.image(7).pixels);
  EXPECT_NE(a.train.image(7).pixels, c.train.image(7).pixels);
  EXPECT_NE(a.train.image(7).pixels, a.test.image(7).pixels);
  expect_user_error([] { load("shapes", {}, {.train_size = 3}); }, {"shapes", "got 3"});
}

TEST(Load, UnknownAndMissingSetsAreNamed) {
  expect_user_error([] { load("cifar1O"); }, {"cifar1O", "did you mean 'cifar10'", "mnist"});
  expect_user_error([] { load("cifar10", "no/such/folder"); },
                    {"no/such/folder", "no such folder", "cifar-10-binary"});
  expect_user_error([] { load("table"); }, {"'table' needs the path"});
  TemporaryFolder folder;
  const char* saved = std::getenv("WAFER_DATA");
  std::string data = saved == nullptr ? "" : saved;
  ::setenv("WAFER_DATA", folder.path().c_str(), 1);
  std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::create_directories(folder / "x/y");
  std::filesystem::current_path(folder / "x/y");
  expect_user_error([] { load("mnist"); }, {"mnist", "looked in", "../shared/data/mnist", "IDX"});
  put(folder / "mnist/train-images-idx3-ubyte", to_bytes("x"));
  EXPECT_EQ(find("mnist"), folder / "mnist");
  EXPECT_EQ(load_default({.train_size = 10, .test_size = 10}).description().name, "shapes");
  EXPECT_NE(load_default({.train_size = 10, .test_size = 10}).note.find("CIFAR-10 was not found"),
            std::string::npos);
  std::filesystem::current_path(before);
  ::setenv("WAFER_DATA", data.c_str(), 1);
  for (const KnownSet& set : known_sets()) EXPECT_FALSE(set.how_to_get.empty()) << set.name;
}

}  // namespace
}  // namespace wafer::data
