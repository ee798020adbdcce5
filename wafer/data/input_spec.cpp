#include "wafer/data/input_spec.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/data/augment.h"
#include "wafer/data/convert.h"
#include "wafer/data/log_mel.h"

namespace wafer::data {

using nlohmann::json;

namespace {

json describe(const Description& about) {
  json columns = json::array();
  for (const TableColumn& column : about.columns) {
    columns.push_back({{"name", column.name}, {"categories", column.categories}});
  }
  json result = {{"name", about.name},       {"kind", name(about.kind)},
                 {"task", name(about.task)}, {"stored", name(about.stored)},
                 {"shape", about.shape},     {"classes", about.classes}};
  if (about.kind == InputKind::features) result["columns"] = columns;
  if (about.kind == InputKind::frames) {
    const AudioFormat& audio = about.audio;
    result["audio"] = {{"sample_rate", audio.sample_rate},
                       {"samples", audio.samples},
                       {"window", audio.window},
                       {"hop", audio.hop},
                       {"mels", audio.mels}};
  }
  return result;
}

template <class Enum>
Enum from_name(const std::string& text, std::initializer_list<Enum> values,
               const std::string& where, const char* field) {
  for (Enum value : values) {
    if (name(value) == text) return value;
  }
  throw UserError(where, str(field, " has the unknown value '", text, "'"));
}

Description parse_description(const json& value, const std::string& where) {
  Description about;
  about.name = value.at("name").get<std::string>();
  about.kind = from_name(
      value.at("kind").get<std::string>(),
      {InputKind::image, InputKind::features, InputKind::frames, InputKind::tokens}, where, "kind");
  about.task = from_name(value.at("task").get<std::string>(),
                         {Task::classification, Task::regression, Task::next_token}, where, "task");
  about.stored = dtype_from_name(value.at("stored").get<std::string>());
  about.shape = value.at("shape").get<std::vector<int64_t>>();
  about.classes = value.at("classes").get<std::vector<std::string>>();
  size_t rank = about.kind == InputKind::image ? 3 : about.kind == InputKind::frames ? 2 : 1;
  int64_t elements = 1;
  for (int64_t dim : about.shape) {
    WAFER_REQUIRE(dim > 0 && dim < (int64_t{1} << 32) && elements < (int64_t{1} << 40) / dim, where,
                  "shape has a dimension out of range: ", dim);
    elements *= dim;
  }
  WAFER_REQUIRE(about.shape.size() == rank, where, "shape has ", about.shape.size(),
                " dimensions; expected ", rank);
  for (const json& column : value.value("columns", json::array())) {
    about.columns.push_back({column.at("name").get<std::string>(),
                             column.at("categories").get<std::vector<std::string>>()});
  }
  if (value.contains("audio")) {
    const json& audio = value["audio"];
    about.audio = {audio.at("sample_rate").get<int64_t>(), audio.at("samples").get<int64_t>(),
                   audio.at("window").get<int64_t>(), audio.at("hop").get<int64_t>(),
                   audio.at("mels").get<int64_t>()};
    check(about.audio, where);
  }
  return about;
}

template <class F>
auto parse(const std::string& text, const std::string& where, F&& read) {
  try {
    return read(json::parse(text));
  } catch (const json::exception& error) {
    throw UserError(where, str("the description of the inputs is damaged: ", error.what()));
  }
}

void require_kind(const InputSpec& spec, InputKind kind, const char* got) {
  if (spec.description.kind == kind) return;
  throw UserError("input", "the model takes another kind of input",
                  {.got = got, .expected = std::string(name(spec.description.kind))});
}

}  // namespace

std::string description_to_json(const Description& description) {
  return describe(description).dump();
}

Description description_from_json(const std::string& text, const std::string& where) {
  return parse(text, where, [&](const json& value) { return parse_description(value, where); });
}

std::string InputSpec::to_json() const {
  json value = describe(description);
  value["mean"] = normalise.mean;
  value["standard_deviation"] = normalise.standard_deviation;
  return value.dump();
}

InputSpec InputSpec::from_json(const std::string& text, const std::string& where) {
  return parse(text, where, [&](const json& value) {
    InputSpec spec{parse_description(value, where),
                   {value.at("mean").get<std::vector<float>>(),
                    value.at("standard_deviation").get<std::vector<float>>()}};
    const Description& about = spec.description;
    auto expected =
        static_cast<size_t>(about.kind == InputKind::image ? about.shape[0] : about.shape.back());
    bool fits = spec.normalise.mean.size() == spec.normalise.standard_deviation.size() &&
                (spec.normalise.empty() || spec.normalise.mean.size() == expected);
    for (float deviation : spec.normalise.standard_deviation) fits = fits && deviation > 0;
    WAFER_REQUIRE(fits, where, "mean and standard_deviation do not fit the input's shape");
    return spec;
  });
}

InputSpec input_spec(const Dataset& dataset) {
  InputSpec spec{dataset.description(), dataset.normalise()};
  spec.description.where.clear();
  return spec;
}

std::vector<float> prepare(const InputSpec& spec, const io::Image& image) {
  require_kind(spec, InputKind::image, "an image");
  const Description& about = spec.description;
  io::Image ready = resize(convert_channels(image, static_cast<int>(about.shape[0])),
                           static_cast<int>(about.shape[1]), static_cast<int>(about.shape[2]));
  std::vector<uint8_t> planes = to_planes(ready);
  std::vector<float> input(planes.size());
  convert_input(about, spec.normalise, reinterpret_cast<const std::byte*>(planes.data()),
                reinterpret_cast<std::byte*>(input.data()));
  return input;
}

std::vector<float> prepare(const InputSpec& spec, const io::Wav& wav) {
  require_kind(spec, InputKind::frames, "sound");
  std::vector<float> frames = log_mel(wav, spec.description.audio, "input");
  std::vector<float> input(frames.size());
  convert_input(spec.description, spec.normalise, reinterpret_cast<const std::byte*>(frames.data()),
                reinterpret_cast<std::byte*>(input.data()));
  return input;
}

std::vector<float> prepare(const InputSpec& spec, const std::vector<std::string>& row,
                           const std::string& where) {
  require_kind(spec, InputKind::features, "a row of a table");
  const std::vector<TableColumn>& columns = spec.description.columns;
  WAFER_REQUIRE(row.size() == columns.size(), where, "the row has ", row.size(),
                " cells; the model takes ", columns.size());
  std::vector<float> values;
  for (size_t i = 0; i < row.size(); ++i) {
    const TableColumn& column = columns[i];
    if (column.categories.empty()) {
      double value = 0;
      auto [end, status] = std::from_chars(row[i].data(), row[i].data() + row[i].size(), value);
      WAFER_REQUIRE(
          status == std::errc() && end == row[i].data() + row[i].size() && std::isfinite(value),
          where, "column '", column.name, "': '", row[i], "' is not a finite number");
      values.push_back(static_cast<float>(value));
      continue;
    }
    auto found = std::find(column.categories.begin(), column.categories.end(), row[i]);
    WAFER_REQUIRE(found != column.categories.end(), where, "column '", column.name,
                  "': unknown category '", row[i], "'", did_you_mean(row[i], column.categories),
                  "; the model knows ", join(column.categories, ", "));
    for (auto it = column.categories.begin(); it != column.categories.end(); ++it) {
      values.push_back(it == found ? 1.0f : 0.0f);
    }
  }
  std::vector<float> input(values.size());
  convert_input(spec.description, spec.normalise, reinterpret_cast<const std::byte*>(values.data()),
                reinterpret_cast<std::byte*>(input.data()));
  return input;
}

std::vector<int64_t> tokenise(const InputSpec& spec, const std::string& text) {
  require_kind(spec, InputKind::tokens, "text");
  std::map<std::string, int64_t> index;
  for (const std::string& character : spec.description.classes) {
    index.emplace(character, static_cast<int64_t>(index.size()));
  }
  std::vector<int64_t> tokens;
  for (const std::string& character : utf8_characters(text, "text")) {
    auto found = index.find(character);
    WAFER_REQUIRE(found != index.end(), "text", "the character '", character,
                  "' is not in the vocabulary of the model");
    tokens.push_back(found->second);
  }
  return tokens;
}

std::string detokenise(const InputSpec& spec, const std::vector<int64_t>& tokens) {
  std::string text;
  for (int64_t token : tokens) {
    WAFER_CHECK(token >= 0 && token < static_cast<int64_t>(spec.description.classes.size()));
    text += spec.description.classes[static_cast<size_t>(token)];
  }
  return text;
}

std::vector<std::string> utf8_characters(const std::string& text, const std::string& where) {
  std::vector<std::string> characters;
  for (size_t i = 0; i < text.size();) {
    auto byte = static_cast<uint8_t>(text[i]);
    size_t length = byte < 0x80       ? 1
                    : byte >> 5 == 6  ? 2
                    : byte >> 4 == 14 ? 3
                    : byte >> 3 == 30 ? 4
                                      : 0;
    bool good = length > 0 && i + length <= text.size();
    for (size_t j = 1; good && j < length; ++j)
      good = (static_cast<uint8_t>(text[i + j]) & 0xC0) == 0x80;
    WAFER_REQUIRE(good, where, "not UTF-8 text: a bad byte at offset ", i, "; save it as UTF-8");
    characters.push_back(text.substr(i, length));
    i += length;
  }
  return characters;
}

}  // namespace wafer::data
