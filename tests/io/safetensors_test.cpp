#include "wafer/io/safetensors.h"

#include "tests/io/helpers.h"

namespace wafer::io {
namespace {

using wafer::testing::append;
using wafer::testing::append_little;
using wafer::testing::expect_user_error;
using wafer::testing::TemporaryFolder;

Bytes safetensors_bytes(const std::string& header, size_t data) {
  Bytes bytes;
  append_little<uint64_t>(bytes, header.size());
  append(bytes, as_bytes(header));
  bytes.resize(bytes.size() + data);
  return bytes;
}

void expect_safetensors_refused(const std::string& header, size_t data,
                                const std::vector<std::string>& parts) {
  expect_user_error([&] { parse_safetensors(safetensors_bytes(header, data), "m.safetensors"); },
                    parts);
}

TEST(Safetensors, WrittenTensorsAreReadBack) {
  TemporaryFolder folder;
  std::vector<float> weights = {1, 2, 3, 4, 5, 6};
  std::vector<int64_t> steps = {7};
  std::vector<uint8_t> flags = {1, 0, 1};
  auto view = [](const auto& v) {
    return ByteView{reinterpret_cast<const uint8_t*>(v.data()), v.size() * sizeof v[0]};
  };
  std::vector<TensorEntry> entries = {{"flags", "BOOL", {3}, view(flags)},
                                      {"fc.weight", "F32", {2, 3}, view(weights)},
                                      {"none", "F32", {0, 4}, {}},
                                      {"step", "I64", {}, view(steps)}};
  write_safetensors(folder / "m", entries, {{"graph", "{\"a\": 1}"}, {"name", "größe"}});
  SafetensorsFile file(folder / "m");
  ASSERT_EQ(file.entries().size(), 4u);
  EXPECT_EQ(file.metadata().at("graph"), "{\"a\": 1}");
  EXPECT_EQ(file.metadata().at("name"), "größe");
  for (const TensorEntry& entry : entries) {
    const TensorEntry& read = file.at(entry.name);
    EXPECT_EQ(read.dtype, entry.dtype);
    EXPECT_EQ(read.shape, entry.shape);
    EXPECT_TRUE(
        std::equal(read.bytes.begin(), read.bytes.end(), entry.bytes.begin(), entry.bytes.end()));
  }
  EXPECT_EQ(reinterpret_cast<uintptr_t>(file.at("step").bytes.data()) % 8, 0u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(file.at("fc.weight").bytes.data()) % 4, 0u);
  EXPECT_EQ(file.find("fc"), nullptr);
  expect_user_error([&] { file.at("fc.weigth"); }, {"fc.weigth", "did you mean 'fc.weight'"});

  std::swap(entries[0], entries[3]);
  write_safetensors(folder / "n", entries, {{"name", "größe"}, {"graph", "{\"a\": 1}"}});
  EXPECT_EQ(read_file(folder / "m"), read_file(folder / "n"));
}

TEST(Safetensors, EmptySetOfTensorsIsLegal) {
  TemporaryFolder folder;
  write_safetensors(folder / "m", {});
  EXPECT_TRUE(SafetensorsFile(folder / "m").entries().empty());
}

TEST(Safetensors, EveryCutOfAFileIsRefused) {
  Bytes whole = safetensors_bytes(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
  EXPECT_EQ(parse_safetensors(whole, "m").entries.size(), 1u);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(parse_safetensors(ByteView(whole).first(size), "m"), UserError) << size;
  }
}

TEST(Safetensors, EveryFlippedByteOfTheHeaderIsReadOrRefusedCleanly) {
  Bytes whole = safetensors_bytes(
      R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"__metadata__":{"k":"v"}})", 8);
  for (size_t i = 0; i + 8 < whole.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes damaged = whole;
      damaged[i] ^= static_cast<uint8_t>(1 << bit);
      try {
        SafetensorsContent content = parse_safetensors(damaged, "m");
        for (const TensorEntry& entry : content.entries) EXPECT_LE(entry.bytes.size(), 8u);
      } catch (const UserError&) {
      }
    }
  }
}

TEST(Safetensors, HeaderFaultsAreNamed) {
  Bytes huge;
  append_little<uint64_t>(huge, 100'000'001);
  expect_user_error([&] { parse_safetensors(huge, "m"); },
                    {"header's length", "100000001", "100000000"});
  expect_safetensors_refused("[1]", 0, {"does not start with '{'"});
  expect_safetensors_refused("{\"a\":", 0, {"not valid JSON"});
  expect_safetensors_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                             R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                             4, {"'a' twice"});
  expect_safetensors_refused(R"({"a":[[[[1]]]]})", 0, {"nested too deep"});
  expect_safetensors_refused(R"({"__metadata__":{"k":1}})", 0,
                             {"__metadata__", "'k'", "not a string"});
  expect_safetensors_refused(R"({"a":3})", 0, {"tensor 'a'"});
}

TEST(Safetensors, TensorFaultsAreNamed) {
  expect_safetensors_refused(R"({"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}})", 4,
                             {"'a'", "unknown dtype 'F33'"});
  expect_safetensors_refused(R"({"a":{"dtype":"F32","shape":[1]}})", 4,
                             {"'a'", "lacks", "data_offsets"});
  expect_safetensors_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", 4,
                             {"unknown field 'x'"});
  expect_safetensors_refused(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4,
                             {"whole number", "-1"});
  expect_safetensors_refused(R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", 4,
                             {"whole number"});
  expect_safetensors_refused(
      R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}})", 4,
      {"too large"});
  expect_safetensors_refused(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4,
                             {"4 bytes", "expected 8"});
  expect_safetensors_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 4,
                             {"outside the file", "[4,8]"});
  expect_safetensors_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4,
                             {"outside the file"});
  expect_safetensors_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8,
                             {"'a'", "hole"});
  expect_safetensors_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                             R"("b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}})",
                             6, {"'b'", "overlaps"});
  expect_safetensors_refused(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 9,
                             {"belong to no tensor", "5 bytes"});
}

}  // namespace
}  // namespace wafer::io
