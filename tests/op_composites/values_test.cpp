// Composite ops against PyTorch's values and gradients (make_expected.py).
#include "tests/op_composites/expected.h"
#include "wafer/op/attention.h"
#include "wafer/op/loss.h"
#include "wafer/op/norm.h"
#include "wafer/op/recurrent.h"
#include "wafer/op/softmax.h"

namespace wafer {
namespace {
using testing::check_case;
using testing::Named;
using Tensors = std::vector<Tensor>;

const std::vector<std::pair<std::string, Reduction>> reductions = {
    {"mean", Reduction::mean}, {"sum", Reduction::sum}, {"none", Reduction::none}};

TEST(CompositeValues, Softmax) {
  for (int axis = 0; axis < 3; ++axis) {
    check_case(str("softmax_", axis),
               [&](Named& in) -> Tensors { return {softmax(in["x"], axis)}; });
    check_case(str("log_softmax_", axis),
               [&](Named& in) -> Tensors { return {log_softmax(in["x"], axis)}; });
  }
  check_case("softmax_large", [](Named& in) -> Tensors { return {softmax(in["x"])}; });
  check_case("log_softmax_large", [](Named& in) -> Tensors { return {log_softmax(in["x"])}; });
}

TEST(CompositeValues, CrossEntropyOfClasses) {
  int cases = 0;
  for (const std::string shape : {"2d", "4d", "1d"}) {
    for (const auto& [name, reduction] : reductions) {
      for (double smoothing : {0.0, 0.1}) {
        std::string label = str(shape, "_", name, smoothing > 0 ? "_smooth" : "_plain");
        if (testing::arrays_of("cross_entropy_" + label, "in").empty()) continue;
        ++cases;
        CrossEntropyOptions options{.label_smoothing = smoothing, .reduction = reduction};
        check_case("cross_entropy_" + label, [&](Named& in) -> Tensors {
          return {cross_entropy(in["x"], in["t"], options)};
        });
        if (shape != "1d") options.ignore_index = 2;
        check_case("cross_entropy_weighted_" + label, [&](Named& in) -> Tensors {
          options.weight = in["w"];
          return {cross_entropy(in["x"], in["t"], options)};
        });
      }
    }
  }
  EXPECT_EQ(cases, 12);
  CrossEntropyOptions sum{.reduction = Reduction::sum};
  check_case("cross_entropy_all_ignored",
             [&](Named& in) -> Tensors { return {cross_entropy(in["x"], in["t"], sum)}; });
}

TEST(CompositeValues, CrossEntropyOfProbabilities) {
  for (const auto& [name, reduction] : reductions) {
    for (double smoothing : {0.0, 0.1}) {
      std::string label = name + (smoothing > 0 ? "_smooth" : "_plain");
      CrossEntropyOptions options{.label_smoothing = smoothing, .reduction = reduction};
      check_case("cross_entropy_probabilities_" + label,
                 [&](Named& in) -> Tensors { return {cross_entropy(in["x"], in["t"], options)}; });
      check_case("cross_entropy_probabilities_weighted_" + label, [&](Named& in) -> Tensors {
        options.weight = in["w"];
        return {cross_entropy(in["x"], in["t"], options)};
      });
    }
  }
}

TEST(CompositeValues, OtherLosses) {
  for (const auto& entry : reductions) {
    const std::string& name = entry.first;
    Reduction r = entry.second;
    check_case("nll_" + name, [&](Named& in) -> Tensors {
      return {nll_loss(in["x"], in["t"], {.ignore_index = 1, .reduction = r})};
    });
    check_case("nll_weighted_" + name, [&](Named& in) -> Tensors {
      return {nll_loss(in["x"], in["t"], {.weight = in["w"], .reduction = r})};
    });
    check_case("mse_" + name,
               [&](Named& in) -> Tensors { return {mse_loss(in["x"], in["t"], r)}; });
    check_case("l1_" + name, [&](Named& in) -> Tensors { return {l1_loss(in["x"], in["t"], r)}; });
    check_case("huber_" + name,
               [&](Named& in) -> Tensors { return {huber_loss(in["x"], in["t"], 1.5, r)}; });
    check_case("smooth_l1_" + name,
               [&](Named& in) -> Tensors { return {smooth_l1_loss(in["x"], in["t"], 0.5, r)}; });
    check_case("bce_" + name, [&](Named& in) -> Tensors {
      return {bce_with_logits(in["x"], in["t"], {.reduction = r})};
    });
    check_case("bce_weighted_" + name, [&](Named& in) -> Tensors {
      return {bce_with_logits(in["x"], in["t"],
                              {.weight = in["w"], .positive_weight = in["p"], .reduction = r})};
    });
  }
  auto kl_reductions = reductions;
  kl_reductions.emplace_back("batchmean", Reduction::batch_mean);
  for (const auto& entry : kl_reductions) {
    check_case("kl_" + entry.first,
               [&](Named& in) -> Tensors { return {kl_div(in["x"], in["t"], entry.second)}; });
    check_case("kl_log_" + entry.first, [&](Named& in) -> Tensors {
      return {kl_div(in["x"], in["t"], entry.second, true)};
    });
  }
}

TEST(CompositeValues, BatchNorm) {
  for (const std::string name : {"batch_norm_2d", "batch_norm_4d", "batch_norm_plain"}) {
    check_case(name, [](Named& in) -> Tensors {
      BatchNormResult result = batch_norm(in["x"], in["w"], in["b"]);
      return {result.y, result.mean, result.variance, result.unbiased_variance};
    });
  }
  check_case("batch_norm_inference", [](Named& in) -> Tensors {
    return {batch_norm_inference(in["x"], in["mean"], in["variance"], in["w"], in["b"])};
  });
}

TEST(CompositeValues, LayerNorm) {
  check_case("layer_norm",
             [](Named& in) -> Tensors { return {layer_norm(in["x"], {5}, in["w"], in["b"])}; });
  check_case("layer_norm_plain", [](Named& in) -> Tensors {
    return {layer_norm(in["x"], {3, 5})};
  });
  check_case("layer_norm_2", [](Named& in) -> Tensors {
    return {layer_norm(in["x"], {3, 5}, in["w"], in["b"])};
  });
  check_case("layer_norm_whole",
             [](Named& in) -> Tensors { return {layer_norm(in["x"], {5}, in["w"], in["b"])}; });
  check_case("rms_norm",
             [](Named& in) -> Tensors { return {rms_norm(in["x"], {5}, in["w"], 1e-6)}; });
  check_case("rms_norm_plain", [](Named& in) -> Tensors { return {rms_norm(in["x"], {5})}; });
}

TEST(CompositeValues, GroupNorm) {
  check_case("group_norm",
             [](Named& in) -> Tensors { return {group_norm(in["x"], 2, in["w"], in["b"])}; });
  check_case("group_norm_plain", [](Named& in) -> Tensors { return {group_norm(in["x"], 3)}; });
  check_case("instance_norm",
             [](Named& in) -> Tensors { return {instance_norm(in["x"], in["w"], in["b"])}; });
}

TEST(CompositeValues, Attention) {
  auto run = [](const std::string& name, AttentionOptions options) {
    check_case(name, [&](Named& in) -> Tensors {
      if (in.count("m")) options.mask = in["m"];
      return {scaled_dot_product_attention(in["q"], in["k"], in["v"], options)};
    });
  };
  run("attention", {});
  run("attention_matrices", {});
  run("attention_scale", {.scale = 0.3});
  run("attention_causal", {.causal = true});
  run("attention_boolean", {});
  run("attention_additive", {});
}

TEST(CompositeValues, Recurrent) {
  for (const std::string suffix : {"", "_reverse", "_zero"}) {
    RecurrentOptions options{.reverse = suffix == "_reverse"};
    auto weights = [](Named& in) {
      return RecurrentWeights{in["wi"], in["wh"], in["bi"], in["bh"]};
    };
    for (const std::string activation : {"tanh", "relu"}) {
      std::string name = activation == "tanh" ? "rnn" : "rnn_relu";
      check_case(name + suffix, [&](Named& in) -> Tensors {
        auto result = rnn(in["x"], weights(in), in["h"], options, activation);
        return {result.outputs, result.hidden};
      });
    }
    check_case("lstm" + suffix, [&](Named& in) -> Tensors {
      auto result = lstm(in["x"], weights(in), in["h"], in["c"], options);
      return {result.outputs, result.hidden, result.cell};
    });
    check_case("gru" + suffix, [&](Named& in) -> Tensors {
      auto result = gru(in["x"], weights(in), in["h"], options);
      return {result.outputs, result.hidden};
    });
  }
}

}  // namespace
}  // namespace wafer
