#include "wafer/nn/module.h"

#include <gtest/gtest.h>

#include "tests/nn/helpers.h"
#include "wafer/nn/module_trace.h"
#include "wafer/op/elementwise.h"

using namespace wafer;
using wafer::testing_nn::contains;
using wafer::testing_nn::host;
using wafer::testing_nn::message;

namespace {
struct Scale : nn::UnaryModule {
  Tensor weight, calls;
  explicit Scale(int64_t size) {
    parameter("weight", weight, Shape{size}, nn::init::uniform(-1, 1));
    buffer("calls", calls, Shape{}, nn::init::zeros());
  }
  Tensor forward(const Tensor& x) override {
    if (training()) calls = calls + 1.0;
    return x * weight;
  }
};

struct Pair : nn::Module {
  Scale first{3}, second{3};
  Tensor bias;
  Pair() {
    parameter("bias", bias, Shape{3}, nn::init::zeros());
    add("first", first);
    add("second", second);
  }
  Tensor forward(const Tensor& x) { return second(first(x)) + bias; }
};

using Names = std::vector<std::string>;
Names names(const std::vector<nn::Slot>& slots) {
  Names result;
  for (const auto& slot : slots) result.push_back(slot.name);
  return result;
}
}  // namespace

TEST(Module, NamesSlotsInTheOrderOfRegistration) {
  Pair pair;
  EXPECT_EQ(names(pair.named_slots()),
            (Names{"bias", "first.weight", "first.calls", "second.weight", "second.calls"}));
  EXPECT_EQ(names(pair.named_parameters()), (Names{"bias", "first.weight", "second.weight"}));
  EXPECT_EQ(names(pair.named_buffers()), (Names{"first.calls", "second.calls"}));
  EXPECT_EQ(pair.parameter_count(), 9);
}

TEST(Module, PathsOfNodes) {
  Pair pair;
  pair.set_name("pair");
  Tensor y = nn::callable(pair)(make_input({DType::f32, Shape{2, 3}}, "x"));
  EXPECT_EQ(y.node().path, "pair");
  EXPECT_EQ(y.node().inputs[0].node().path, "pair.second");
}

TEST(Module, ErrorsCarryThePath) {
  Pair pair;
  auto text = message([&] { nn::callable(pair)(make_input({DType::f32, Shape{2, 4}}, "x")); });
  EXPECT_TRUE(contains(text, "(at pair.first)"));
}

TEST(Module, StateDictGoesBothWays) {
  nn::manual_seed(1);
  Pair a, b;
  EXPECT_NE(host(a.first.weight), host(b.first.weight));
  b.load_state_dict(a.state_dict());
  EXPECT_EQ(host(a.first.weight), host(b.first.weight));
}

TEST(Module, LoadListsEveryFault) {
  Pair pair;
  auto state = pair.state_dict();
  state.erase("first.weight");
  state["third.weight"] = Tensor(1.0);
  state["bias"] = Tensor::from_values<float>({1, 2}, Shape{2});
  auto before = host(pair.second.weight);
  state["second.weight"] = Tensor::from_values<float>({1, 2, 3}, Shape{3});
  auto text = message([&] { pair.load_state_dict(state); });
  EXPECT_TRUE(contains(text, "missing: first.weight"));
  EXPECT_TRUE(contains(text, "not known: third.weight"));
  EXPECT_TRUE(contains(text, "bias (2 in the state, 3 in the model)"));
  EXPECT_EQ(host(pair.second.weight), before);
}

TEST(Module, InitialiseDependsOnSeedAndNameAlone) {
  Pair a, b;
  a.initialise(7);
  b.initialise(7);
  EXPECT_EQ(host(a.first.weight), host(b.first.weight));
  EXPECT_NE(host(a.first.weight), host(a.second.weight));
  b.initialise(8);
  EXPECT_NE(host(a.first.weight), host(b.first.weight));
}

TEST(Module, TrainModeReachesChildren) {
  Pair pair;
  pair.eval();
  EXPECT_FALSE(pair.second.training());
  pair.train();
  EXPECT_TRUE(pair.second.training());
}

TEST(Module, NamesAreUniqueAndChildrenAddedOnce) {
  struct Twice : nn::Module {
    Scale scale{1};
    Twice() {
      add("scale", scale);
      add("scale", scale);
    }
  };
  EXPECT_TRUE(contains(message([] { Twice twice; }), "'scale' is registered twice"));
}

TEST(ModuleTrace, ReplacesSlotsAndRestoresThem) {
  Pair pair;
  Tensor weight = pair.first.weight, calls = pair.first.calls;
  auto forward = nn::callable(pair);
  Tensor x = make_input({DType::f32, Shape{2, 3}}, "x");
  auto trace = nn::trace_module(pair, [&] { return std::vector<Tensor>{forward(x)}; });
  ASSERT_EQ(trace.parameters.size(), 3u);
  ASSERT_EQ(trace.buffers.size(), 2u);
  EXPECT_TRUE(trace.parameters[1].node().is(op::input));
  EXPECT_EQ(trace.parameters[1].node().attr<InputAttrs>().name, "first.weight");
  EXPECT_FALSE(trace.new_buffers[0] == trace.buffers[0]);
  EXPECT_TRUE(pair.first.weight == weight);
  EXPECT_TRUE(pair.first.calls == calls);
  pair.eval();
  trace = nn::trace_module(pair, [&] { return std::vector<Tensor>{forward(x)}; });
  EXPECT_TRUE(trace.new_buffers[0] == trace.buffers[0]);
}

TEST(ModuleTrace, RestoresOnErrors) {
  Pair pair;
  Tensor weight = pair.first.weight;
  EXPECT_THROW(nn::trace_module(pair, [&]() -> std::vector<Tensor> { throw UserError("x"); }),
               UserError);
  EXPECT_TRUE(pair.first.weight == weight);
  EXPECT_TRUE(contains(message([&] {
                         nn::trace_module(pair, [&] {
                           pair.bias = pair.bias + 1.0;
                           return std::vector<Tensor>{};
                         });
                       }),
                       "parameter 'bias' was assigned"));
}
