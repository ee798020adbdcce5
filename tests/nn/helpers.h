#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "wafer/ir/tensor.h"

// What tests of nn/, optim/ and models/ share.
namespace wafer::testing_nn {

// The elements of a value that is in host memory already.
inline std::vector<float> host(const Tensor& t) {
  auto* data = static_cast<const float*>(t.storage()->data());
  return {data, data + t.elements()};
}

// The text of the UserError that `body` throws.
template <class F>
std::string message(F&& body) {
  try {
    body();
  } catch (const UserError& error) {
    return error.what();
  }
  return "no error was thrown";
}

inline testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != text.npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << part << "' is not in: " << text;
}

}  // namespace wafer::testing_nn
