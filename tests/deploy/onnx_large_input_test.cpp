#include <gtest/gtest.h>

#include "tests/deploy/onnx_errors.h"
#include "tests/io/limits.h"

// ONNX files that hold more than their size suggests, or ask for long computations while they are
// read: each is read or refused within HostileFileLimits.
namespace wafer {
namespace {
using namespace testing;

class OnnxLargeInput : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!onnx::available()) GTEST_SKIP() << "built without ONNX";
  }
};

std::string error_of(const GraphParts& parts, const std::string& what, uint64_t opset = 17) {
  return error_of_model(model_bytes(graph_message(parts), opset), what);
}

// Nodes of one operator in a row; `others` stand after each one's first input.
GraphParts chain(const std::string& op, int nodes, const std::vector<std::string>& others = {}) {
  GraphParts parts;
  for (int i = 0; i < nodes; ++i) {
    std::vector<std::string> inputs = {i ? str("n", i - 1) : "x"};
    inputs.insert(inputs.end(), others.begin(), others.end());
    parts.nodes.push_back(node_message(op, inputs, {str("n", i)}));
  }
  parts.inputs = {info_message("x", {-1, 2})};
  parts.outputs = {info_message(str("n", nodes - 1), {-1, 2})};
  return parts;
}

TEST_F(OnnxLargeInput, ManyNodesAreReadOrRefused) {
  EXPECT_EQ(error_of(chain("Relu", 45000), "45,000 nodes"), "");
  expect_words(error_of(chain("Relu", 300000), "300,000 nodes"),
               {"model.onnx", "300,000 nodes", "MiB", "at most", "Loop"});
  // Those that the file may hold may still record more than it may make.
  expect_words(error_of(chain("Relu", 70000), "70,000 nodes"), {"(Relu)", "graph", "wafer infer"});
  expect_words(error_of(chain("Identity", 200000), "200,000 nodes"), {"200,000 nodes"});
}

TEST_F(OnnxLargeInput, AModelOfTwentyThousandNodesIsRead) {
  // With names as PyTorch writes them, and the types of all values.
  std::string path = "/model/encoder/layers.%/self_attention/rotary_embedding/";
  GraphParts parts;
  parts.inputs = {info_message("x", {-1, 2})};
  std::string last = "x";
  std::vector<Message> types;
  for (int i = 0; i < 20000; ++i) {
    std::string name = str(path, "Mul_", i, "_output_0");
    parts.nodes.push_back(node_message("Mul", {last, "x"}, {name}, {}, str(path, "Mul_", i)));
    types.push_back(info_message(name, {-1, 2}));
    last = name;
  }
  parts.outputs = {info_message(last, {-1, 2})};
  Message graph = graph_message(parts);
  for (const Message& type : types) graph.message(13, type);
  std::string bytes = model_bytes(graph);
  HostileFileLimits limits(bytes.size(), "20,000 nodes with types");
  onnx::Session session(onnx::parse_model(view(bytes), "model.onnx"));
  EXPECT_EQ(session.graph(session.input_types({}, 3)).outputs.size(), 1u);
}

TEST_F(OnnxLargeInput, WeightsOfAnyFieldAreRead) {
  // As raw_data, and as float_data, which some converters write.
  for (int field : {9, 4}) {
    constexpr int64_t columns = 10'000'000;
    std::vector<float> values(2 * columns, 0.5f);
    std::string data(reinterpret_cast<const char*>(values.data()), values.size() * 4);
    GraphParts parts;
    parts.nodes = {node_message("MatMul", {"x", "w"}, {"y"})};
    parts.initializers = {
        Message().number(1, 2).number(1, columns).number(2, 1).text(8, "w").text(field, data)};
    parts.inputs = {info_message("x", {-1, 2})};
    parts.outputs = {info_message("y", {-1, columns})};
    EXPECT_EQ(error_of(parts, str("weights in field ", field)), "");
  }
}

