#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <random>

#include "tests/deploy/onnx_errors.h"
#include "tests/io/helpers.h"
#include "wafer/io/file.h"

// ONNX files that nobody should be hurt by: each gives a clear error, within HostileFileLimits.
namespace wafer {
namespace {
using namespace testing;
namespace fs = std::filesystem;

class OnnxBadInput : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!onnx::available()) GTEST_SKIP() << "built without ONNX";
  }
};

// y = x w + x, which is right.
GraphParts plain() {
  GraphParts parts;
  parts.nodes = {node_message("MatMul", {"x", "w"}, {"h"}), node_message("Add", {"h", "x"}, {"y"})};
  parts.initializers = {tensor_message("w", {2, 2}, {1, 2, 3, 4})};
  parts.inputs = {info_message("x", {-1, 2})};
  parts.outputs = {info_message("y", {-1, 2})};
  return parts;
}
std::string bytes_of(const GraphParts& parts, uint64_t opset = 17, uint64_t ir = 8) {
  return model_bytes(graph_message(parts), opset, ir);
}

std::string error_of(const std::string& bytes) {
  return error_of_model(bytes, str("a model of ", bytes.size(), " bytes"));
}

void expect_parts(const std::string& text, std::vector<std::string> parts) {
  parts.emplace_back("model.onnx");
  expect_words(text, parts);
}

TEST_F(OnnxBadInput, TheWholeModelIsRight) {
  EXPECT_EQ(error_of(bytes_of(plain())), "");
}

TEST_F(OnnxBadInput, EveryTruncationIsAnError) {
  std::string whole = bytes_of(plain());
  for (size_t length = 0; length < whole.size(); ++length)
    EXPECT_NE(error_of(whole.substr(0, length)), "") << length;
}

TEST_F(OnnxBadInput, ChangedBytesNeverCrash) {
  std::string whole = bytes_of(plain());
  std::mt19937 random(7);
  int errors = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string changed = whole;
    for (unsigned k = 0; k < 1 + random() % 4; ++k)
      changed[random() % changed.size()] = static_cast<char>(random());
    try {
      errors += !error_of(changed).empty();
    } catch (const std::exception& error) {
      ADD_FAILURE() << i << ": no UserError: " << error.what();
    }
  }
  EXPECT_GT(errors, 1000);
}

TEST_F(OnnxBadInput, NamesAreMadeOnceAndBeforeTheyAreRead) {
  GraphParts parts = plain();
  parts.nodes = {node_message("Add", {"b", "x"}, {"a"}, {}, "first"),
                 node_message("Relu", {"a"}, {"b"}), node_message("Relu", {"b"}, {"y"})};
  expect_parts(error_of(bytes_of(parts)), {"'first' (Add)", "reads 'b'", "cycle"});
  parts = plain();
  parts.nodes.push_back(node_message("Relu", {"h"}, {"y"}));
  expect_parts(error_of(bytes_of(parts)), {"'y'", "there already"});
  parts = plain();
  parts.nodes[1] = node_message("Add", {"h", "nothing"}, {"y"});
  expect_parts(error_of(bytes_of(parts)), {"'nothing'", "nothing makes"});
  parts = plain();
  parts.outputs = {info_message("z", {2})};
  expect_parts(error_of(bytes_of(parts)), {"output 'z'", "made by no node"});
  parts = plain();
  parts.inputs.push_back(parts.inputs[0]);
  expect_parts(error_of(bytes_of(parts)), {"input 'x'", "twice"});
  parts = plain();
  parts.initializers.push_back(parts.initializers[0]);
  expect_parts(error_of(bytes_of(parts)), {"initializer 'w'", "twice"});
}

