#include "wafer/op/graph_json.h"

#include <limits>

#include "tests/op_composites/expected.h"
#include "wafer/base/base64.h"
#include "wafer/op/activation.h"
#include "wafer/op/control_flow.h"
#include "wafer/op/conv.h"
#include "wafer/op/create.h"
#include "wafer/op/loss.h"
#include "wafer/op/matmul.h"
#include "wafer/op/pool.h"
#include "wafer/op/random.h"
#include "wafer/op/recurrent.h"
#include "wafer/op/shape_ops.h"

namespace wafer {
namespace {
using namespace testing;
using Tensors = std::vector<Tensor>;

TensorLookup lookup_in(const GraphText& text) {
  return [&text](const std::string& name) {
    for (const auto& [known, tensor] : text.tensors) {
      if (known == name) return tensor;
    }
    return Tensor();
  };
}

void expect_round_trip(const Graph& graph) {
  GraphText text = write_graph(graph);
  Graph again = read_graph(text.json, lookup_in(text), "model");
  EXPECT_TRUE(structurally_equal(graph, again)) << print(graph) << print(again);
  EXPECT_EQ(print(graph), print(again));
  EXPECT_EQ(write_graph(again).json, text.json);
}

Tensor input(const std::vector<Dim>& dims, const std::string& name, DType dtype = DType::f32) {
  return make_input(Type{dtype, Shape(dims)}, name);
}

TEST(Base64, KnownAnswers) {
  // RFC 4648, section 10.
  for (auto [plain, code] : std::vector<std::pair<std::string, std::string>>{
           {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foobar", "Zm9vYmFy"}}) {
    EXPECT_EQ(base64_encode(std::as_bytes(std::span(plain))), code);
    auto bytes = base64_decode(code);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), plain);
  }
  for (const char* wrong : {"Zg=", "Zg=a", "Z===", "Zh==", "Z g=", "===="}) {
    EXPECT_THROW(base64_decode(wrong), UserError) << wrong;
  }
}

TEST(GraphJson, RoundTripOfACnnsTrainStep) {
  Tensor x = input({Dim::symbol("batch"), 3, 8, 8}, "x");
  Tensor labels = input({Dim::symbol("batch")}, "labels", DType::i64);
  Tensor w = input({4, 3, 3, 3}, "conv.weight"), v = input({10, 64}, "fc.weight");
  Tensor h, loss;
  {
    PathScope scope = PathScope::whole("cnn.conv");
    h = relu(reshape(x, Shape{Dim::symbol("batch"), 192}));
  }
  Tensor logits = linear(h, input({10, 192}, "w2"));
  loss = cross_entropy(logits, labels, {.label_smoothing = 0.1});
  Graph graph{{x, labels, logits.node().inputs[1]}, {loss, logits}, {-1, -1}};
  expect_round_trip(graph);
  // Static, with gradients and donation.
  Tensor image = input({2, 3, 8, 8}, "image"), target = input({2}, "target", DType::i64);
  Tensor pooled = max_pool(conv(image, w, {}, {.padding = {1}}), {.kernel = {2}});
  loss = cross_entropy(linear(flatten(pooled, 1), v), target);
  Tensors gradients = grad(loss, {w, v});
  Graph step{
      {image, target, w, v}, {loss, w - gradients[0] * 0.1, v - gradients[1] * 0.1}, {-1, 2, 3}};
  expect_round_trip(step);
}

TEST(GraphJson, RoundTripOfAttributesAndConstants) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Tensor x = input({2, 3}, "x");
  Tensor padded = pad(x, {1, 0}, {0, 2}, -infinity);
  Tensor table = numbers({40, 40}), small = Tensor::from_values<bool>({true, false}, {2});
  Tensor noise = random_uniform(Shape{2, 3});
  Tensor y = cast(x, DType::bf16);
  Graph graph{{x}, {padded, table * 0.1, small, noise, y, table, zeros({0, 2})}, {}};
  GraphText text = write_graph(graph);
  ASSERT_EQ(text.tensors.size(), 1u);  // one large constant, used twice
  EXPECT_TRUE(text.tensors[0].second.storage() == table.storage());
  expect_round_trip(graph);
}

TEST(GraphJson, RoundTripOfSubgraphs) {
  Tensor x = input({5, 2, 3}, "x"), w = input({12, 3}, "w"), u = input({12, 3}, "u");
  RecurrentResult r = lstm(x, {w, u, {}, {}});
  Tensors loop =
      while_loop([](const Tensors& s) { return less(sum(s[0]), 10.0); },
                 [&](const Tensors& s) -> Tensors { return {s[0] * 2.0 + sum(x)}; }, {r.hidden});
  auto body = [&](const Tensors& c, const Tensors& e) -> ScanStep {
    return {{c[0] + matmul(e[0], w, false, true)}, {c[0]}};
  };
  ScanResult s = scan(body, {zeros({2, 12})}, {x});
  expect_round_trip(Graph{{x, w, u}, {r.outputs, loop[0], s.ys[0], s.carries[0]}, {}});
}

std::string error_of(std::string json) {
  return message_of([&] {
    read_graph(
        json, [](const std::string&) { return Tensor(); }, "m.wafer");
  });
}

// A graph with one changed place.
std::string changed(const std::string& from, const std::string& to) {
  std::string json = R"({"format":"wafer-graph","version":1,"nodes":[)"
                     R"({"op":"input","type":["f32",[2,3]],"attrs":{"name":"x"}},)"
                     R"({"op":"constant","type":["f32",[]],"data":"AACAPw=="},)"
                     R"({"op":"transpose","inputs":[0],"attrs":{"permutation":[1,0]}}],)"
                     R"("inputs":[0],"outputs":[2,1]})";
  auto at = json.find(from);
  EXPECT_NE(at, json.npos) << from;
  return json.replace(at, from.size(), to);
}

TEST(GraphJson, Errors) {
  EXPECT_EQ(error_of(changed("f32", "f32")), "no error");
  EXPECT_EQ(error_of("{\"format\":"), "[m.wafer] the graph is no JSON: error at byte 11");
  EXPECT_EQ(error_of("[1]"),
            "[m.wafer] no wafer graph: field 'format' or 'version' is missing or wrong");
  EXPECT_EQ(error_of(changed("\"version\":1", "\"version\":9")),
            "[m.wafer] version 9 of the graph format; this program reads version 1");
  EXPECT_EQ(error_of(changed("\"transpose\"", "\"transpos\"")),
            "[m.wafer] nodes[2]: unknown op 'transpos'; did you mean 'transpose'?");
  EXPECT_EQ(error_of(changed("\"attrs\":{\"perm", "\"attr\":{\"perm")),
            "[m.wafer] nodes[2] (transpose): unknown field 'attr'; did you mean 'attrs'?");
  EXPECT_EQ(error_of(changed("[1,0]}", "1}")),
            "[m.wafer] nodes[2] (transpose): [attributes] field 'permutation' has the wrong type");
  EXPECT_EQ(error_of(changed("[1,0]}", "[1,0],\"axis\":1}")),
            "[m.wafer] nodes[2] (transpose): [attributes] a field is unknown to this op");
  EXPECT_EQ(error_of(changed("[1,0]}", "[1,1]}")),
            "[m.wafer] nodes[2] (transpose): [transpose] not a permutation: [1, 1]");
  EXPECT_EQ(error_of(changed("\"inputs\":[0],\"attrs\"", "\"inputs\":[2],\"attrs\"")),
            "[m.wafer] nodes[2] (transpose) inputs: expected an index below 2; got 2");
  EXPECT_EQ(error_of(changed("\"inputs\":[0],\"attrs\"", "\"inputs\":[[0,1]],\"attrs\"")),
            "[m.wafer] nodes[2] (transpose) inputs: expected an index below 1; got 1");
  EXPECT_EQ(error_of(changed("\"inputs\":[0],\"attrs\"", "\"inputs\":[-1],\"attrs\"")),
            "[m.wafer] nodes[2] (transpose) inputs: expected an index below 2; got -1");
  EXPECT_EQ(error_of(changed("\"outputs\":[2,1]", "\"outputs\":[2.5]")),
            "[m.wafer] outputs: expected an index below 3; got 2.5");
  EXPECT_EQ(error_of(changed("\"inputs\":[0],\"out", "\"inputs\":[1],\"out")),
            "[m.wafer] inputs: an entry is no input node, or given twice");
  EXPECT_NE(error_of(changed("\"inputs\":[0],\"out", "\"inputs\":[],\"out"))
                .find("input 'x' is used but not listed"),
            std::string::npos);
  EXPECT_NE(error_of(changed("AACAPw==", "AACA")).find("3 bytes for f32[scalar], which has 4"),
            std::string::npos);
  EXPECT_EQ(error_of(changed("\"data\":\"AACAPw==\"", "\"tensor\":\"t\"")),
            "[m.wafer] nodes[1] (constant): no tensor 't'");
  EXPECT_NE(error_of(changed("[2,3]", "[2,-3]")).find("negative dimension"), std::string::npos);
  EXPECT_NE(error_of(changed("[2,3]", "[2,\"3*\"]")).find("cannot read dimension"),
            std::string::npos);
  EXPECT_NE(error_of(changed("[\"f32\",[]]", "[\"f33\",[]]")).find("nodes[1] (constant)"),
            std::string::npos);
  EXPECT_NE(error_of(changed("\"inputs\":[0],\"attrs\"", "\"inputs\":[],\"attrs\""))
                .find("(transpose): 0 inputs; expected 1"),
            std::string::npos);
}

TEST(GraphJson, TruncatedTextNeverCrashes) {
  std::string whole = changed("f32", "f32");
  for (size_t length = 0; length < whole.size(); ++length) {
    EXPECT_NE(error_of(whole.substr(0, length)), "no error") << length;
  }
}

}  // namespace
}  // namespace wafer
