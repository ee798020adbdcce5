#pragma once
#include <optional>
#include <span>
#include <string>

namespace wafer {

struct EnvironmentVariable {
  const char* name;
  const char* meaning;
};

// Every environment variable that this library reads; docs/environment.md is made from it.
std::span<const EnvironmentVariable> environment_variables();

// The value of a variable of the table, or nothing when unset or empty. A name outside the table is
// a defect.
std::optional<std::string> environment(const char* name);

}  // namespace wafer
