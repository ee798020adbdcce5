#include "wafer/io/file.h"

#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "tests/io/helpers.h"

namespace wafer::io {
namespace {

using wafer::testing::expect_user_error;
using wafer::testing::TemporaryFolder;
using wafer::testing::to_text;

TEST(File, WrittenFileIsReadBackWholeAndMapped) {
  TemporaryFolder folder;
  write_file_atomic(folder / "a", "first");
  write_file_atomic(folder / "a", "second text");
  EXPECT_EQ(read_text_file(folder / "a"), "second text");
  EXPECT_EQ(to_text(read_file(folder / "a")), "second text");
  MemoryMap map(folder / "a");
  EXPECT_EQ(std::string(map.bytes().begin(), map.bytes().end()), "second text");
  MemoryMap moved = std::move(map);
  EXPECT_EQ(moved.bytes().size(), 11u);
  EXPECT_EQ(map.bytes().size(), 0u);
  EXPECT_EQ(folder.files(), 1u);
}

TEST(File, EmptyFilesAreReadAndMapped) {
  TemporaryFolder folder;
  write_file_atomic(folder / "a", "");
  EXPECT_TRUE(read_file(folder / "a").empty());
  EXPECT_TRUE(MemoryMap(folder / "a").bytes().empty());
}

TEST(File, LimitIsTheLargestSizeThatIsRead) {
  TemporaryFolder folder;
  write_file_atomic(folder / "a", "12345");
  EXPECT_EQ(read_file(folder / "a", 5).size(), 5u);
  expect_user_error([&] { read_file(folder / "a", 4); }, {"too large", "4 bytes", "a"});
}

TEST(File, MissingFilesAndFoldersAreNamedWithAMend) {
  TemporaryFolder folder;
  expect_user_error([&] { read_file(folder / "none"); },
                    {"none", "No such file", "check the spelling"});
  expect_user_error([&] { MemoryMap map(folder / "none"); }, {"none", "No such file"});
  expect_user_error([&] { read_file(folder.path()); }, {"Is a directory", "name a file"});
  expect_user_error([&] { write_file_atomic(folder / "no/such/a", "x"); },
                    {"no/such/a", "No such file"});
  expect_user_error([&] { write_file_atomic(folder.path(), "x"); }, {"Is a directory"});
}

TEST(AtomicFile, WithoutCommitTheOldFileStaysAndNothingIsLeft) {
  TemporaryFolder folder;
  write_file_atomic(folder / "a", "old");
  {
    AtomicFile file(folder / "a");
    file.write("new");
  }
  EXPECT_EQ(read_text_file(folder / "a"), "old");
  EXPECT_EQ(folder.files(), 1u);
}

TEST(AtomicFile, FollowsLinksAndLeavesThem) {
  TemporaryFolder folder;
  std::filesystem::create_directory(folder / "below");
  std::filesystem::create_symlink("below/target", folder / "link");
  for (std::string_view text : {"made", "replaced"}) {
    write_file_atomic(folder / "link", text);
    EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
    EXPECT_EQ(read_text_file(folder / "below/target"), text);
  }
}

TEST(AtomicFile, WritesToAPipeAndLeavesIt) {
  TemporaryFolder folder;
  auto pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::string received;
  std::thread reader([&] {
    std::ifstream stream(pipe);
    std::getline(stream, received);
  });
  write_file_atomic(pipe, std::string_view("through\n"));
  reader.join();
  EXPECT_EQ(received, "through");
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
}

TEST(AtomicFile, FailedWriteNamesThePathAndLeavesTheOldFile) {
  TemporaryFolder folder;
  write_file_atomic(folder / "a", "old");
  rlimit saved;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &saved), 0);
  auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small{1000, saved.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_user_error([&] { write_file_atomic(folder / "a", Bytes(5000)); },
                    {(folder / "a").string(), "cannot write", "File too large", "ulimit"});
  setrlimit(RLIMIT_FSIZE, &saved);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_text_file(folder / "a"), "old");
  EXPECT_EQ(folder.files(), 1u);
}

TEST(AtomicFile, LeftoversOfKilledProcessesAreRemovedButNotThoseInUse) {
  TemporaryFolder folder;
  write_file_atomic(folder / ".a.tmp-1-0", "left by a killed process");
  write_file_atomic(folder / ".b.tmp-1-0", "of another file");
  AtomicFile first(folder / "a");
  AtomicFile second(folder / "a");
  EXPECT_FALSE(std::filesystem::exists(folder / ".a.tmp-1-0"));
  EXPECT_TRUE(std::filesystem::exists(folder / ".b.tmp-1-0"));
  first.write("1");
  second.write("2");
  second.commit();
  first.commit();
  EXPECT_EQ(read_text_file(folder / "a"), "1");
}

}  // namespace
}  // namespace wafer::io
