#include "wafer/io/npy.h"

#include "tests/io/helpers.h"

namespace wafer::io {
namespace {

using wafer::testing::append;
using wafer::testing::append_little;
using wafer::testing::expect_user_error;
using wafer::testing::TemporaryFolder;

Bytes make(std::string header, size_t data, uint8_t version = 1) {
  Bytes bytes = {0x93, 'N', 'U', 'M', 'P', 'Y', version, 0};
  header += '\n';
  if (version == 1) append_little<uint16_t>(bytes, static_cast<uint16_t>(header.size()));
  if (version != 1) append_little<uint32_t>(bytes, static_cast<uint32_t>(header.size()));
  append(bytes, as_bytes(header));
  for (size_t i = 0; i < data; ++i) bytes.push_back(static_cast<uint8_t>(i));
  return bytes;
}

void expect_npy_refused(const std::string& header, size_t data,
                        const std::vector<std::string>& parts) {
  expect_user_error([&] { parse_npy(make(header, data), "a.npy"); }, parts);
}

TEST(Npy, WrittenArraysAreReadBackForEveryRank) {
  TemporaryFolder folder;
  for (std::vector<int64_t> shape :
       std::vector<std::vector<int64_t>>{{}, {5}, {2, 3}, {0, 7}, {2, 1, 3}}) {
    size_t count = 1;
    for (int64_t dim : shape) count *= static_cast<size_t>(dim);
    Bytes data(count * 4);
    for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(i * 7);
    write_npy(folder / "a.npy", "<f4", shape, data);
    NpyArray array = read_npy(folder / "a.npy");
    EXPECT_EQ(array.descr, "<f4");
    EXPECT_EQ(array.shape, shape);
    EXPECT_EQ(array.bytes, data);
    EXPECT_EQ((std::filesystem::file_size(folder / "a.npy") - data.size()) % 64, 0u);
  }
}

TEST(Npy, HeadersAsNumpyWritesThemAreRead) {
  NpyArray array =
      parse_npy(make("{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }   ", 16), "a");
  EXPECT_EQ(array.descr, "<i8");
  EXPECT_EQ(array.shape, std::vector<int64_t>{2});
  EXPECT_EQ(parse_npy(make("{'descr': '|b1', 'fortran_order': True, 'shape': (3,), }", 3, 2), "a")
                .bytes.size(),
            3u);
}

TEST(Npy, EveryCutOfAFileIsRefused) {
  Bytes whole = make("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", 16);
  EXPECT_NO_THROW(parse_npy(whole, "a"));
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(parse_npy(ByteView(whole).first(size), "a"), UserError) << size;
  }
}

TEST(Npy, FaultsAreNamed) {
  expect_user_error([] { parse_npy(Bytes(20), "a.npy"); }, {"a.npy", "not an .npy file"});
  expect_user_error([] { parse_npy(make("{}", 0, 9), "a.npy"); }, {"version 9.0"});
  expect_npy_refused("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8,
                     {"'|O'", "save numbers"});
  expect_npy_refused("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }", 4,
                     {"'>f4'", "newbyteorder"});
  expect_npy_refused("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4,
                     {"records"});
  expect_npy_refused("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", 16,
                     {"Fortran", "ascontiguousarray"});
  expect_npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 4,
                     {"dimension"});
  expect_npy_refused(
      "{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999999, 9999999999999), }", 4,
      {"too large"});
  expect_npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 4,
                     {"cut short", "4 bytes", "expected 8"});
  expect_npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 5,
                     {"belong to no array"});
  expect_npy_refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", 4,
                     {"key 'x'"});
  expect_npy_refused("{'descr': '<f4', 'fortran_order': False, }", 4, {"missing"});
  expect_npy_refused("{'descr': '<f4", 4, {"does not end"});
}

TEST(Npz, ArraysComeByName) {
  TemporaryFolder folder;
  Bytes x = make("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8);
  Bytes y = make("{'descr': '|u1', 'fortran_order': False, 'shape': (), }", 1);
  write_file_atomic(folder / "a.npz", wafer::testing::zip({{"x.npy", x}, {"y.npy", y}}));
  auto arrays = read_npz(folder / "a.npz");
  ASSERT_EQ(arrays.size(), 2u);
  EXPECT_EQ(arrays.at("x").shape, std::vector<int64_t>{2});
  EXPECT_EQ(arrays.at("y").descr, "|u1");
  x.pop_back();
  write_file_atomic(folder / "b.npz", wafer::testing::zip({{"x.npy", x}}));
  expect_user_error([&] { read_npz(folder / "b.npz"); }, {"b.npz: x.npy", "cut short"});
}

}  // namespace
}  // namespace wafer::io
