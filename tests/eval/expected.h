#pragma once
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

// Reads the expected values that make_expected.py wrote; NaN and infinity are strings there.
namespace wafer::eval::testing {

inline double number(const nlohmann::json& value) {
  return value.is_string() ? std::stod(value.get<std::string>()) : value.get<double>();
}

inline std::vector<double> numbers(const nlohmann::json& values) {
  std::vector<double> result;
  for (const auto& value : values) result.push_back(number(value));
  return result;
}

inline nlohmann::json cases(const std::string& file) {
  std::ifstream in(std::string(WAFER_SOURCE_DIR) + "/tests/eval/data/" + file);
  return nlohmann::json::parse(in).at("cases");
}

// Equal to 1e-12, relative for numbers above 1; NaN equals NaN.
inline bool same(double actual, double expected) {
  if (std::isnan(actual) || std::isnan(expected)) return std::isnan(actual) && std::isnan(expected);
  if (std::isinf(actual) || std::isinf(expected)) return actual == expected;
  return std::abs(actual - expected) <= 1e-12 * std::max(1.0, std::abs(expected));
}

}  // namespace wafer::eval::testing

#define EXPECT_SAME(actual, expected)                                                          \
  do {                                                                                         \
    double actual_value = (actual), expected_value = ::wafer::eval::testing::number(expected); \
    EXPECT_TRUE(::wafer::eval::testing::same(actual_value, expected_value))                    \
        << #actual << " = " << actual_value << ", expected " << expected_value;                \
  } while (false)
