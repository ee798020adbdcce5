#pragma once
#include "wafer/nn/nn.h"
#include "wafer/op/activation.h"
#include "wafer/op/pool.h"
#include "wafer/op/shape_ops.h"

namespace wafer::testing_nn {

// The small network of the docs, for images [batch, 3, 32, 32]. `features` is what fc1 expects of
// an image; 64 * 8 * 8 is right.
struct Cnn : nn::Module {
  nn::Conv2d conv1{{.in = 3, .out = 32, .kernel = 3, .padding = 1}};
  nn::Conv2d conv2{{.in = 32, .out = 64, .kernel = 3, .padding = 1}};
  nn::Linear fc1, fc2{512, 10};
  explicit Cnn(int64_t features = 64 * 8 * 8) : fc1(features, 512) {
    add("conv1", conv1);
    add("conv2", conv2);
    add("fc1", fc1);
    add("fc2", fc2);
  }

  Tensor forward(const Tensor& x) {
    Tensor h = max_pool2d(relu(conv1(x)), 2);
    h = max_pool2d(relu(conv2(h)), 2);
    return fc2(relu(fc1(flatten(h, 1))));
  }
};

}  // namespace wafer::testing_nn
