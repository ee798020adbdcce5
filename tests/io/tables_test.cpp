#include <cmath>
#include <cstring>

#include "tests/io/helpers.h"
#include "wafer/io/csv.h"
#include "wafer/io/idx.h"

namespace wafer::io {
namespace {

using wafer::testing::append;
using wafer::testing::append_big32;
using wafer::testing::expect_user_error;
using wafer::testing::gzip;
using wafer::testing::TemporaryFolder;

TEST(Idx, ImagesAreReadPlainAndCompressed) {
  Bytes file;
  append_big32(file, 2051);
  for (uint32_t dim : {2u, 2u, 3u}) append_big32(file, dim);
  for (uint8_t i = 0; i < 12; ++i) file.push_back(i);
  IdxArray array = parse_idx(file, "a");
  EXPECT_EQ(array.shape, (std::vector<int64_t>{2, 2, 3}));
  EXPECT_EQ(array.bytes[11], 11);
  TemporaryFolder folder;
  write_file_atomic(folder / "a.gz", gzip(file));
  EXPECT_EQ(read_idx(folder / "a.gz").bytes, array.bytes);
  for (size_t size = 0; size < file.size(); ++size) {
    expect_user_error([&] { parse_idx(ByteView(file).first(size), "a"); }, {"cut short", "offset"});
  }
  file.push_back(0);
  expect_user_error([&] { parse_idx(file, "a"); }, {"belong to no element", "offset 28"});
}

TEST(Idx, BigEndianElementsAreTurned) {
  Bytes file = {0, 0, 0x0C, 1};
  append_big32(file, 1);
  append_big32(file, 0x01020304);
  IdxArray array = parse_idx(file, "a");
  int32_t value;
  std::memcpy(&value, array.bytes.data(), 4);
  EXPECT_EQ(value, 0x01020304);
}

TEST(Idx, BadHeadersAreRefused) {
  Bytes file = {0, 0, 0x07, 1, 0, 0, 0, 0};
  expect_user_error([&] { parse_idx(file, "a"); }, {"magic", "2051"});
  file = {0, 0, 0x0E, 3};
  for (int i = 0; i < 3; ++i) append_big32(file, 0xffffffff);
  expect_user_error([&] { parse_idx(file, "a"); }, {"too large"});
}

TEST(Csv, ColumnsAreTyped) {
  CsvTable table = parse_csv(
      "age,job,\"pay, net\"\r\n30,cook,1.5e3\n41,\"nurse \"\"RN\"\"\",-2\n\n7,cook,+3\n", "a");
  ASSERT_EQ(table.columns.size(), 3u);
  EXPECT_EQ(table.rows, 3);
  EXPECT_EQ(table.column("age", "a").numbers, (std::vector<double>{30, 41, 7}));
  const CsvColumn& job = table.column("job", "a");
  EXPECT_TRUE(job.categorical);
  EXPECT_EQ(job.categories, (std::vector<std::string>{"cook", "nurse \"RN\""}));
  EXPECT_EQ(job.codes, (std::vector<int64_t>{0, 1, 0}));
  EXPECT_EQ(table.column("pay, net", "a").numbers, (std::vector<double>{1500, -2, 3}));
  expect_user_error([&] { table.column("jbo", "a.csv"); },
                    {"a.csv", "no column 'jbo'", "did you mean 'job'"});
}

TEST(Csv, DelimiterHeaderAndCategoriesAreFoundOrGiven) {
  CsvTable blanks = parse_csv("A11 6  1 \nA12 48 2\n", "a");
  EXPECT_EQ(blanks.columns.size(), 3u);
  EXPECT_EQ(blanks.rows, 2);
  EXPECT_EQ(blanks.columns[1].name, "column 2");
  CsvTable codes = parse_csv("a;b\n1;2\n3;4\n", "a", {.categorical = {"b"}});
  EXPECT_EQ(codes.columns[1].categories, (std::vector<std::string>{"2", "4"}));
  EXPECT_FALSE(codes.columns[0].categorical);
  EXPECT_EQ(parse_csv("x,y\nz,w\n", "a", {.header = true}).rows, 1);
  EXPECT_EQ(parse_csv("x,y\nz,w\n", "a").rows, 2);
  EXPECT_EQ(parse_csv("\xEF\xBB\xBFn\n1", "a").columns[0].name, "n");
}

TEST(Csv, BadCellsAreNamedByLineAndColumn) {
  expect_user_error([] { parse_csv("a,b\n1,2\n3,\n", "t.csv"); },
                    {"t.csv", "line 3", "column 'b'", "empty"});
  expect_user_error([] { parse_csv("a,b\n1,2\n3,NaN\n", "t.csv"); },
                    {"line 3", "'b'", "missing", "NaN"});
  expect_user_error([] { parse_csv("a,b\n1,2\n3,inf\n", "t.csv"); },
                    {"line 3", "not a finite number"});
  expect_user_error([] { parse_csv("a,b\n1,2\n3,4\n5,6x\n", "t.csv"); },
                    {"line 4", "'b'", "'6x'", "categorical"});
  expect_user_error([] { parse_csv("a,b\n1,2\n3\n", "t.csv"); }, {"line 3", "got 1", "expected 2"});
  expect_user_error([] { parse_csv("a,b\n1,\"2\n3,4\n", "t.csv"); }, {"line 2", "never closed"});
  expect_user_error([] { parse_csv("a,b\n1,\"2\"3\n", "t.csv"); }, {"line 2", "closing quote"});
  expect_user_error([] { parse_csv("a,a\n1,2\n", "t.csv"); }, {"two columns", "'a'"});
  expect_user_error([] { parse_csv("", "t.csv"); }, {"no rows"});
  expect_user_error([] { parse_csv(std::string_view("a\0b", 3), "t.csv"); },
                    {"zero byte", "offset 1"});
  expect_user_error([] { parse_csv("a\n1\n", "t.csv", {.categorical = {"z"}}); },
                    {"no column 'z'"});
}

TEST(Csv, MissingNumbersMayBeAllowed) {
  CsvTable table = parse_csv("a,b\n1,2\n3,?\n5,\n7,8\n", "a", {.allow_missing = true});
  EXPECT_TRUE(std::isnan(table.columns[1].numbers[1]));
  EXPECT_TRUE(std::isnan(table.columns[1].numbers[2]));
}

TEST(Csv, QuotedLineEndsKeepTheLineCount) {
  expect_user_error([] { parse_csv("a,b\n1,\"x\ny\"\n2,\n", "t.csv"); }, {"line 4", "empty"});
}

}  // namespace
}  // namespace wafer::io
