// docs/models.md against the code: it names every model, option, layer type and key, and its file
// can be read.
#include <gtest/gtest.h>

#include "tests/nn/helpers.h"
#include "wafer/io/file.h"
#include "wafer/models/toml.h"

using namespace wafer;
using wafer::testing_nn::contains;

namespace {
const std::string& page() {
  static const std::string text = io::read_text_file(WAFER_SOURCE_DIR "/docs/models.md");
  return text;
}

// The part about a model: from its heading to the next one.
std::string section(const std::string& model) {
  size_t name = page().find("`" + model + "`");
  size_t end = page().find("\n#", name);
  return name == std::string::npos ? "" : page().substr(name, end - name);
}
}  // namespace

TEST(ModelsPage, NamesEveryModelAndOption) {
  for (const auto& info : models::list()) {
    for (const auto& option : info.options) {
      EXPECT_TRUE(contains(section(info.name), "`" + option.name + "`")) << info.name;
      EXPECT_TRUE(contains(section(info.name), option.default_value)) << info.name;
    }
  }
}

TEST(ModelsPage, NamesEveryLayerAndKey) {
  for (const auto& [name, keys] : models::toml_layers()) {
    EXPECT_TRUE(contains(page(), "`" + name + "`"));
    for (const std::string& key : keys) EXPECT_TRUE(contains(page(), "`" + key + "`")) << name;
  }
}

TEST(ModelsPage, FileCanBeRead) {
  size_t begin = page().find("```toml\n") + 8, end = page().find("```", begin);
  auto model = models::from_toml_text(page().substr(begin, end - begin), "models.md");
  EXPECT_EQ(model.name, "small");
  EXPECT_TRUE(model.module->state_dict().contains("fc.weight"));
  EXPECT_TRUE(model.module->state_dict().contains("3.body.0.weight"));
}