TEST_F(OnnxBadInput, OperatorsAndVersionsAreKnown) {
  GraphParts parts = plain();
  parts.nodes[0] = node_message("MatMull", {"x", "w"}, {"h"});
  expect_parts(error_of(bytes_of(parts)), {"MatMull", "did you mean 'MatMul'"});
  expect_parts(error_of(bytes_of(plain(), 99)), {"operator set 99", "version_converter"});
  expect_parts(error_of(bytes_of(plain(), 17, 77)), {"IR version 77"});
  expect_parts(error_of(bytes_of(plain(), 0)), {"operator set 0"});
  parts = plain();
  parts.nodes[1] = node_message("Gelu", {"h"}, {"y"});
  expect_parts(error_of(bytes_of(parts, 17)), {"Gelu", "came with version 20"});
  parts.nodes[1] = node_message("Softmax", {"h"}, {"y"}, {integer_attribute("axes", 1)});
  expect_parts(error_of(bytes_of(parts)), {"Softmax", "'axes'", "did you mean 'axis'"});
  parts.nodes[1] =
      node_message("Softmax", {"h"}, {"y"}, {Message().text(1, "axis").real(2, 1).number(20, 1)});
  expect_parts(error_of(bytes_of(parts)), {"'axis'", "wrong type"});
  parts.nodes[1] = node_message("Add", {"h"}, {"y"});
  expect_parts(error_of(bytes_of(parts)), {"(Add)", "1 inputs; expected 2 to 2"});
}

TEST_F(OnnxBadInput, ShapesThatDoNotFitNameTheNode) {
  GraphParts parts = plain();
  parts.initializers = {tensor_message("w", {3, 2}, {1, 2, 3, 4, 5, 6})};
  expect_parts(error_of(bytes_of(parts)), {"(MatMul)", "version 13", "3x2"});
}

TEST_F(OnnxBadInput, TensorsAreCheckedBeforeMemoryIsTaken) {
  auto with = [](const Message& tensor) {
    GraphParts parts = plain();
    parts.initializers = {tensor};
    return error_of(bytes_of(parts));
  };
  int64_t huge = int64_t{1} << 40;
  expect_parts(with(tensor_message("w", {huge, 2}, {1})), {"'w'", "4 bytes", "takes"});
  expect_parts(with(tensor_message("w", {huge, huge}, {1})), {"'w'", "beyond any memory"});
  expect_parts(with(tensor_message("w", {-2, 2}, {1, 2, 3, 4})), {"'w'", "dimension of -2"});
  expect_parts(with(tensor_message("w", {2, 2}, {1, 2, 3})), {"'w'", "12 bytes", "takes 16"});
  expect_parts(with(tensor_message("w", std::vector<int64_t>(9, 1), {1})), {"9 dimensions"});
  Message typed;
  typed.number(1, 1).number(2, 99).text(8, "w");
  expect_parts(with(typed), {"'w'", "type 99"});
}

TEST_F(OnnxBadInput, LargeFilesAreRefusedAsFastAsSmallOnes) {
  // 48 MiB of weights, whole, cut short, and below a node that nobody knows.
  int64_t side = 3584;
  GraphParts parts = plain();
  parts.initializers.push_back(tensor_message(
      "big", {side, side}, std::vector<float>(static_cast<size_t>(side * side), 0.5f)));
  std::string whole = bytes_of(parts);
  EXPECT_NE(error_of(whole.substr(0, whole.size() - 1)), "");
  EXPECT_NE(error_of(whole.substr(0, whole.size() / 2)), "");
  parts.nodes.push_back(node_message("Nonsense", {"big"}, {"z"}));
  expect_parts(error_of(bytes_of(parts)), {"Nonsense"});
  parts.nodes.back() = node_message("MatMul", {"big", "w"}, {"z"}, {}, "last");
  parts.outputs.push_back(info_message("z", {side, 2}));
  expect_parts(error_of(bytes_of(parts)), {"'last'", "3584x3584"});

  // 20,000 nodes in a row, of which the last closes a cycle, or reads a shape that does not fit.
  parts = plain();
  parts.nodes = {node_message("Relu", {"x"}, {"n0"})};
  for (int i = 1; i < 20000; ++i)
    parts.nodes.push_back(node_message("Relu", {str("n", i - 1)}, {str("n", i)}));
  parts.nodes[0] = node_message("Add", {"x", "n19999"}, {"n0"});
  parts.nodes.push_back(node_message("Relu", {"n19999"}, {"y"}));
  expect_parts(error_of(bytes_of(parts)), {"cycle"});
  parts.nodes[0] = node_message("Relu", {"x"}, {"n0"});
  parts.initializers = {tensor_message("w", {3, 2}, {1, 2, 3, 4, 5, 6})};
  parts.nodes.back() = node_message("MatMul", {"n19999", "w"}, {"y"});
  expect_parts(error_of(bytes_of(parts)), {"(MatMul)", "3x2"});
}