TEST_F(OnnxLargeInput, WeightsAsIntegersAreRead) {
  // As int32_data, which some converters write 8-bit integers and half floats to: more in memory
  // than in the file while they are read.
  for (uint64_t type : {2, 3, 10}) {
    constexpr int64_t columns = 4'000'000;
    GraphParts parts;
    parts.nodes = {node_message("Identity", {"w"}, {"y"})};
    parts.initializers = {Message().number(1, 2).number(1, columns).number(2, type).text(8, "w")};
    parts.initializers[0].text(5, std::string(2 * columns, '\1'));
    parts.outputs = {info_message("y", {2, columns}, type)};
    std::string bytes = model_bytes(graph_message(parts));
    EXPECT_EQ(onnx::parse_model(view(bytes), "model.onnx")->graph.initializers.size(), 1u);
  }
}

TEST_F(OnnxLargeInput, SequencesInARowAreRefused) {
  GraphParts parts = chain("SequenceInsert", 6000, {"x"});
  parts.nodes[0] = node_message("SequenceConstruct", {"x"}, {"n0"});
  parts.nodes.push_back(node_message("SequenceLength", {"n5999"}, {"y"}));
  parts.outputs = {info_message("y", {}, 7)};
  expect_words(error_of(parts, "6,000 inserts"), {"(SequenceInsert)", "16 MiB"});
  parts = chain("SequenceConstruct", 6000);
  expect_words(error_of(parts, "6,000 levels"), {"'n1' (SequenceConstruct)", "sequence of 1"});
  parts = chain("SequenceConstruct", 200000);
  expect_words(error_of(parts, "200,000 levels"), {"200,000 nodes"});
  parts = chain("SplitToSequence", 1, {"one"});
  parts.initializers = {integers_message("one", {1}, true)};
  parts.inputs = {info_message("x", {100000, 2})};
  parts.nodes.push_back(node_message("SequenceLength", {"n0"}, {"y"}));
  parts.outputs = {info_message("y", {}, 7)};
  expect_words(error_of(parts, "100,000 parts"), {"(SplitToSequence)", "100000 parts"});
}

// y = Relu(x), to which a test adds what is many.
GraphParts plain_large() {
  GraphParts parts = chain("Relu", 1);
  parts.outputs = {info_message("n0", {-1, 2})};
  return parts;
}

TEST_F(OnnxLargeInput, WhatIsSmallInAFileIsCountedBeforeItIsRead) {
  GraphParts parts = plain_large();
  parts.nodes.assign(1000000, Message());
  expect_words(error_of(parts, "empty nodes"), {"1,000,000 nodes"});
  parts = plain_large();
  parts.nodes.push_back(node_message("Sum", std::vector<std::string>(2000000, ""), {"y"}));
  expect_words(error_of(parts, "empty names"), {"2,000,0", "names and texts"});
  parts = plain_large();
  parts.nodes.push_back(node_message("Sum", std::vector<std::string>(200000, "x"), {"y"}));
  expect_words(error_of(parts, "inputs of a node"), {"model.onnx", "200,0"});
  std::vector<std::string> names;
  for (int i = 0; i < 100000; ++i) names.push_back(str("o", i));
  parts = plain_large();
  parts.inputs = {info_message("x", {100000, 2})};
  parts.nodes.push_back(node_message("Split", {"x"}, names));
  expect_words(error_of(parts, "outputs of a node", 13), {"model.onnx", "100,0"});
  parts = plain_large();
  for (int i = 0; i < 200000; ++i) parts.initializers.push_back(tensor_message(names[0], {1}, {1}));
  expect_words(error_of(parts, "initializers"), {"at most", "raw_data"});
  parts = plain_large();
  for (int i = 0; i < 200000; ++i) parts.inputs.push_back(info_message(str("i", i), {2}));
  expect_words(error_of(parts, "inputs of the graph"), {"at most"});
  // 64-bit integers of a byte each: of an attribute, a tensor's data and its dimensions.
  std::string ones(6000000, '\1');
  parts = plain_large();
  parts.nodes.push_back(
      node_message("Relu", {"x"}, {"y"}, {Message().text(1, "axes").text(8, ones).number(20, 7)}));
  expect_words(error_of(parts, "integers of an attribute"), {"6,000,00", "raw data"});
  parts = plain_large();
  parts.initializers = {Message().number(1, 5999999).number(2, 7).text(8, "t").text(7, ones)};
  expect_words(error_of(parts, "integers of a tensor"), {"6,000,00", "raw data"});
  parts.initializers[0] = Message().number(1, 1 << 30).number(2, 7).text(8, "t").text(7, ones);
  expect_words(error_of(parts, "too few integers of a tensor"), {"6,000,00", "raw data"});
  parts.initializers = {Message().text(1, ones).number(2, 1).text(8, "t")};
  expect_words(error_of(parts, "dimensions"), {"6,000,00"});
}

