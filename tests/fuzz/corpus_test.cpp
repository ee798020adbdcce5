// What the fuzzers start from, and what they found: every file is read, or refused as its name
// says.
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/fuzz/targets.h"
#include "tests/io/limits.h"
#include "wafer/base/error.h"
#include "wafer/deploy/onnx/onnx.h"

namespace wafer {
namespace {
namespace fs = std::filesystem;

TEST(Fuzz, TheCorpusIsReadOrRefused) {
  const fs::path corpus = fs::path(WAFER_SOURCE_DIR) / "tests/fuzz/corpus";
  for (const auto& [name, read] : testing::fuzz_targets()) {
    if (name == "onnx" && !onnx::available()) continue;
    int good = 0;
    for (const auto& entry : fs::directory_iterator(corpus / name)) {
      std::string file = entry.path().filename().string(), refusal;
      io::Bytes bytes = io::read_file(entry.path(), 1 << 20);
      testing::HostileFileLimits limits(bytes.size(), name + "/" + file);
      try {
        read(bytes);
      } catch (const UserError& error) {
        refusal = error.what();
      }
      good += refusal.empty();
      EXPECT_EQ(file.starts_with("bad"), !refusal.empty())
          << name << "/" << file << ": " << refusal;
    }
    EXPECT_GE(good, 2) << name;
  }
}
}  // namespace
}  // namespace wafer