TEST_F(OnnxBadInput, DoublingSizesAreRefused) {
  // Each node doubles its input: 60 of them would ask for 2^61 numbers.
  GraphParts parts = plain();
  parts.nodes = {node_message("Concat", {"x", "x"}, {"n0"}, {integer_attribute("axis", 1)})};
  for (int i = 1; i < 60; ++i)
    parts.nodes.push_back(node_message("Concat", {str("n", i - 1), str("n", i - 1)}, {str("n", i)},
                                       {integer_attribute("axis", 1)}));
  parts.outputs = {info_message("n59", {-1, -1})};
  expect_parts(error_of(bytes_of(parts)), {"(Concat)"});
  // The same of constants, which are computed while the model is read.
  parts.nodes[0] = node_message("Concat", {"w", "w"}, {"n0"}, {integer_attribute("axis", 1)});
  expect_parts(error_of(bytes_of(parts)), {"(Concat)"});
}

TEST_F(OnnxBadInput, HugeSizesFromConstantsAreRefused) {
  // A tensor of 2^50 numbers, asked for by a constant.
  int64_t size = int64_t{1} << 50;
  Message shape;
  shape.number(1, 1).number(2, 7).text(8, "s");
  shape.text(9, std::string(reinterpret_cast<const char*>(&size), 8));
  GraphParts parts;
  parts.nodes = {node_message("ConstantOfShape", {"s"}, {"y"}, {}, "big")};
  parts.initializers = {shape};
  parts.outputs = {info_message("y", {-1})};
  expect_parts(error_of(bytes_of(parts)), {"'big'", "too large"});
}

TEST_F(OnnxBadInput, DeepNestingIsAnError) {
  Message inner =
      graph_message({{node_message("Relu", {"x"}, {"r"})}, {}, {}, {info_message("r", {2})}});
  for (int i = 0; i < 200; ++i) {
    auto attribute = graph_attribute("then_branch", inner);
    inner = graph_message({{node_message("If", {"x"}, {"r"}, {attribute})}, {}, {}, {}});
  }
  GraphParts parts = plain();
  parts.nodes.push_back(node_message("If", {"x"}, {"q"}, {graph_attribute("then_branch", inner)}));
  expect_parts(error_of(bytes_of(parts)), {"nested"});
}

TEST_F(OnnxBadInput, FunctionsThatCallThemselvesAreErrors) {
  // From within a branch of an If.
  Message branch =
      graph_message({{call_message("d", "f", {"c"}, {"q"})}, {}, {}, {info_message("q", {})}});
  Message choice = node_message(
      "If", {"c"}, {"b"},
      {graph_attribute("then_branch", branch), graph_attribute("else_branch", branch)});
  GraphParts parts;
  parts.nodes = {call_message("d", "f", {"x"}, {"y"})};
  parts.inputs = {info_message("x", {}, 9)};
  parts.outputs = {info_message("y", {}, 9)};
  expect_parts(error_of(model_bytes(graph_message(parts),
                                    {function_message("d", "f", {"c"}, {"b"}, {choice})})),
               {"function 'f' calls itself"});
}

