#include "wafer/models/toml_reader.h"

#include "wafer/base/strings.h"

namespace wafer::models {

namespace {
std::string line_of(const std::string& file, const toml::node& node) {
  return node.source().begin ? str(file, ":", node.source().begin.line) : file;
}
}  // namespace

TomlTable::TomlTable(const toml::table& table, std::string file, std::string what,
                     const std::vector<std::string>& keys)
    : table_(table), file_(std::move(file)), what_(std::move(what)) {
  for (const auto& [key, node] : table) {
    std::string name(key.str());
    bool known = false;
    for (const std::string& candidate : keys) known = known || candidate == name;
    WAFER_REQUIRE(known, line_of(file_, node), what_, " has no key '", name, "'",
                  did_you_mean(name, keys), "; its keys are ", join(keys, ", "));
  }
}

std::string TomlTable::where(const std::string& key) const {
  const toml::node* node = key.empty() ? nullptr : table_.get(key);
  return line_of(file_, node ? *node : table_);
}

void TomlTable::fail(const std::string& key, const std::string& expected) const {
  const toml::node* node = table_.get(key);
  std::ostringstream value;
  if (node) value << toml::node_view<const toml::node>(*node);
  std::string problem =
      node ? str(what_, ": ", key, " = ", value.str()) : str(what_, " needs the key '", key, "'");
  throw UserError(where(key), problem, {.got = "", .expected = expected, .hint = ""});
}

int64_t TomlTable::integer(const std::string& key, std::optional<int64_t> otherwise,
                           int64_t least) const {
  const toml::node* node = table_.get(key);
  if (!node && otherwise) return *otherwise;
  std::optional<int64_t> value;
  if (node && node->is_integer()) value = node->value<int64_t>();
  if (!value || *value < least || *value > 1'000'000'000) {
    fail(key, str("a whole number of at least ", least));
  }
  return *value;
}

double TomlTable::real(const std::string& key, double otherwise) const {
  const toml::node* node = table_.get(key);
  if (!node) return otherwise;
  std::optional<double> value;
  if (node->is_number()) value = node->value<double>();
  if (!value) fail(key, "a number");
  return *value;
}

bool TomlTable::flag(const std::string& key, bool otherwise) const {
  const toml::node* node = table_.get(key);
  if (!node) return otherwise;
  if (!node->is_boolean()) fail(key, "true or false");
  return *node->value<bool>();
}

std::string TomlTable::text(const std::string& key, const std::string& otherwise) const {
  const toml::node* node = table_.get(key);
  if (!node) return otherwise;
  if (!node->is_string()) fail(key, "a text in quotes");
  return *node->value<std::string>();
}

nn::Sizes TomlTable::sizes(const std::string& key, std::optional<nn::Sizes> otherwise,
                           int64_t least) const {
  const toml::node* node = table_.get(key);
  if (!node && otherwise) return *otherwise;
  const std::string expected = str("a whole number of at least ", least, ", or a list of them");
  if (node && node->is_integer()) return integer(key, {}, least);
  if (!node || !node->is_array() || node->as_array()->empty()) fail(key, expected);
  std::vector<int64_t> values;
  for (const toml::node& item : *node->as_array()) {
    auto value = item.is_integer() ? item.value<int64_t>() : std::nullopt;
    if (!value || *value < least || *value > 1'000'000'000) fail(key, expected);
    values.push_back(*value);
  }
  return values;
}

std::vector<const toml::table*> TomlTable::tables(const std::string& key) const {
  std::vector<const toml::table*> result;
  const toml::node* node = table_.get(key);
  if (!node) return result;
  if (!node->is_array_of_tables()) fail(key, str("tables, written [[", key, "]]"));
  for (const toml::node& item : *node->as_array()) result.push_back(item.as_table());
  return result;
}

}  // namespace wafer::models