TEST_F(OnnxLargeInput, SizesThatFollowFromSizesAreComputedOnce) {
  // Each size is read by a node of its own, and follows from the one before, which none reads.
  GraphParts parts;
  parts.initializers = {integers_message("n0", {1, 2}), integers_message("one", {1, 1}),
                        integers_message("zero", {0, 0})};
  for (int i = 1; i <= 300; ++i) {
    parts.nodes.push_back(node_message("Add", {str("n", i - 1), "zero"}, {str("n", i)}));
    parts.nodes.push_back(node_message("Mul", {str("n", i), "one"}, {str("m", i)}));
    parts.nodes.push_back(node_message("Expand", {"x", str("m", i)}, {str("e", i)}));
  }
  parts.inputs = {info_message("x", {-1, 2})};
  parts.outputs = {info_message("e300", {-1, 2})};
  EXPECT_EQ(error_of(parts, "300 sizes in a row"), "");
}

TEST_F(OnnxLargeInput, LittleIsComputedWhileAModelIsRead) {
  // Sizes from what takes long to compute: a product of matrices, and a loop without an end.
  GraphParts parts = chain("Reshape", 1, {"s"});
  parts.initializers = {integers_message("sizes", {2000, 2000}), integers_message("axes", {0, 1})};
  parts.nodes = {
      node_message("ConstantOfShape", {"sizes"}, {"a"}),
      node_message("MatMul", {"a", "a"}, {"b"}, {}, "product"),
      node_message("MatMul", {"b", "a"}, {"c"}),
      node_message("ReduceSum", {"c", "axes"}, {"t"}, {integer_attribute("keepdims", 0)}),
      node_message("Cast", {"t"}, {"s"}, {integer_attribute("to", 7)}),
      node_message("Expand", {"x", "s"}, {"n0"})};
  expect_words(error_of(parts, "products of matrices"), {"(Expand)", "while the model is read"});

  Message body = graph_message(
      {{node_message("Identity", {"c"}, {"d"}), node_message("Add", {"s", "s"}, {"t"})},
       {},
       {info_message("i", {}, 7), info_message("c", {}, 9), info_message("s", {})},
       {info_message("d", {}, 9), info_message("t", {})}});
  Message go;
  go.number(2, 9).text(8, "go").text(9, std::string(1, '\1'));
  parts.initializers = {go, tensor_message("zero", {}, {0})};
  parts.nodes = {node_message("Loop", {"", "go", "zero"}, {"t"}, {graph_attribute("body", body)}),
                 node_message("Cast", {"t"}, {"s"}, {integer_attribute("to", 7)}),
                 node_message("Expand", {"x", "s"}, {"n0"})};
  expect_words(error_of(parts, "a loop without an end"), {"(Expand)", "length is not known"});
}
}  // namespace
}  // namespace wafer
