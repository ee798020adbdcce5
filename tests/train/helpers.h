#pragma once
#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "wafer/base/philox.h"
#include "wafer/data/dataset.h"
#include "wafer/nn/nn.h"
#include "wafer/op/activation.h"

namespace wafer::testing {

// Points of four features around one centre a class, which a line separates.
inline data::Dataset blobs(int64_t count, uint64_t seed = 0, int64_t classes = 3) {
  data::Description about;
  about.name = "blobs";
  about.kind = data::InputKind::features;
  about.stored = DType::f32;
  about.shape = {4};
  for (int64_t c = 0; c < classes; ++c) about.classes.push_back("class " + std::to_string(c));
  auto values = std::make_shared<std::vector<float>>();
  data::ArrayPart part;
  RandomStream random(seed);
  for (int64_t i = 0; i < count; ++i) {
    int64_t label = i % classes;
    for (int64_t f = 0; f < 4; ++f) {
      float centre = f == label ? 2.0f : 0.0f;
      values->push_back(centre + static_cast<float>(random.uniform()) - 0.5f);
    }
    part.labels.push_back(label);
  }
  part.inputs = std::as_bytes(std::span(*values));
  part.owner = values;
  return data::Dataset(data::make_array_source(about, std::move(part)));
}

struct Mlp : nn::Module {
  nn::Linear fc1{4, 16}, fc2{16, 3};
  explicit Mlp(uint64_t seed = 0) {
    set_name("mlp");
    add("fc1", fc1);
    add("fc2", fc2);
    initialise(seed);
  }
  Tensor forward(const Tensor& x) { return fc2(relu(fc1(x))); }
};

// The bytes of every parameter and buffer, in order.
inline std::vector<float> weights(const nn::Module& module) {
  std::vector<float> all;
  for (const auto& slot : module.named_slots()) {
    std::vector<float> values = slot.value->data<float>();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

}  // namespace wafer::testing