TEST_F(OnnxBadInput, FunctionsThatDoubleAreRefusedInTime) {
  // f0 calls f1 twice, which calls f2 twice, ...: 2^27 nodes.
  std::vector<Message> functions;
  for (int i = 0; i < 27; ++i) {
    std::string next = str("f", i + 1);
    functions.push_back(function_message(
        "d", str("f", i), {"a"}, {"b"},
        {call_message("d", next, {"a"}, {"t"}), call_message("d", next, {"t"}, {"b"})}));
  }
  functions.push_back(
      function_message("d", "f27", {"a"}, {"b"}, {node_message("Identity", {"a"}, {"b"})}));
  GraphParts parts = plain();
  EXPECT_EQ(error_of(model_bytes(graph_message(parts), functions)), "");  // no call of them
  parts.nodes = {call_message("d", "f0", {"x"}, {"y"})};
  expect_parts(error_of(model_bytes(graph_message(parts), functions)), {"more than 100000 nodes"});
}

// s = s + s, `trips` times; below: what the body does instead.
Message loop_body(const Message& node) {
  return graph_message(
      {{node_message("Identity", {"c"}, {"d"}), node},
       {},
       {info_message("i", {}, 7), info_message("c", {}, 9), info_message("s", {2})},
       {info_message("d", {}, 9), info_message("t", {2})}});
}
GraphParts looped(const Message& body, const Message& trips) {
  Message go;
  go.number(2, 9).text(8, "go").text(9, std::string(1, '\1'));
  GraphParts parts;
  parts.nodes = {node_message("Loop", {"n", "go", "x"}, {"y"}, {graph_attribute("body", body)})};
  parts.initializers = {trips, go};
  parts.inputs = {info_message("x", {2})};
  parts.outputs = {info_message("y", {2})};
  return parts;
}

TEST_F(OnnxBadInput, LongLoopsAreNotUnrolled) {
  Message plus = loop_body(node_message("Add", {"s", "s"}, {"t"}));
  Message within =
      loop_body(node_message("Loop", {"n", "c", "s"}, {"t"}, {graph_attribute("body", plus)}));
  for (const Message& body : {plus, within})
    EXPECT_EQ(error_of(bytes_of(looped(body, integers_message("n", {90000}, true)))), "");
  Message sum = loop_body(node_message("Add", {"s", "x"}, {"t"}));
  onnx::Session session(onnx::parse_model(
      view(bytes_of(looped(sum, integers_message("n", {1000}, true)))), "model.onnx"));
  auto outputs = session.run({Tensor::from_values<float>({1, 2}, Shape{2})}).values;
  EXPECT_EQ(outputs.at(0).tensor.data<float>(), (std::vector<float>{1001, 2002}));
  // Sizes that change with each step cannot be in one node's body.
  Message grows =
      loop_body(node_message("Concat", {"s", "s"}, {"t"}, {integer_attribute("axis", 0)}));
  expect_parts(error_of(bytes_of(looped(grows, integers_message("n", {90000}, true)))),
               {"(Concat)", "larger than any memory"});
}

TEST_F(OnnxBadInput, EmptyTensorsWhereANumberIsExpected) {
  auto with = [](const Message& node) {
    GraphParts parts = plain();
    parts.nodes = {node};
    parts.initializers = {integers_message("e", {}), tensor_message("v", {2}, {0, 1})};
    return error_of(bytes_of(parts));
  };
  expect_parts(with(node_message("TopK", {"x", "e"}, {"y", "z"})), {"(TopK)", "one integer"});
  expect_parts(with(node_message("CumSum", {"x", "e"}, {"y"})), {"(CumSum)", "one integer"});
  expect_parts(with(node_message("Trilu", {"x", "e"}, {"y"})), {"(Trilu)", "one integer"});
  expect_parts(with(node_message("OneHot", {"x", "e", "v"}, {"y"})), {"(OneHot)", "one number"});
  expect_parts(with(node_message("Range", {"e", "e", "e"}, {"y"})), {"(Range)", "one number"});
  expect_parts(with(node_message("Einsum", {"x"}, {"y"}, {text_attribute("equation", "ij->z")})),
               {"(Einsum)"});
  Message body = loop_body(node_message("Add", {"s", "s"}, {"t"}));
  expect_parts(error_of(bytes_of(looped(body, integers_message("n", {})))),
               {"(Loop)", "one integer"});
}

