#include <sys/mount.h>
#include <sys/resource.h>

#include "tests/cli/program.h"
#include "wafer/io/image.h"
#include "wafer/io/safetensors.h"
#include "wafer/train/checkpoint.h"

// What is wrong with the user's files, options or disk: exit code 2, a message that names it,
// nothing lost.
namespace wafer {
namespace {
namespace fs = std::filesystem;
using testing::Program;
using testing::Ran;
using testing::run_wafer;
using testing::small_table;
using testing::write_text;

class BadInput : public ::testing::Test {
 protected:
  void expect_error(const std::vector<std::string>& arguments,
                    const std::vector<std::string>& parts) {
    expect_error(run_wafer(folder.path(), arguments), parts);
  }
  void expect_error(const Ran& ran, const std::vector<std::string>& parts) {
    EXPECT_EQ(ran.code, 2) << ran.err;
    for (const std::string& part : parts) {
      EXPECT_NE(ran.err.find(part), std::string::npos) << "'" << part << "' in: " << ran.err;
    }
  }
  void expect_train_error(const std::string& data, const std::vector<std::string>& parts) {
    expect_error({"train", "mlp", "--data", data, "--epochs", "1", "--batch-size", "2"}, parts);
    EXPECT_FALSE(fs::exists(folder / "runs")) << "a run that never began leaves no folder";
  }

  static io::Image image(uint8_t value) { return {6, 6, 3, io::Bytes(108, value)}; }
  void write(const std::string& path, io::ByteView bytes) {
    fs::create_directories((folder / path).parent_path());
    io::write_file_atomic(folder / path, bytes);
  }
  // Six images of each class.
  void write_images(const std::string& name, const std::vector<std::string>& classes) {
    for (const std::string& label : classes) {
      for (int i = 0; i < 6; ++i) {
        write(name + "/" + label + "/" + std::to_string(i) + ".png",
              io::encode_png(image(static_cast<uint8_t>(20 * i + static_cast<int>(label.size())))));
      }
    }
  }
  static io::Bytes half(io::Bytes bytes) {
    bytes.resize(bytes.size() / 2);
    return bytes;
  }

