#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/deploy/onnx_bytes.h"
#include "tests/io/limits.h"
#include "wafer/deploy/onnx/onnx.h"

namespace wafer::testing {

// The text of the UserError that opening and compiling a model gives, within HostileFileLimits; ""
// where there is none.
inline std::string error_of_model(const std::string& bytes, const std::string& what) {
  HostileFileLimits limits(bytes.size(), what);
  try {
    onnx::Session session(onnx::parse_model(view(bytes), "model.onnx"));
    session.graph(session.input_types({}, 3));
  } catch (const UserError& error) {
    return error.what();
  }
  return {};
}

inline void expect_words(const std::string& text, const std::vector<std::string>& words) {
  ASSERT_FALSE(text.empty()) << "no error";
  for (const std::string& word : words) EXPECT_NE(text.find(word), text.npos) << text;
}

}  // namespace wafer::testing
