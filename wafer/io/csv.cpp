#include "wafer/io/csv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/io/archive.h"

namespace wafer::io {

namespace {

struct Row {
  int64_t line = 0;  // from 1
  std::vector<std::string> cells;
};

std::string clean(std::string_view cell) {
  return trim(cell);
}

// Splits the text into rows; quotes may hide delimiters, quotes (doubled) and line ends.
class Splitter {
 public:
  Splitter(std::string_view text, const std::string& where, char delimiter)
      : text_(text), where_(where), delimiter_(delimiter) {}

  std::vector<Row> rows() {
    std::vector<Row> result;
    while (position_ < text_.size()) {
      Row row = next();
      bool blank = row.cells.size() == 1 && row.cells[0].empty();
      if (!blank) result.push_back(std::move(row));
    }
    return result;
  }

 private:
  Row next() {
    Row row;
    row.line = line_;
    skip_blanks();
    while (true) {
      row.cells.push_back(cell());
      if (position_ < text_.size() && text_[position_] == delimiter_) {
        ++position_;
        skip_blanks();
        // Blanks at the end of a blank-separated line are no cell.
        if (delimiter_ == ' ' && at_line_end()) break;
        continue;
      }
      break;
    }
    if (position_ < text_.size() && text_[position_] == '\r') ++position_;
    if (position_ < text_.size() && text_[position_] == '\n') ++position_;
    ++line_;
    return row;
  }

  bool at_line_end() const {
    return position_ >= text_.size() || text_[position_] == '\n' || text_[position_] == '\r';
  }

  // A run of blanks separates once.
  void skip_blanks() {
    if (delimiter_ != ' ') return;
    while (position_ < text_.size() && text_[position_] == ' ') ++position_;
  }

  std::string cell() {
    size_t begin = position_;
    while (begin < text_.size() && text_[begin] == ' ' && delimiter_ != ' ') ++begin;
    if (begin < text_.size() && text_[begin] == '"') {
      position_ = begin;
      return quoted();
    }
    while (!at_line_end() && text_[position_] != delimiter_) ++position_;
    return clean(text_.substr(begin, std::max(position_, begin) - begin));
  }

  std::string quoted() {
    int64_t first_line = line_;
    std::string value;
    for (++position_; position_ < text_.size(); ++position_) {
      char c = text_[position_];
      if (c == '"' && position_ + 1 < text_.size() && text_[position_ + 1] == '"') {
        value += '"';
        ++position_;
      } else if (c == '"') {
        ++position_;
        while (position_ < text_.size() && text_[position_] == ' ' && delimiter_ != ' ')
          ++position_;
        if (!at_line_end() && text_[position_] != delimiter_) {
          throw UserError(where_, str("line ", line_, ": text follows a closing quote"),
                          {.hint = "write a quote inside quotes twice"});
        }
        return value;
      } else {
        if (c == '\n') ++line_;
        value += c;
      }
    }
    throw UserError(where_, str("line ", first_line, ": a quote is opened and never closed"));
  }

  std::string_view text_;
  const std::string& where_;
  char delimiter_;
  size_t position_ = 0;
  int64_t line_ = 1;
};

char find_delimiter(std::string_view text) {
  std::string_view line = text.substr(0, std::min(text.find('\n'), text.size()));
  char best = ',';
  int64_t most = 0;
  for (char candidate : {',', ';', '\t', ' '}) {
    int64_t count = std::count(line.begin(), line.end(), candidate);
    if (count > most) {
      if (candidate == ' ' && most > 0) continue;  // blanks only where nothing else separates
      best = candidate;
      most = count;
    }
  }
  return best;
}

bool is_missing(const std::string& cell) {
  if (cell.empty()) return true;
  if (cell.size() > 4) return false;
  std::string text = lower(cell);
  return text == "nan" || text == "na" || text == "n/a" || text == "null" || text == "none" ||
         text == "?";
}

// True when the whole cell is a number, which may be nan or inf.
bool parse_number(const std::string& cell, double* value) {
  const char* begin = cell.data();
  const char* end = begin + cell.size();
  if (begin != end && *begin == '+') ++begin;
  auto [stop, status] = std::from_chars(begin, end, *value);
  if (status == std::errc::result_out_of_range && stop == end) {
    *value = std::numeric_limits<double>::infinity();
    return true;
  }
  return status == std::errc() && stop == end && begin != end;
}

bool is_finite_number(const std::string& cell) {
  double value = 0;
  return parse_number(cell, &value) && std::isfinite(value);
}

bool looks_like_header(const std::vector<Row>& rows) {
  if (rows.size() < 2) return false;
  return std::none_of(rows[0].cells.begin(), rows[0].cells.end(), is_finite_number) &&
         std::any_of(rows[1].cells.begin(), rows[1].cells.end(), is_finite_number);
}

class ColumnReader {
 public:
  ColumnReader(const std::vector<Row>& rows, size_t first, const std::string& where,
               const CsvOptions& options)
      : rows_(rows), first_(first), where_(where), options_(options) {}

