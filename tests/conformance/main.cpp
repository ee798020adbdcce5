#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <set>

#include "runner.h"
#include "wafer/base/strings.h"
#include "wafer/io/file.h"

// The standard's tests. Without arguments GoogleTest: no test is wrong, none that passed is lost,
// docs/onnx.md is up to date. `--list [FILTER]` prints what does not pass; `--write` renews the
// list of passes and the page.
namespace wafer::conformance {

namespace {
namespace fs = std::filesystem;
const fs::path source = WAFER_SOURCE_DIR;
const fs::path passes_path = source / "tests/conformance/passes.txt";
const fs::path page_path = source / "docs/onnx.md";

std::vector<Result> run_all(const std::string& filter = {}) {
  std::vector<Result> results;
  for (const char* suite : {"node", "simple", "pytorch-converted", "pytorch-operator"}) {
    auto some = run_suite(suite, filter);
    results.insert(results.end(), some.begin(), some.end());
  }
  return results;
}

const std::vector<Result>& all_results() {
  static const std::vector<Result> results = run_all();
  return results;
}

TEST(Conformance, IsNeverWrong) {
  ASSERT_FALSE(data_folder().empty()) << "no test data; run scripts/setup.sh";
  for (const Result& r : all_results())
    EXPECT_NE(r.status, Status::wrong) << r.suite << "/" << r.name << ": " << r.message;
}

TEST(Conformance, LosesNoPass) {
  ASSERT_FALSE(data_folder().empty()) << "no test data; run scripts/setup.sh";
  std::map<std::string, const Result*> by_name;
  for (const Result& r : all_results()) by_name[r.suite + "/" + r.name] = &r;
  auto committed = split(trim(io::read_text_file(passes_path)), '\n');
  EXPECT_GT(committed.size(), 1000u);
  for (const std::string& name : committed) {
    ASSERT_TRUE(by_name.count(name)) << name << " is no test";
    const Result& r = *by_name[name];
    EXPECT_EQ(r.status, Status::pass) << name << ": " << r.message;
  }
}

TEST(Conformance, PageIsUpToDate) {
  ASSERT_FALSE(data_folder().empty()) << "no test data; run scripts/setup.sh";
  EXPECT_EQ(io::read_text_file(page_path), report(all_results()))
      << "renew it: build/release/bin/test_conformance --write";
}

int list(const std::string& filter) {
  std::map<Status, int> counts;
  for (const Result& r : run_all(filter)) {
    ++counts[r.status];
    if (r.status == Status::pass) continue;
    std::printf("%s %s/%s: %s\n", r.status == Status::wrong ? "WRONG" : "unsupported",
                r.suite.c_str(), r.name.c_str(), r.message.c_str());
  }
  std::printf("%d pass, %d unsupported, %d wrong\n", counts[Status::pass],
              counts[Status::unsupported], counts[Status::wrong]);
  return 0;
}

int write() {
  auto results = run_all();
  io::write_file_atomic(passes_path, pass_list(results));
  io::write_file_atomic(page_path, report(results));
  return 0;
}
}  // namespace

}  // namespace wafer::conformance

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "--list") return wafer::conformance::list(argc > 2 ? argv[2] : "");
  if (mode == "--write") return wafer::conformance::write();
  return RUN_ALL_TESTS();
}