// Of importing a model that matches one text.
std::string error_of_matching(const std::string& pattern, const std::string& text) {
  GraphParts parts;
  parts.nodes = {
      node_message("RegexFullMatch", {"s"}, {"y"}, {text_attribute("pattern", pattern)})};
  parts.initializers = {strings_message("s", {text})};
  parts.outputs = {info_message("y", {1}, 9)};
  return error_of(bytes_of(parts, 20));
}

TEST_F(OnnxBadInput, RegularExpressionsTakeLinearTime) {
  EXPECT_EQ(error_of_matching("(a+)+$", std::string(32, 'a') + "b"), "");
  EXPECT_EQ(error_of_matching("(((((((((a|b)|c)|d)|e)|f)|g)|h)|i)|j)*", std::string(100000, 'a')),
            "");
  expect_parts(error_of_matching("((a?){500})*", std::string(100000, 'a')), {"steps"});
  expect_parts(error_of_matching("(\\pL{900})", "a"), {"(RegexFullMatch)", "pattern too large"});
}

TEST_F(OnnxBadInput, RegularExpressionsWithMistakesAreNamed) {
  for (const char* bad : {"(a", "a)", "[a", "+a", "a{2,1}", "(?=a)", "((a{1,200}){1,200}){1,200}",
                          "\\1", "[z-a]", "a\\"})
    expect_parts(error_of_matching(bad, "a"), {"(RegexFullMatch)", std::string("'") + bad + "'"});
  expect_parts(error_of_matching(std::string(2000, '('), "a"), {"(RegexFullMatch)"});
}

TEST_F(OnnxBadInput, SmallFilesHoldLittleOnTheHost) {
  auto with = [](const std::vector<Message>& nodes, const std::vector<Message>& initializers,
                 int opset = 20) {
    GraphParts parts;
    parts.nodes = nodes;
    parts.initializers = initializers;
    parts.inputs = {info_message("x", {int64_t{1} << 40})};
    parts.outputs = {info_message("y", {2})};
    return error_of(bytes_of(parts, static_cast<uint64_t>(opset)));
  };
  Message size = integers_message("n", {int64_t{1} << 29}), one = integers_message("p", {1}, true);
  expect_parts(with({node_message("ConstantOfShape", {"n"}, {"t"}),
                     node_message("NonZero", {"t"}, {"y"}, {}, "big")},
                    {size}),
               {"'big' (NonZero)", "536870912 numbers"});
  expect_parts(with({node_message("SplitToSequence", {"x", "p"}, {"q"}),
                     node_message("SequenceLength", {"q"}, {"y"})},
                    {one}),
               {"(SplitToSequence)", "parts"});
  expect_parts(with({node_message("SequenceConstruct", {"p"}, {"q"}),
                     node_message("SequenceConstruct", {"q", "q"}, {"r"}),
                     node_message("SequenceLength", {"r"}, {"y"})},
                    {one}),
               {"(SequenceConstruct)", "sequence of 1"});
  // Texts that double, and rows that are as long as the longest of them.
  std::vector<Message> nodes = {node_message("StringConcat", {"s", "s"}, {"s0"})};
  for (int i = 1; i < 40; ++i)
    nodes.push_back(
        node_message("StringConcat", {str("s", i - 1), str("s", i - 1)}, {str("s", i)}));
  nodes.push_back(node_message("StringSplit", {"s39"}, {"z", "y"}));
  auto of_strings = [](const std::vector<Message>& nodes, const std::vector<std::string>& texts) {
    GraphParts parts;
    parts.nodes = nodes;
    parts.initializers = {strings_message("s", texts)};
    parts.outputs = {info_message("y", {int64_t(texts.size())}, 7)};
    return error_of(bytes_of(parts, 20));
  };
  expect_parts(of_strings(nodes, {"0123456789abcdef"}), {"(StringConcat)", "16 MiB"});
  std::vector<std::string> texts(4000, "b");
  texts[0] = std::string(4000, 'a');
  expect_parts(of_strings({node_message("StringSplit", {"s"}, {"z", "y"},
                                        {text_attribute("delimiter", "a")})},
                          texts),
               {"(StringSplit)", "16 MiB"});
}

