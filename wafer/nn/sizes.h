#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace wafer::nn {

// One number for all spatial dimensions or one for each: `.kernel = 3` or `.kernel = {3, 5}`.
struct Sizes {
  std::vector<int64_t> values;

  Sizes() = default;
  Sizes(int64_t value) : values{value} {}                        // NOLINT
  Sizes(std::initializer_list<int64_t> list) : values(list) {}   // NOLINT
  Sizes(std::vector<int64_t> list) : values(std::move(list)) {}  // NOLINT
  bool empty() const { return values.empty(); }
  bool is(int64_t value) const { return values == std::vector<int64_t>{value}; }
  // "3" or "3x5".
  std::string text() const;
  // As `dimensions` numbers; UserError naming `where` and the field when their number is another.
  std::vector<int64_t> spread(int dimensions, const std::string& where, const char* field) const;
};

}  // namespace wafer::nn
