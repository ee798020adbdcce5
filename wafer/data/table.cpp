#include <algorithm>
#include <cmath>
#include <set>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/data/decoders.h"
#include "wafer/io/csv.h"

namespace wafer::data {

namespace fs = std::filesystem;

namespace {

bool is_table_name(const fs::path& path) {
  std::string name = lower(path.filename().string());
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  return name.ends_with(".csv") || name.ends_with(".tsv") || name.ends_with(".data");
}

fs::path table_file(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path;
  fs::path found;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (!is_table_name(entry.path())) continue;
    WAFER_REQUIRE(found.empty(), path.string(),
                  "the folder holds more than one table; name the one to read");
    found = entry.path();
  }
  WAFER_REQUIRE(!found.empty(), path.string(), "the folder holds no .csv, .tsv or .data file");
  return found;
}

// A number as a class name: 1, not 1.000000.
std::string number_name(double value) {
  return str(value);
}

// Few different whole numbers are classes; so are texts.
bool is_class_column(const io::CsvColumn& column) {
  if (column.categorical) return true;
  std::set<double> values;
  for (double value : column.numbers) {
    if (value != std::floor(value)) return false;
    values.insert(value);
    if (values.size() > 20) return false;
  }
  return true;
}

void set_target(const io::CsvColumn& column, Description& about, ArrayPart& part) {
  if (!is_class_column(column)) {
    about.task = Task::regression;
    for (double value : column.numbers) part.values.push_back(static_cast<float>(value));
    return;
  }
  about.task = Task::classification;
  if (column.categorical) {
    about.classes = column.categories;
    part.labels = column.codes;
  } else {
    std::set<double> values(column.numbers.begin(), column.numbers.end());
    for (double value : values) about.classes.push_back(number_name(value));
    for (double value : column.numbers)
      part.labels.push_back(std::distance(values.begin(), values.find(value)));
  }
  WAFER_REQUIRE(about.classes.size() > 1, about.where, "the target column '", column.name,
                "' has one class only: '", about.classes.at(0), "'; choose another target");
}

}  // namespace

Splits load_table(const fs::path& path, const LoadOptions& options, const std::string& name) {
  fs::path file = table_file(path);
  io::CsvTable table = io::read_csv(file, {.categorical = options.categorical});
  std::string target = options.target.empty() ? table.columns.back().name : options.target;
  const io::CsvColumn& target_column = table.column(target, file.string());
  for (const std::string& dropped : options.drop) table.column(dropped, file.string());

  Content content;
  Description& about = content.description;
  about.name = name;
  about.where = file.string();
  about.kind = InputKind::features;
  about.stored = DType::f32;
  set_target(target_column, about, content.train);

  std::vector<const io::CsvColumn*> inputs;
  int64_t width = 0;
  for (const io::CsvColumn& column : table.columns) {
    bool dropped =
        std::find(options.drop.begin(), options.drop.end(), column.name) != options.drop.end();
    if (dropped || &column == &target_column) continue;
    if (column.categorical && column.categories.size() > 1000) {
      throw UserError(
          file.string(),
          "the column '" + column.name + "' has too many categories for one-hot inputs",
          {.got = str(column.categories.size()), .expected = "at most 1000", .hint = "drop it"});
    }
    inputs.push_back(&column);
    about.columns.push_back(
        {column.name, column.categorical ? column.categories : std::vector<std::string>()});
    width += column.categorical ? static_cast<int64_t>(column.categories.size()) : 1;
  }
  WAFER_REQUIRE(width > 0, file.string(), "the table has no columns beside the target");
  about.shape = {width};
  auto values = std::make_shared<std::vector<float>>();
  values->reserve(static_cast<size_t>(table.rows * width));
  for (size_t row = 0; row < static_cast<size_t>(table.rows); ++row) {
    for (const io::CsvColumn* column : inputs) {
      if (!column->categorical) {
        values->push_back(static_cast<float>(column->numbers[row]));
        continue;
      }
      for (size_t c = 0; c < column->categories.size(); ++c) {
        values->push_back(static_cast<size_t>(column->codes[row]) == c ? 1.0f : 0.0f);
      }
    }
  }
  content.train.inputs = std::as_bytes(std::span(*values));
  content.train.owner = values;
  return make_splits(std::move(content));
}

}  // namespace wafer::data
