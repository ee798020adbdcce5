#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace wafer {

std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string trim(std::string_view text);
std::string lower(std::string_view text);

// "12.3 MiB" and the like; whole bytes below 1 KiB.
std::string human_bytes(double bytes);

// "1 h 02 min", "3 min 20 s", "4.2 s", "12 ms".
std::string human_seconds(double seconds);

// "1234567" as "1,234,567".
std::string human_count(int64_t count);

// "; did you mean 'x'?" for the candidate nearest to `name` in edit distance, or "" when none is
// near.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace wafer
