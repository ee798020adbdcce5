#include "wafer/models/cnn.h"

#include "wafer/models/options.h"
#include "wafer/op/activation.h"
#include "wafer/op/pool.h"
#include "wafer/op/shape_ops.h"

namespace wafer::models {

Cnn::Cnn(const CnnOptions& o)
    : conv1({.in = o.channels, .out = o.conv1, .kernel = 3, .padding = 1}),
      conv2({.in = o.conv1, .out = o.conv2, .kernel = 3, .padding = 1}),
      fc1(o.conv2 * (o.height / 4) * (o.width / 4), o.hidden),
      fc2(o.hidden, o.outputs) {
  add("conv1", conv1);
  add("conv2", conv2);
  add("fc1", fc1);
  add("fc2", fc2);
}

Tensor Cnn::forward(const Tensor& x) {
  Tensor h = max_pool2d(relu(conv1(x)), 2);
  h = max_pool2d(relu(conv2(h)), 2);
  return fc2(relu(fc1(flatten(h, 1))));
}

namespace {
Model build_cnn(const OptionValues& options) {
  Shape input = options.shape("input");
  Task task = options.task();
  if (input.rank() != 3 || input.size(1) < 4 || input.size(2) < 4) {
    options.fail("input", "an image, channels x height x width, at least 4 pixels high and wide");
  }
  if (task == Task::next_token) options.fail("task", "classification or regression");
  CnnOptions o{.channels = input.size(0),
               .height = input.size(1),
               .width = input.size(2),
               .outputs = options.integer("outputs"),
               .conv1 = options.integer("conv1"),
               .conv2 = options.integer("conv2"),
               .hidden = options.integer("hidden")};
  return {.module = std::make_unique<Cnn>(o), .spec = {Type{DType::f32, input}, o.outputs, task}};
}
}  // namespace

Builder cnn_builder() {
  return {{"cnn",
           "two 3x3 convolutions with ReLU and max-pooling, two linear layers; for small images",
           {{"input", "3x32x32", "channels x height x width"},
            {"outputs", "10", "number of classes, or of numbers to predict"},
            {"task", "classification", "classification or regression"},
            {"conv1", "32", "channels of the first convolution"},
            {"conv2", "64", "channels of the second convolution"},
            {"hidden", "512", "width of the hidden linear layer"}}},
          build_cnn};
}

}  // namespace wafer::models
