#include "wafer/base/env.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "wafer/base/error.h"

namespace wafer {
namespace {

std::string read(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string expected_document() {
  std::ostringstream text;
  text
      << "# Environment variables\n\n"
         "Every variable that the library and its programs read. An option on the command line "
         "wins\n"
         "over its variable. Made from the table in `wafer/base/env.cpp`; a test fails when it is\n"
         "out of date and says how to renew it.\n\n"
         "| Variable | Meaning |\n|---|---|\n";
  for (const auto& variable : environment_variables()) {
    text << "| `" << variable.name << "` | " << variable.meaning << " |\n";
  }
  return text.str();
}

TEST(EnvironmentDocument, IsMadeFromTheTable) {
  std::string path = WAFER_SOURCE_DIR "/docs/environment.md";
  std::string wanted = expected_document();
  if (read(path) == wanted) return;
  std::string renewed = "environment.md.new";
  std::ofstream(renewed) << wanted;
  char* folder = realpath(renewed.c_str(), nullptr);
  std::string at = folder ? folder : renewed;
  std::free(folder);  // NOLINT: realpath allocates with malloc
  FAIL() << "docs/environment.md is out of date; renew it with\n  cp " << at << " " << path;
}

TEST(EnvironmentDocument, TheTableIsSmallAndWithoutRepeats) {
  std::set<std::string> names;
  for (const auto& variable : environment_variables()) {
    EXPECT_TRUE(names.insert(variable.name).second) << variable.name;
    EXPECT_GT(std::string(variable.meaning).size(), 10u) << variable.name;
    EXPECT_EQ(std::string(variable.meaning).find('|'), std::string::npos) << variable.name;
  }
  EXPECT_LE(names.size(), 20u);
}

TEST(EnvironmentDocument, AVariableOutsideTheTableIsADefect) {
  EXPECT_THROW(environment("WAFER_NOT_IN_THE_TABLE"), InternalError);
}

}  // namespace
}  // namespace wafer
