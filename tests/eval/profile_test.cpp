#include "wafer/eval/profile.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace wafer::eval {
namespace {

Profile example() {
  return {.device = "cpu",
          .peak_gflops = 100,
          .peak_gbytes = 10,
          .steps = 2,
          .wall_seconds = 0.05,
          .nodes = {{"conv_1", "cnn.conv1", "conv2d", "onednn", 2, 0.010, 5e8, 1e6},
                    {"conv_1_grad", "cnn.conv1", "conv2d_grad", "onednn", 2, 0.020, 1e9, 2e6},
                    {"relu_1", "cnn.relu1", "relu", "fused", 2, 0.008, 0, 4e7},
                    {"adam", "", "adam", "fused", 2, 0.002, 0, 0}}};
}

TEST(Profile, RooflineTakesTheBindingPeak) {
  Profile profile = example();
  EXPECT_DOUBLE_EQ(*roofline_seconds(profile, 1e9, 1), 0.01);
  EXPECT_DOUBLE_EQ(*roofline_seconds(profile, 1, 1e9), 0.1);
  EXPECT_DOUBLE_EQ(*roofline_seconds(profile, 1e9, 1, true), 0.01);
  profile.peak_bf16_gflops = 1000;
  EXPECT_DOUBLE_EQ(*roofline_seconds(profile, 1e9, 1, true), 0.001);
  EXPECT_DOUBLE_EQ(*roofline_seconds(profile, 1e9, 1, false), 0.01);
  EXPECT_EQ(peaks_text(profile), "100 GFLOP/s (1000 in bf16) and 10.0 GB/s");
  profile.peak_gflops.reset();
  EXPECT_DOUBLE_EQ(*roofline_seconds(profile, 1e12, 1e9), 0.1);
  profile.peak_gbytes.reset();
  EXPECT_FALSE(roofline_seconds(profile, 1, 1));
}

TEST(Profile, GroupsByLayerAndKernel) {
  auto layers = by_layer(example());
  ASSERT_EQ(layers.size(), 3u);
  EXPECT_EQ(layers[0].name, "cnn.conv1");
  EXPECT_EQ(layers[0].calls, 4);
  EXPECT_DOUBLE_EQ(layers[0].seconds, 0.03);
  EXPECT_DOUBLE_EQ(layers[0].share, 0.75);
  EXPECT_DOUBLE_EQ(*layers[0].roofline, 0.5);
  EXPECT_DOUBLE_EQ(*layers[1].roofline, 0.5);
  EXPECT_EQ(layers[2].name, "(adam)");
  EXPECT_FALSE(layers[2].roofline);
  auto kernels = by_kernel(example());
  ASSERT_EQ(kernels.size(), 2u);
  EXPECT_EQ(kernels[1].name, "fused");
  EXPECT_DOUBLE_EQ(kernels[1].seconds, 0.01);
}

TEST(Profile, TextShowsTimesPerStep) {
  std::string text = profile_text(example());
  EXPECT_NE(text.find("measured peaks 100 GFLOP/s and 10.0 GB/s; 2 steps"), std::string::npos);
  EXPECT_NE(text.find("cnn.conv1      4   15.000  75.0 %     50.0   0.1      50 %"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("Outside of nodes: 20.0 %"), std::string::npos);
}

TEST(Profile, ChromeTraceIsJsonInMicroseconds) {
  std::vector<TraceEvent> events = {{"conv \"1\"", "kernel", 0.5, 0.001, 3, {{"shape", "64x3"}}},
                                    {"bad \xff", "pass", 0, 1, 0, {}}};
  std::vector<std::pair<int64_t, std::string>> names = {{3, "worker"}};
  auto trace = nlohmann::json::parse(chrome_trace(events, "train", names));
  const auto& list = trace.at("traceEvents");
  ASSERT_EQ(list.size(), 4u);
  EXPECT_EQ(list[0]["args"]["name"], "train");
  EXPECT_EQ(list[1]["args"]["name"], "worker");
  EXPECT_EQ(list[2]["ph"], "X");
  EXPECT_EQ(list[2]["name"], "conv \"1\"");
  EXPECT_DOUBLE_EQ(list[2]["ts"], 5e5);
  EXPECT_DOUBLE_EQ(list[2]["dur"], 1e3);
  EXPECT_EQ(list[2]["tid"], 3);
  EXPECT_EQ(list[2]["args"]["shape"], "64x3");
}

TEST(Profile, EmptyProfileHasTablesWithoutRows) {
  Profile profile{.device = "cpu"};
  EXPECT_TRUE(by_layer(profile).empty());
  EXPECT_NE(profile_text(profile).find("layer"), std::string::npos);
  EXPECT_TRUE(nlohmann::json::parse(chrome_trace({}))["traceEvents"].is_array());
}

}  // namespace
}  // namespace wafer::eval
