#include "wafer/train/loggers.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>

#include "tests/text.h"
#include "wafer/base/error.h"

namespace wafer {
namespace {
namespace fs = std::filesystem;

class Loggers : public ::testing::Test {
 protected:
  void SetUp() override {
    auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder = fs::path(::testing::TempDir()) / ("wafer_" + std::to_string(getpid()) + info->name());
    fs::create_directories(folder);
  }
  void TearDown() override { fs::remove_all(folder); }
  std::string path(const char* name) const { return (folder / name).string(); }
  static std::string read(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  fs::path folder;
};

using Row = std::vector<std::optional<double>>;

TEST_F(Loggers, CsvWritesHeaderOnceAndRowsAtOnce) {
  CsvLogger log(path("a.csv"), "step", {"loss", "accuracy"});
  log.log(1, Row{2.5, 0.1});
  EXPECT_EQ(read(path("a.csv")), "step,loss,accuracy\n1,2.5,0.1\n");
  log.log(2, Row{std::nullopt, std::nan("")});
  EXPECT_EQ(read(path("a.csv")), "step,loss,accuracy\n1,2.5,0.1\n2,,nan\n");
}

TEST_F(Loggers, CsvNumbersReadBackExactly) {
  double value = 0.1 + 0.2;
  {
    CsvLogger log(path("a.csv"), "step", {"loss"});
    log.log(1, Row{value});
  }
  std::string text = read(path("a.csv"));
  EXPECT_EQ(std::stod(text.substr(text.rfind(',') + 1)), value);
}

TEST_F(Loggers, CsvResumeDropsLaterAndTornRows) {
  {
    CsvLogger log(path("a.csv"), "step", {"loss"});
    for (int step = 1; step <= 5; ++step) log.log(step, Row{step * 1.0});
  }
  std::ofstream(path("a.csv"), std::ios::app) << "3";  // a row cut off by a kill
  {
    CsvLogger log(path("a.csv"), "step", {"loss"}, 3);
    log.log(4, Row{40.0});
  }
  EXPECT_EQ(read(path("a.csv")), "step,loss\n1,1\n2,2\n3,3\n4,40\n");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), fs::directory_iterator()), 1);
}

TEST_F(Loggers, CsvResumeWithoutAFileStartsOne) {
  CsvLogger log(path("a.csv"), "step", {"loss"}, 3);
  EXPECT_EQ(read(path("a.csv")), "step,loss\n");
}

TEST_F(Loggers, CsvStartsAnewWithoutResume) {
  { CsvLogger(path("a.csv"), "step", {"loss"}).log(1, Row{1.0}); }
  { CsvLogger log(path("a.csv"), "step", {"other"}); }
  EXPECT_EQ(read(path("a.csv")), "step,other\n");
}

TEST_F(Loggers, CsvRefusesOtherColumnsAndUnwritablePaths) {
  { CsvLogger log(path("a.csv"), "step", {"loss"}); }
  std::string error =
      tests::message_of([&] { CsvLogger log(path("a.csv"), "step", {"accuracy"}, 1); });
  EXPECT_TRUE(tests::contains(error, "step,accuracy"));
  EXPECT_THROW(CsvLogger(path("none/a.csv"), "step", {"loss"}), UserError);
  EXPECT_THROW(TensorBoardLogger(path("a.csv")), UserError);
}

TEST_F(Loggers, CsvQuotesHeaderFields) {
  CsvLogger log(path("a.csv"), "step", {"loss, \"train\""});
  EXPECT_EQ(read(path("a.csv")), "step,\"loss, \"\"train\"\"\"\n");
}

TEST(Crc32c, KnownValues) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);  // RFC 3720, B.4
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c(""), 0u);
}

template <class T>
T fixed(std::string_view bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

// A plain decoder of protocol buffers: field number -> raw values in order.
struct WireField {
  uint64_t number = 0;     // varint or fixed bits
  std::string_view bytes;  // length-delimited
};
std::multimap<uint32_t, WireField> decode(std::string_view data) {
  std::multimap<uint32_t, WireField> fields;
  size_t at = 0;
  auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      auto byte = static_cast<uint8_t>(data.at(at++));
      value |= uint64_t{byte & 0x7fu} << shift;
      if (!(byte & 0x80)) return value;
    }
  };
  while (at < data.size()) {
    uint64_t key = varint();
    WireField field;
    switch (key & 7) {
      case 0: field.number = varint(); break;
      case 1: field.number = fixed<uint64_t>(data, at), at += 8; break;
      case 2: {
        uint64_t size = varint();
        field.bytes = data.substr(at, size);
        at += size;
        break;
      }
      case 5: field.number = fixed<uint32_t>(data, at), at += 4; break;
      default: ADD_FAILURE() << "wire type " << (key & 7);
    }
    fields.emplace(static_cast<uint32_t>(key >> 3), field);
  }
  return fields;
}

uint32_t unmask(uint32_t masked) {
  uint32_t rotated = masked - 0xa282ead8u;
  return rotated >> 17 | rotated << 15;
}

std::vector<std::string> records(const std::string& text) {
  std::vector<std::string> result;
  for (size_t at = 0; at < text.size();) {
    auto size = fixed<uint64_t>(text, at);
    EXPECT_EQ(unmask(fixed<uint32_t>(text, at + 8)), crc32c(std::string_view(text).substr(at, 8)));
    result.push_back(text.substr(at + 12, size));
    EXPECT_EQ(unmask(fixed<uint32_t>(text, at + 12 + size)), crc32c(result.back()));
    at += 16 + size;
  }
  return result;
}

