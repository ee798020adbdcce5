#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/nn/helpers.h"
#include "wafer/models/model.h"
#include "wafer/wafer.h"

// Models with the values that make_expected.py gives them, and its outputs of them.
namespace wafer::testing_models {

// As make_expected.py: numbers in [-1/2, 1/2) that depend on the name and the index alone.
inline double uniform(uint32_t name_hash, uint32_t index) {
  uint32_t x = name_hash + index;
  for (int round = 0; round < 2; ++round) {
    x ^= x >> 16;
    x *= 0x45D9F3Bu;
  }
  x ^= x >> 16;
  return static_cast<double>(x >> 8) / 16777216.0 - 0.5;
}

inline uint32_t hash_of(const std::string& name) {
  uint32_t hash = 0x811C9DC5u;  // FNV-1a
  for (unsigned char c : name) hash = (hash ^ c) * 0x01000193u;
  return hash;
}

// offset + scale u.
inline Tensor filled(const std::string& name, const Shape& shape, double offset, double scale) {
  auto values = allocate_host(static_cast<size_t>(shape.elements()) * sizeof(float));
  auto* data = static_cast<float*>(values->data());
  uint32_t hash = hash_of(name);
  for (uint32_t i = 0; i < static_cast<uint32_t>(shape.elements()); ++i)
    data[i] = static_cast<float>(offset + scale * uniform(hash, i));
  return Tensor::from_storage({DType::f32, shape}, std::move(values));
}

inline Tensor fill(const std::string& name, const Tensor& slot) {
  const Shape& shape = slot.shape();
  if (slot.dtype() == DType::i64) return slot;
  if (name.ends_with("running_var")) return filled(name, shape, 1, 0.5);
  if (shape.rank() >= 2) {
    double fan_in = static_cast<double>(shape.elements()) / static_cast<double>(shape.size(0));
    return filled(name, shape, 0, std::sqrt(24 / fan_in));
  }
  return name.ends_with("weight") ? filled(name, shape, 1, 0.5) : filled(name, shape, 0, 0.2);
}

inline Tensor input_of(const nlohmann::json& row) {
  Shape shape(row["input"].get<std::vector<int64_t>>());
  if (!row.contains("vocabulary")) return filled("input", shape, 0, 4);
  std::vector<int64_t> tokens;
  uint32_t hash = hash_of("input");
  for (uint32_t i = 0; i < static_cast<uint32_t>(shape.elements()); ++i) {
    double u = uniform(hash, i) + 0.5;
    tokens.push_back(static_cast<int64_t>(u * row["vocabulary"].get<double>()));
  }
  return Tensor::from_values(tokens, shape);
}

inline models::Model filled_model(const std::string& name, const models::Options& options) {
  models::Model model = models::plan(name, options);
  nn::StateDict state;
  for (const auto& slot : model.module->named_slots())
    state[slot.name] = fill(slot.name, *slot.value);
  model.module->load_state_dict(state);
  return model;
}

// Largest difference by the largest expected number.
inline double relative_error(const std::vector<float>& got, const std::vector<float>& expected) {
  double worst = 0, largest = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    worst = std::max(worst, std::abs(double{got[i]} - double{expected[i]}));
    if (std::isnan(got[i])) return got[i];
    largest = std::max(largest, std::abs(double{expected[i]}));
  }
  return worst / largest;
}

// Every model of the file gives the outputs that are written there, within 1e-4.
inline void check_outputs(const std::filesystem::path& path) {
  std::ifstream file(path);
  ASSERT_TRUE(file) << path;
  auto rows = nlohmann::json::parse(file);
  ASSERT_FALSE(rows.empty());
  for (const auto& row : rows) {
    auto options = row["options"].get<models::Options>();
    models::Model model = filled_model(row["model"], options);
    model.module->eval();
    Tensor y = (*model.module)(input_of(row));
    evaluate({y});
    auto expected = row["outputs"].get<std::vector<float>>();
    ASSERT_EQ(static_cast<size_t>(y.elements()), expected.size()) << row["model"];
    EXPECT_LT(relative_error(testing_nn::host(y), expected), 1e-4)
        << row["model"] << " " << row["options"];
  }
}

}  // namespace wafer::testing_models
