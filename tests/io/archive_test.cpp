#include "wafer/io/archive.h"

#include <map>

#include "tests/io/helpers.h"

namespace wafer::io {
namespace {

using wafer::testing::expect_user_error;
using wafer::testing::Files;
using wafer::testing::gzip;
using wafer::testing::tar;
using wafer::testing::TemporaryFolder;
using wafer::testing::to_bytes;
using wafer::testing::to_text;
using wafer::testing::zip;

std::map<std::string, std::string> unpack(ByteView archive) {
  std::map<std::string, std::string> files;
  for_each_entry(archive, "a",
                 [&](const std::string& name, Bytes bytes) { files[name] = to_text(bytes); });
  return files;
}

const Files kFiles = {{"train/cat/1.txt", to_bytes("one")},
                      {"train/dog/2.txt", Bytes(3000, 'x')},
                      {"../outside", to_bytes("stays in memory")}};

TEST(Archive, TarGzipAndZipGiveTheirEntries) {
  for (const Bytes& archive : {tar(kFiles), gzip(tar(kFiles)), zip(kFiles)}) {
    auto files = unpack(archive);
    ASSERT_EQ(files.size(), 3u);
    for (const auto& [name, content] : kFiles) EXPECT_EQ(files.at(name), to_text(content));
  }
}

TEST(Archive, UnwantedEntriesAreSkipped) {
  int visited = 0;
  for_each_entry(
      tar(kFiles), "a", [&](const std::string&, Bytes) { ++visited; },
      [](const std::string& name) { return name.starts_with("train/dog"); });
  EXPECT_EQ(visited, 1);
}

TEST(Archive, LimitsHold) {
  auto visit = [](const std::string&, Bytes) {};
  expect_user_error([&] { for_each_entry(tar(kFiles), "a", visit, {}, {.entry_bytes = 2000}); },
                    {"train/dog/2.txt", "too large", "2000"});
  expect_user_error([&] { for_each_entry(zip(kFiles), "a", visit, {}, {.total_bytes = 10}); },
                    {"too large"});
  expect_user_error([&] { for_each_entry(tar(kFiles), "a", visit, {}, {.entries = 2}); },
                    {"more than 2 entries"});
}

TEST(Archive, CutArchivesAreRefused) {
  for (const Bytes& archive : {tar(kFiles), gzip(tar(kFiles)), zip(kFiles)}) {
    for (size_t size : {size_t{0}, size_t{5}, size_t{100}, size_t{600}, size_t{1700}}) {
      expect_user_error([&] { unpack(ByteView(archive).first(size)); }, {"[a]", "archive"});
    }
  }
}

TEST(Archive, OtherFilesAreRefused) {
  expect_user_error([] { unpack(to_bytes("this is no archive at all, but plain text")); },
                    {"[a]", "archive"});
  Bytes damaged = zip(kFiles);
  damaged[50] ^= 1;  // in the data of the first entry: its checksum no longer fits
  expect_user_error([&] { unpack(damaged); }, {"train/cat/1.txt"});
}

TEST(Archive, NamesOfArchives) {
  EXPECT_TRUE(is_archive_name("x/A.TAR.XZ"));
  EXPECT_TRUE(is_archive_name("a.zip"));
  EXPECT_FALSE(is_archive_name("a.csv.gz"));
}

TEST(Gunzip, MembersAreJoined) {
  Bytes two = gzip(to_bytes("one "));
  wafer::testing::append(two, gzip(to_bytes("two")));
  EXPECT_EQ(to_text(gunzip(two, "a")), "one two");
}

TEST(Gunzip, DamageAndLimitsAreNamed) {
  Bytes whole = gzip(to_bytes("some text that is long enough"));
  for (size_t size = 2; size < whole.size(); ++size) {
    expect_user_error([&] { gunzip(ByteView(whole).first(size), "a.gz"); }, {"a.gz", "cut short"});
  }
  Bytes damaged = whole;
  damaged[20] ^= 1;
  expect_user_error([&] { gunzip(damaged, "a.gz"); }, {"a.gz", "damaged"});
  EXPECT_EQ(gunzip(whole, "a", 29).size(), 29u);
  expect_user_error([&] { gunzip(whole, "a.gz", 28); }, {"too large"});
}

TEST(Gunzip, PlainFilesPassThrough) {
  TemporaryFolder folder;
  write_file_atomic(folder / "a", "plain");
  write_file_atomic(folder / "b", gzip(to_bytes("packed")));
  EXPECT_EQ(to_text(read_maybe_gzip(folder / "a")), "plain");
  EXPECT_EQ(to_text(read_maybe_gzip(folder / "b")), "packed");
}

TEST(Archive, XzOfThePublicSets) {
  auto folder = wafer::testing::shared_data();
  if (folder.empty()) GTEST_SKIP() << "no public data sets here";
  int faces = 0;
  for_each_entry(folder / "orl_faces/orl_faces.tar.xz", [&](const std::string& name, Bytes bytes) {
    if (name.ends_with(".pgm")) ++faces;
    EXPECT_FALSE(bytes.empty());
  });
  EXPECT_EQ(faces, 400);
}

}  // namespace
}  // namespace wafer::io
