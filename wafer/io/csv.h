#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace wafer::io {

struct CsvOptions {
  char delimiter = '\0';       // '\0': found from the first line (comma, semicolon, tab, blank)
  std::optional<bool> header;  // unset: a first line without numbers above a line with numbers
  std::vector<std::string>
      categorical;  // columns whose numbers are codes, by name ("column 3" without header)
  bool allow_missing = false;  // missing numbers become NaN, missing categories ""
};

// A column holds numbers, or codes into `categories`.
struct CsvColumn {
  std::string name;  // from the header, or "column N" counted from 1
  bool categorical = false;
  std::vector<double> numbers;
  std::vector<int64_t> codes;
  std::vector<std::string> categories;  // sorted; codes index it
};

struct CsvTable {
  std::vector<CsvColumn> columns;
  int64_t rows = 0;
  // UserError when absent, with the nearest name.
  const CsvColumn& column(const std::string& name, const std::string& where) const;
};

// A column is numeric when its cells are numbers. In a column where most are, any other cell is an
// error, as is an empty, NaN or infinite cell (unless allowed): UserError names line, column and
// text. Quotes as in RFC 4180.
CsvTable parse_csv(std::string_view text, const std::string& where, const CsvOptions& options = {});
// Also gzip-compressed.
CsvTable read_csv(const std::filesystem::path& path, const CsvOptions& options = {});

}  // namespace wafer::io
