#pragma once
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/text.h"
#include "wafer/ir/tensor.h"

// What tests of nn/, optim/ and models/ share.
namespace wafer::testing_nn {

// The elements of a value that is in host memory already.
inline std::vector<float> host(const Tensor& t) {
  auto* data = static_cast<const float*>(t.storage()->data());
  return {data, data + t.elements()};
}

using tests::contains;
inline std::string message(const std::function<void()>& body) {
  return tests::message_of(body);
}

}  // namespace wafer::testing_nn
