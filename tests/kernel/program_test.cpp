#include "wafer/kernel/program.h"

#include <gtest/gtest.h>

#include "wafer/op/activation.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/layout.h"
#include "wafer/op/op.h"
#include "wafer/op/shape_ops.h"

namespace wafer {
namespace {

using kernel::build_program;

Graph graph_of(std::vector<Tensor> inputs, std::vector<Tensor> outputs) {
  return {std::move(inputs), std::move(outputs), {}};
}
std::vector<Type> types(const std::vector<Tensor>& values) {
  std::vector<Type> result;
  for (const Tensor& value : values) result.push_back(value.type());
  return result;
}
std::string text(const Graph& graph) {
  return print(build_program(graph, types(graph.inputs), types(graph.outputs)));
}

TEST(Program, MultiplicationAndAdditionBecomeOneInstruction) {
  Tensor x = make_input({DType::f32, {8, 16}}, "x");
  Tensor b = make_input({DType::f32, {16}}, "b");
  EXPECT_EQ(text(graph_of({x, b}, {x * 2.0 + b})),
            "loop [8, 16]\n"
            "  @0 = input 0 f32 [16, 1]\n"
            "  @1 = input 1 f32 [0, 1]\n"
            "  %0 = load.f32 @0\n"
            "  %1 = constant.f32 2\n"
            "  %2 = load.f32 @1\n"
            "  %3 = fma.f32 %0, %1, %2\n"
            "  output 0 f32 = %3\n");
}

TEST(Program, DimensionsWalkedAsOneAreJoined) {
  Tensor x = make_input({DType::f32, {8, 3, 5, 7}}, "x");
  Tensor y = make_input({DType::f32, {8, 3, 5, 7}}, "y");
  EXPECT_EQ(text(graph_of({x, y}, {x * y})),
            "loop [840]\n"
            "  @0 = input 0 f32 [1]\n"
            "  @1 = input 1 f32 [1]\n"
            "  %0 = load.f32 @0\n"
            "  %1 = load.f32 @1\n"
            "  %2 = mul.f32 %0, %1\n"
            "  output 0 f32 = %2\n");
}

TEST(Program, ChannelsLastWalksChannelsInnermost) {
  Type type{DType::f32, {2, 3, 4, 5}, Layout::channels_last};
  Tensor x = make_input(type, "x");
  Tensor scale = make_input({DType::f32, {1, 3, 1, 1}}, "scale");
  Tensor y = x * scale;
  kernel::Program program = build_program(graph_of({x, scale}, {y}), {type, scale.type()}, {type});
  EXPECT_EQ(program.sizes, (std::vector<int64_t>{40, 3}));
  ASSERT_EQ(program.accesses.size(), 2u);
  EXPECT_TRUE(program.is_dense(program.accesses[0]));
  EXPECT_EQ(program.accesses[1].strides, (std::vector<int64_t>{0, 1}));
}

TEST(Program, ReshapeOfOnesAndBroadcastAreStrides) {
  Tensor x = make_input({DType::f32, {4, 6}}, "x");
  Tensor rows = make_input({DType::f32, {4}}, "rows");
  Tensor y = x - broadcast_to(reshape(rows, Shape{4, 1}), Shape{4, 6});
  kernel::Program program =
      build_program(graph_of({x, rows}, {y}), {x.type(), rows.type()}, {y.type()});
  EXPECT_EQ(program.sizes, (std::vector<int64_t>{4, 6}));
  EXPECT_EQ(program.accesses[1].strides, (std::vector<int64_t>{1, 0}));
}

TEST(Program, ASliceIsAnOffsetAndStrides) {
  Tensor x = make_input({DType::f32, {8, 32}}, "x");
  EXPECT_EQ(text(graph_of({x}, {neg(slice(x, {2, 4}, {8, 20}, {3, 2}))})),
            "loop [2, 8]\n"
            "  @0 = input 0 f32 [96, 2] from 68\n"
            "  %0 = load.f32 @0\n"
            "  %1 = neg.f32 %0\n"
            "  output 0 f32 = %1\n");
  EXPECT_NE(text(graph_of({x}, {neg(narrow(x, 0, 3, 5))})).find("f32 [1] from 96"),
            std::string::npos);
}

TEST(Program, AConstantIsTheSameThroughEveryBroadcast) {
  Tensor x = make_input({DType::f32, {6, 3}}, "x");
  Tensor weight = broadcast_to(Tensor(2.0), Shape{3});
  Tensor y = x * broadcast_to(reshape(weight, Shape{1, 3}), Shape{6, 3});
  EXPECT_EQ(text(graph_of({x}, {y})),
            "loop [18]\n"
            "  @0 = input 0 f32 [1]\n"
            "  %0 = load.f32 @0\n"
            "  %1 = constant.f32 2\n"
            "  %2 = mul.f32 %0, %1\n"
            "  output 0 f32 = %2\n");
}

TEST(Program, EqualInstructionsAreOneAndUnusedOutputsVanish) {
  Tensor x = make_input({DType::f32, {10}}, "x");
  Tensor a = exp(x) + exp(x), b = tanh(x);
  kernel::Program program =
      build_program(graph_of({x}, {a, b}), {x.type()}, {a.type(), b.type()}, {true, false});
  EXPECT_EQ(print(program),
            "loop [10]\n"
            "  @0 = input 0 f32 [1]\n"
            "  %0 = load.f32 @0\n"
            "  %1 = exp.f32 %0\n"
            "  %2 = add.f32 %1, %1\n"
            "  output 0 f32 = %2\n"
            "  output 1 unused\n");
}

TEST(Program, SelectionsAndConversionsFold) {
  Tensor x = make_input({DType::u8, {10}}, "x");
  Tensor real = cast(x, DType::f32) / 256.0;
  Tensor y = where(greater(real, 0.5), real, scalar_like(real, 0));
  EXPECT_EQ(text(graph_of({x}, {cast(y, DType::bf16)})),
            "loop [10]\n"
            "  @0 = input 0 u8 [1]\n"
            "  %0 = constant.f32 0.5\n"
            "  %1 = load.f32 @0\n"
            "  %2 = constant.f32 0.00390625\n"
            "  %3 = mul.f32 %1, %2\n"
            "  %4 = constant.f32 0\n"
            "  %5 = where_less.f32 %0, %3, %3, %4\n"
            "  output 0 bf16 = %5\n");
}

TEST(Program, NarrowIntegersWrap) {
  Tensor x = make_input({DType::i8, {10}}, "x");
  EXPECT_EQ(text(graph_of({x}, {x + x})),
            "loop [10]\n"
            "  @0 = input 0 i8 [1]\n"
            "  %0 = load.i64 @0\n"
            "  %1 = add.i64 %0, %0\n"
            "  %2 = wrap.i64 %1 i8\n"
            "  output 0 i8 = %2\n");
}

TEST(Program, FusedNodeUsesItsSubgraph) {
  Tensor x = make_input({DType::f32, {5}}, "x");
  auto group = std::make_shared<Graph>(graph_of({x}, {relu(x)}));
  Tensor argument = make_input({DType::f32, {5}}, "argument");
  Tensor y = fuse(group, {argument})[0];
  kernel::Program program = build_program(y.node());
  ASSERT_EQ(program.instructions.size(), 3u);
  EXPECT_EQ(program.instructions[2].code, kernel::Code::maximum);
}

}  // namespace
}  // namespace wafer
