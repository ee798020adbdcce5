#include "wafer/models/options.h"

#include <charconv>

#include "wafer/base/strings.h"

namespace wafer::models {

namespace {
// The options that a data set decides, as text.
Options options_of(const DataSpec& data) {
  std::vector<std::string> sizes;
  for (const Dim& dim : data.input.shape.dims()) sizes.push_back(dim.text());
  Options options{{"input", join(sizes, "x")},
                  {"outputs", std::to_string(data.outputs)},
                  {"task", std::string(data::name(data.task))},
                  {"vocabulary", "0"}};
  if (is_integer(data.input.dtype)) options["vocabulary"] = std::to_string(data.outputs);
  return options;
}

template <class T>
bool parse(const std::string& text, T& value) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}
}  // namespace

Shape parse_shape(const std::string& text) {
  std::vector<int64_t> sizes;
  for (const std::string& part : split(text, 'x')) {
    int64_t size = 0;
    WAFER_REQUIRE(parse(part, size) && size > 0, "shape", "'", text,
                  "' is no shape; expected positive sizes like 3x32x32");
    sizes.push_back(size);
  }
  WAFER_REQUIRE(sizes.size() < 8, "shape", "'", text, "' has more than 7 dimensions");
  return Shape(sizes);
}

OptionValues::OptionValues(const ModelInfo& info, const Options& given, const DataSpec* data)
    : model_(info.name) {
  std::vector<std::string> names;
  for (const OptionInfo& option : info.options) {
    names.push_back(option.name);
    values_[option.name] = option.default_value;
  }
  if (data) {
    for (const auto& [name, value] : options_of(*data)) {
      if (values_.contains(name)) values_[name] = value;
    }
  }
  for (const auto& [name, value] : given) {
    WAFER_REQUIRE(values_.contains(name), model_, "no option '", name, "'",
                  did_you_mean(name, names), "; its options are ", join(names, ", "));
    values_[name] = value;
  }
}

void OptionValues::fail(const std::string& name, const std::string& expected) const {
  throw UserError(model_, str(name, " = '", text(name), "'"),
                  {.got = "", .expected = expected, .hint = ""});
}

const std::string& OptionValues::text(const std::string& name) const {
  auto found = values_.find(name);
  WAFER_CHECK(found != values_.end(), "option ", name, " of ", model_, " is not declared");
  return found->second;
}

int64_t OptionValues::integer(const std::string& name, int64_t least) const {
  int64_t value = 0;
  if (!parse(text(name), value) || value < least || value > 1'000'000'000) {
    fail(name, str("a whole number of at least ", least));
  }
  return value;
}

int64_t OptionValues::divisor(const std::string& name, const std::string& of) const {
  int64_t value = integer(name), whole = integer(of);
  if (whole % value != 0) fail(name, str("a divisor of ", of, ", ", whole));
  return value;
}

double OptionValues::real(const std::string& name, double low, double high) const {
  double value = 0;
  if (!parse(text(name), value) || !(value >= low && value <= high)) {
    fail(name, str("a number in [", low, ", ", high, "]"));
  }
  return value;
}

bool OptionValues::flag(const std::string& name) const {
  const std::string& value = text(name);
  if (value == "true" || value == "1") return true;
  if (value == "false" || value == "0") return false;
  fail(name, "true or false");
}

std::vector<int64_t> OptionValues::integers(const std::string& name) const {
  std::vector<int64_t> values;
  if (trim(text(name)).empty()) return values;
  for (const std::string& part : split(text(name), ',')) {
    int64_t value = 0;
    if (!parse(trim(part), value) || value < 1 || value > 1'000'000'000) {
      fail(name, "positive whole numbers with commas between, like 512,256");
    }
    values.push_back(value);
  }
  return values;
}

Shape OptionValues::shape(const std::string& name) const {
  try {
    return parse_shape(text(name));
  } catch (const UserError&) {
    fail(name, "positive sizes like 3x32x32");
  }
}

Shape OptionValues::tokens(const std::string& name, int64_t positions) const {
  Shape tokens = shape(name);
  if (tokens.rank() != 1 || tokens.size(0) > positions) {
    fail(name, str("a number of tokens, at most positions, ", positions));
  }
  return tokens;
}

std::string OptionValues::choice(const std::string& name,
                                 const std::vector<std::string>& choices) const {
  for (const std::string& choice : choices) {
    if (text(name) == choice) return choice;
  }
  fail(name, str("one of ", join(choices, ", "), did_you_mean(text(name), choices)));
}

Task OptionValues::task() const {
  for (Task task : {Task::classification, Task::regression, Task::next_token}) {
    if (text("task") == data::name(task)) return task;
  }
  fail("task", "classification, regression or next_token");
}

}  // namespace wafer::models