  void read(size_t index, CsvColumn& column) const {
    bool asked = std::find(options_.categorical.begin(), options_.categorical.end(), column.name) !=
                 options_.categorical.end();
    size_t numbers = 0, present = 0;
    for (size_t r = first_; r < rows_.size(); ++r) {
      const std::string& cell = rows_[r].cells[index];
      double value = 0;
      numbers += parse_number(cell, &value) ? 1 : 0;
      present += is_missing(cell) ? 0 : 1;
    }
    column.categorical = asked || numbers * 2 < std::max<size_t>(present, 1);
    if (column.categorical) {
      read_categories(index, column);
    } else {
      read_numbers(index, column);
    }
  }

 private:
  [[noreturn]] void fail(size_t r, const CsvColumn& column, const std::string& what,
                         const std::string& hint) const {
    throw UserError(where_, str("line ", rows_[r].line, ", column '", column.name, "': ", what),
                    {.hint = hint});
  }

  void read_numbers(size_t index, CsvColumn& column) const {
    column.numbers.reserve(rows_.size() - first_);
    for (size_t r = first_; r < rows_.size(); ++r) {
      const std::string& cell = rows_[r].cells[index];
      double value = 0;
      bool number = parse_number(cell, &value);
      if (is_missing(cell) || (number && std::isnan(value))) {
        if (!options_.allow_missing) {
          fail(r, column,
               cell.empty() ? "the cell is empty" : "the value is missing ('" + cell + "')",
               "fill it in or remove the line");
        }
        value = std::numeric_limits<double>::quiet_NaN();
      } else if (!number) {
        fail(r, column, "'" + cell.substr(0, 40) + "' is not a number, as most of the column is",
             "mend the cell, or list the column as categorical");
      } else if (!std::isfinite(value)) {
        fail(r, column, "'" + cell.substr(0, 40) + "' is not a finite number", "mend the cell");
      }
      column.numbers.push_back(value);
    }
  }

  void read_categories(size_t index, CsvColumn& column) const {
    std::map<std::string, int64_t> codes;
    for (size_t r = first_; r < rows_.size(); ++r) {
      const std::string& cell = rows_[r].cells[index];
      if (cell.empty() && !options_.allow_missing) {
        fail(r, column, "the cell is empty", "fill it in or remove the line");
      }
      codes.emplace(cell, 0);
    }
    for (auto& [name, code] : codes) {
      code = static_cast<int64_t>(column.categories.size());
      column.categories.push_back(name);
    }
    for (size_t r = first_; r < rows_.size(); ++r) {
      column.codes.push_back(codes.at(rows_[r].cells[index]));
    }
  }

  const std::vector<Row>& rows_;
  size_t first_;
  const std::string& where_;
  const CsvOptions& options_;
};

std::vector<std::string> column_names(const CsvTable& table) {
  std::vector<std::string> names;
  for (const CsvColumn& column : table.columns) names.push_back(column.name);
  return names;
}

}  // namespace

const CsvColumn& CsvTable::column(const std::string& name, const std::string& where) const {
  for (const CsvColumn& candidate : columns) {
    if (candidate.name == name) return candidate;
  }
  throw UserError(where, "no column '" + name + "'" + did_you_mean(name, column_names(*this)),
                  {.hint = "the columns are: " + join(column_names(*this), ", ")});
}

CsvTable parse_csv(std::string_view text, const std::string& where, const CsvOptions& options) {
  if (text.substr(0, 3) == "\xEF\xBB\xBF")
    text.remove_prefix(3);  // byte order mark of spreadsheets
  if (size_t zero = text.find('\0'); zero != std::string_view::npos) {
    throw UserError(where, str("not a text file: a zero byte at offset ", zero),
                    {.hint = "save it as UTF-8 text with commas"});
  }
  char delimiter = options.delimiter != '\0' ? options.delimiter : find_delimiter(text);
  std::vector<Row> rows = Splitter(text, where, delimiter).rows();
  bool header = options.header.value_or(looks_like_header(rows));
  size_t first = header ? 1 : 0;
  if (rows.size() <= first) throw UserError(where, "the table has no rows of data");

  size_t width = rows[0].cells.size();
  for (const Row& row : rows) {
    if (row.cells.size() != width) {
      throw UserError(
          where, str("line ", row.line, " has another number of cells than line ", rows[0].line),
          {.got = str(row.cells.size()),
           .expected = str(width),
           .hint = "is the file cut short, or a cell with a delimiter not quoted?"});
    }
  }
  CsvTable table;
  table.rows = static_cast<int64_t>(rows.size() - first);
  for (size_t i = 0; i < width; ++i) {
    CsvColumn column;
    column.name = header ? rows[0].cells[i] : str("column ", i + 1);
    for (const CsvColumn& other : table.columns) {
      if (other.name == column.name) {
        throw UserError(where,
                        str("line ", rows[0].line, ": two columns are named '", column.name, "'"));
      }
    }
    table.columns.push_back(std::move(column));
  }
  for (const std::string& name : options.categorical) table.column(name, where);
  ColumnReader reader(rows, first, where, options);
  for (size_t i = 0; i < width; ++i) reader.read(i, table.columns[i]);
  return table;
}

CsvTable read_csv(const std::filesystem::path& path, const CsvOptions& options) {
  Bytes bytes = read_maybe_gzip(path, uint64_t{1} << 32);
  return parse_csv({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string(),
                   options);
}

}  // namespace wafer::io