  testing::TemporaryFolder folder;
};

TEST_F(BadInput, Images) {
  write_images("set", {"cat", "doge"});
  write("set/cat/3.png", half(io::encode_png(image(9))));
  expect_train_error("set", {"cat/3.png"});
  write_images("set", {"cat"});
  io::Bytes jpeg = io::encode_jpeg(image(9), 90);
  write("set/doge/7.jpg", half(jpeg));
  expect_train_error("set", {"doge/7.jpg"});
  write("set/doge/7.jpg", io::Bytes(200, 'x'));
  expect_train_error("set", {"doge/7.jpg"});
}

TEST_F(BadInput, ClassFolders) {
  write_images("one", {"cat"});
  expect_train_error("one", {"one class only", "cat"});
  write_images("empty", {"cat", "doge"});
  fs::create_directories(folder / "empty" / "bird");
  expect_train_error("empty", {"bird"});
  fs::create_directories(folder / "nothing");
  expect_train_error("nothing", {"nothing", "no images"});
}

TEST_F(BadInput, Idx) {
  auto idx = [](std::initializer_list<uint32_t> sizes, size_t bytes, uint8_t value) {
    io::Bytes out = {0, 0, 8, static_cast<uint8_t>(sizes.size())};
    for (uint32_t size : sizes) {
      for (int shift : {24, 16, 8, 0}) out.push_back(static_cast<uint8_t>(size >> shift));
    }
    for (size_t i = 0; i < bytes; ++i)
      out.push_back(value == 255 ? static_cast<uint8_t>(i % 10) : value);
    return out;
  };
  write("data/mnist/train-images-idx3-ubyte", idx({20, 4, 4}, 320, 7));
  write("data/mnist/train-labels-idx1-ubyte", idx({20}, 20, 255));
  write("data/mnist/t10k-images-idx3-ubyte", idx({10, 4, 4}, 160, 7));
  write("data/mnist/t10k-labels-idx1-ubyte", idx({10}, 10, 255));
  Ran good = run_wafer(folder.path(), {"data", "mnist", "--json"});
  EXPECT_EQ(good.code, 0) << good.err;
  write("data/mnist/train-images-idx3-ubyte", idx({20, 4, 4}, 300, 7));
  expect_error({"data", "mnist"}, {"train-images-idx3-ubyte"});
  write("data/mnist/train-images-idx3-ubyte", idx({20, 4, 4}, 320, 7));
  write("data/mnist/train-labels-idx1-ubyte", idx({20}, 20, 44));
  expect_error({"data", "mnist"}, {"label", "44"});
  write("data/mnist/train-labels-idx1-ubyte", idx({0xffffffffu}, 20, 1));
  expect_error({"data", "mnist"}, {"train-labels-idx1-ubyte"});
}

TEST_F(BadInput, Cifar) {
  auto batch = [](uint8_t label, size_t records, size_t cut) {
    io::Bytes out;
    for (size_t i = 0; i < records; ++i) {
      out.push_back(i == 3 ? label : static_cast<uint8_t>(i % 10));
      out.insert(out.end(), 3072, static_cast<uint8_t>(i));
    }
    out.resize(out.size() - cut);
    return out;
  };
  for (int i = 1; i <= 5; ++i)
    write("set/data_batch_" + std::to_string(i) + ".bin", batch(3, 10, 0));
  write("set/test_batch.bin", batch(3, 10, 0));
  EXPECT_EQ(run_wafer(folder.path(), {"data", "set"}).code, 0);
  write("set/data_batch_2.bin", batch(3, 10, 100));
  expect_error({"data", "set"}, {"data_batch_2.bin"});
  write("set/data_batch_2.bin", batch(10, 10, 0));
  expect_error({"data", "set"}, {"data_batch_2.bin", "label", "10"});
  fs::remove(folder / "set/data_batch_2.bin");
  expect_error({"data", "set"},
               {"the file data_batch_2.bin is missing", "unpack", "cifar-10-binary.tar.gz"});
}

TEST_F(BadInput, TooManyThreads) {
  std::vector<std::string> check = {"check", "cnn", "--threads", "1025"};
  expect_error(check, {"[threads] too many threads", "got 1025", "expected at most 1024"});
  expect_error(run_wafer(folder.path(), {"doctor"}, {{"WAFER_THREADS", "100000"}}),
               {"[WAFER_THREADS] too many threads", "got 100000", "expected at most 1024"});
}

TEST_F(BadInput, Tables) {
  write_text(folder / "nan.csv", small_table(30) + "nan,0.5,above\n");
  expect_train_error("nan.csv", {"nan.csv", "32"});
  write_text(folder / "ragged.csv", small_table(30) + "0.5,above\n");
  expect_train_error("ragged.csv", {"ragged.csv", "32"});
  write_text(folder / "one.csv", "x,y,class\n1,2,a\n3,4,a\n5,6,a\n");
  expect_train_error("one.csv", {"one.csv", "class"});
  write_text(folder / "empty.csv", "");
  expect_train_error("empty.csv", {"empty.csv"});
}

TEST_F(BadInput, BatchLargerThanTheSet) {
  write_text(folder / "table.csv", small_table(40));
  expect_error({"train", "mlp", "--data", "table.csv", "--batch-size", "64"},
               {"larger than the training set", "64", "32", "at most 32"});
  EXPECT_FALSE(fs::exists(folder / "runs"));
}

TEST_F(BadInput, ModelFiles) {
  write_text(folder / "table.csv", small_table(40));
  write_text(folder / "torn.toml", "name = \"x\"\n[[layer]\ntype = \"linear\"\n");
  expect_error({"check", "torn.toml"}, {"torn.toml", "2"});
  write_text(folder / "typo.toml", "input = [4]\noutputs = 2\n[[layer]]\ntype = \"linaer\"\n");
  expect_error({"check", "typo.toml"}, {"typo.toml", "linaer", "did you mean 'linear'"});
  expect_error({"check", "missing.toml"}, {"missing.toml"});
}

TEST_F(BadInput, SavedModelsAndCheckpoints) {
  write_text(folder / "table.csv", small_table(60));
  std::vector<std::string> train = {"train", "mlp",   "--data", "table.csv",    "--epochs",
                                    "2",     "--run", "run",    "--batch-size", "8"};
  ASSERT_EQ(run_wafer(folder.path(), train).code, 0);
  fs::path model = folder / "run" / "model.safetensors";
  io::Bytes whole = io::read_file(model, 1 << 30);
  for (size_t cut : {size_t{0}, size_t{4}, whole.size() / 2, whole.size() - 1}) {
    io::write_file_atomic(model, io::ByteView(whole.data(), cut));
    expect_error({"eval", "run"}, {"model.safetensors"});
  }
  io::Bytes huge = whole;
  std::fill_n(huge.begin(), 8, uint8_t{0x7f});  // the header's length
  io::write_file_atomic(model, huge);
  expect_error({"infer", "run", "x.png"}, {"model.safetensors"});
  for (const auto& path : CheckpointFolder(folder / "run" / "checkpoints").list())
    write_text(path, "torn");
  expect_error({"train", "--resume", "--run", "run"}, {"step-", ".safetensors"});
  write_text(folder / "run" / "config.json", "{\"model\":");
  expect_error({"train", "--resume", "--run", "run"}, {"config.json"});
}

// The names of files that a write left half done.
std::vector<std::string> temporary_files(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().filename().string().find(".tmp-") != std::string::npos)
      names.push_back(entry.path());
  }
  return names;
}