TEST_F(OnnxBadInput, TensorsShareNoOtherFileWithoutLimit) {
  TemporaryFolder folder;
  io::write_file_atomic(folder.path() / "w.bin", std::string(16, '\0'));
  auto open = [&](int tensors) {
    GraphParts parts = plain();
    parts.initializers.clear();
    for (int i = 0; i < tensors; ++i) {
      Message tensor;
      tensor.number(1, 2).number(1, 2).number(2, 1).text(8, i ? str("w", i) : "w").number(14, 1);
      parts.initializers.push_back(
          tensor.message(13, Message().text(1, "location").text(2, "w.bin")));
    }
    io::write_file_atomic(folder.path() / "model.onnx", bytes_of(parts));
    try {
      onnx::Session session(folder.path() / "model.onnx");
    } catch (const UserError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(open(2), "");
  expect_parts(open(3), {"'w2'", "twice the bytes"});
}

TEST_F(OnnxBadInput, OtherFilesLieInTheModelsFolder) {
  TemporaryFolder folder;
  fs::path inside = folder.path() / "model";
  fs::create_directories(inside / "data");
  std::string weights(16, '\0');
  io::write_file_atomic(folder.path() / "outside.bin", weights);
  io::write_file_atomic(inside / "data/w.bin", weights);
  io::write_file_atomic(inside / "two.bin", weights);
  fs::create_symlink(folder.path() / "outside.bin", inside / "link.bin");
  fs::create_directory_symlink(folder.path(), inside / "up");
  fs::create_hard_link(inside / "two.bin", inside / "hard.bin");
  auto open = [&](const std::string& location, int64_t offset = 0, int64_t length = 16) {
    auto entry = [](const std::string& key, const std::string& value) {
      return Message().text(1, key).text(2, value);
    };
    Message tensor;
    tensor.number(1, 2).number(1, 2).number(2, 1).text(8, "w").number(14, 1);
    tensor.message(13, entry("location", location)).message(13, entry("offset", str(offset)));
    tensor.message(13, entry("length", str(length)));
    GraphParts parts = plain();
    parts.initializers = {tensor};
    io::write_file_atomic(inside / "model.onnx", bytes_of(parts));
    try {
      onnx::Session session(inside / "model.onnx");
    } catch (const UserError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(open("data/w.bin"), "");
  expect_parts(open("../outside.bin"), {"'w'", "leaves the model's folder"});
  expect_parts(open("data/../../outside.bin"), {"leaves the model's folder"});
  expect_parts(open((folder.path() / "outside.bin").string()), {"relative"});
  expect_parts(open("link.bin"), {"link"});
  expect_parts(open("up/outside.bin"), {"link"});
  expect_parts(open("hard.bin"), {"several names"});
  expect_parts(open("data/w.bin", 8, 16), {"bytes 8 to 24 of a file of 16"});
  expect_parts(open("data/w.bin", 0, 12), {"12 bytes", "takes 16"});
  EXPECT_NE(open("data/none.bin"), "");
  EXPECT_NE(open("data"), "");
}

TEST_F(OnnxBadInput, InputsAreCheckedAgainstTheFile) {
  onnx::Session session(onnx::parse_model(view(bytes_of(plain())), "model.onnx"));
  auto message = [&](std::vector<onnx::Value> inputs) {
    try {
      session.run(inputs);
    } catch (const UserError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  Tensor right = Tensor::from_values<float>({1, 2}, Shape{1, 2});
  EXPECT_EQ(message({right}), "");
  expect_parts(message({Tensor::from_values<float>({1, 2, 3}, Shape{1, 3})}),
               {"'x'", "FLOAT[1x3]", "FLOAT[nx2]"});
  expect_parts(message({Tensor::from_values<double>({1, 2}, Shape{1, 2})}), {"'x'", "DOUBLE"});
  expect_parts(message({right, right}), {"1 inputs", "got 2"});
}
}  // namespace
}  // namespace wafer
