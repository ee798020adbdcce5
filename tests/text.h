#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "wafer/base/error.h"

namespace wafer::tests {

// The text of the UserError that `body` throws.
inline std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error";
}

inline ::testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != text.npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "'" << part << "' is not in: " << text;
}

}  // namespace wafer::tests