TEST_F(BadInput, UnwritableFolder) {
  write_text(folder / "table.csv", small_table(60));
  for (const char* run : {"/proc/wafer-run", "table.csv/run"}) {
    expect_error({"train", "mlp", "--data", "table.csv", "--batch-size", "8", "--run", run}, {run});
  }
}

// A run that could write and then cannot: by a limit on the size of files, which needs no right to
// mount.
TEST_F(BadInput, FullDiskLosesNothing) {
  write_text(folder / "table.csv", small_table(60));
  Program program(folder.path(), {"train", "mlp", "--data", "table.csv", "--epochs", "100000",
                                  "--batch-size", "16", "--run", "run", "-o", "hidden=256,256"});
  ASSERT_TRUE(program.wait_for("epoch 2/")) << program.err();
  program.signal(SIGINT);
  ASSERT_EQ(program.wait().code, 130);
  auto before = CheckpointFolder(folder / "run" / "checkpoints").list();
  ASSERT_FALSE(before.empty());
  Program limited(folder.path(), {"train", "--resume", "--run", "run"}, {}, [] {
    rlimit limit{100 << 10, 100 << 10};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  });
  expect_error(limited.wait(), {"step-", "cannot write"});
  EXPECT_EQ(CheckpointFolder(folder / "run" / "checkpoints").list(), before);
  for (const auto& path : before) EXPECT_NO_THROW(io::SafetensorsFile file(path)) << path;
  EXPECT_EQ(temporary_files(folder.path()), std::vector<std::string>{});
}

// The same on a disk that is full, where this user may mount one.
TEST_F(BadInput, FullDisk) {
  fs::create_directories(folder / "disk");
  if (::mount("none", (folder / "disk").c_str(), "tmpfs", 0, "size=1m") != 0)
    GTEST_SKIP() << "needs the right to mount";
  write_text(folder / "table.csv", small_table(60));
  Ran ran = run_wafer(folder.path(),
                      {"train", "mlp", "--data", "table.csv", "--epochs", "3", "--batch-size", "16",
                       "--run", "disk/run", "-o", "hidden=1024,1024"});
  auto left = temporary_files(folder / "disk");
  ::umount((folder / "disk").c_str());
  expect_error(ran, {"disk is full"});
  EXPECT_EQ(left, std::vector<std::string>{});
}

}  // namespace
}  // namespace wafer