TEST(TfRecord, FramesWithKnownBytes) {
  std::string record = tfrecord("abc");
  ASSERT_EQ(record.size(), 8u + 4 + 3 + 4);
  EXPECT_EQ(record.substr(0, 8), std::string("\3\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(record.substr(12, 3), "abc");
  uint32_t crc = 0x364b3fb7u;  // CRC-32C of "abc"
  EXPECT_EQ(fixed<uint32_t>(record, 15), ((crc >> 15) | (crc << 17)) + 0xa282ead8u);
}

TEST_F(Loggers, TensorBoardEventsReadBack) {
  std::string file;
  {
    TensorBoardLogger log(path("tb"));
    file = log.path();
    std::vector<TensorBoardLogger::Scalar> first = {{"train/loss", 2.5}, {"train/accuracy", 0.125}};
    log.log(300, first);
    std::vector<TensorBoardLogger::Scalar> second = {{"train/loss", -1.0}};
    log.log(5'000'000'000, second);
  }
  EXPECT_NE(file.find("tfevents"), std::string::npos);
  std::string text = read(file);
  auto events = records(text);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(decode(events[0]).find(3)->second.bytes, "brain.Event:2");

  auto event = decode(events[1]);
  EXPECT_NEAR(std::bit_cast<double>(event.find(1)->second.number), std::time(nullptr), 60);
  EXPECT_EQ(event.find(2)->second.number, 300u);
  auto summary = decode(event.find(5)->second.bytes);
  std::vector<std::pair<std::string, float>> scalars;
  for (auto [number, field] : summary) {
    EXPECT_EQ(number, 1u);
    auto value = decode(field.bytes);
    scalars.emplace_back(value.find(1)->second.bytes,
                         std::bit_cast<float>(static_cast<uint32_t>(value.find(2)->second.number)));
  }
  EXPECT_EQ(scalars, (std::vector<std::pair<std::string, float>>{{"train/loss", 2.5f},
                                                                 {"train/accuracy", 0.125f}}));
  EXPECT_EQ(decode(events[2]).find(2)->second.number, 5'000'000'000u);
}

TEST_F(Loggers, TensorBoardResumeStartsASession) {
  TensorBoardLogger first(path("tb")), second(path("tb"), 41);
  EXPECT_NE(first.path(), second.path());
  auto events = records(read(second.path()));
  ASSERT_EQ(events.size(), 2u);
  auto event = decode(events[1]);
  EXPECT_EQ(event.find(2)->second.number, 42u);
  EXPECT_EQ(decode(event.find(7)->second.bytes).find(1)->second.number, 1u);  // SessionLog.START
}

Progress example() {
  return {.epoch = 2,
          .epochs = 10,
          .step = 7,
          .steps = 782,
          .loss = 1.23456,
          .accuracy = 0.5,
          .samples_per_second = 12345.6,
          .seconds_left = 200,
          .resident_bytes = 512 << 20,
          .data_wait_percent = 1.25};
}

TEST(Progress, TextHasEveryPart) {
  EXPECT_EQ(progress_text(example()),
            "epoch 2/10  step 7/782  loss 1.2346  accuracy 50.00 %  12,346 samples/s  "
            "left 3 min 20 s  512.0 MiB  data wait 1.2 %");
  EXPECT_EQ(progress_text({.epoch = 1, .epochs = 2, .step = 3, .steps = 4}), "epoch 1/2  step 3/4");
}

TEST_F(Loggers, ProgressOnATerminalRedrawsOneLine) {
  std::FILE* out = std::fopen(path("out").c_str(), "wb");
  double now = 0;
  {
    ProgressLine line({.out = out, .terminal = true, .width = 25, .clock = [&] { return now; }});
    Progress progress{.epoch = 1, .epochs = 1, .step = 1, .steps = 100, .loss = 1};
    line.update(progress);
    now = 0.05, progress.step = 2;
    line.update(progress);  // too soon
    now = 0.2, progress.step = 3;
    line.update(progress);
    line.print("epoch 1 done");
    now = 0.25, progress.step = 100;
    line.update(progress);  // the last step is always shown
  }
  std::fclose(out);
  EXPECT_EQ(read(path("out")),
            "\repoch 1/1  step 1/100  l\x1b[K\repoch 1/1  step 3/100  l\x1b[K"
            "\r\x1b[Kepoch 1 done\n\repoch 1/1  step 100/100 \x1b[K\n");
}

TEST_F(Loggers, ProgressElsewhereIsPlainLines) {
  std::FILE* out = std::fopen(path("out").c_str(), "wb");
  double now = 0;
  {
    ProgressLine line({.out = out, .clock = [&] { return now; }});
    for (int step = 1; step <= 30; ++step, now += 1) {
      line.update({.epoch = 1, .epochs = 1, .step = step, .steps = 30});
    }
  }
  std::fclose(out);
  EXPECT_EQ(read(path("out")),
            "epoch 1/1  step 1/30\nepoch 1/1  step 11/30\nepoch 1/1  step 21/30\n"
            "epoch 1/1  step 30/30\n");
}

TEST(Progress, ResidentMemoryIsPlausible) {
  auto bytes = resident_memory();
  ASSERT_TRUE(bytes);
  EXPECT_GT(*bytes, 1 << 20);
  EXPECT_LT(*bytes, int64_t{64} << 30);
}

}  // namespace
}  // namespace wafer
