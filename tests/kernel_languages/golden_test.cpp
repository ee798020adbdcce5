#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/io/helpers.h"
#include "tests/kernel_languages/source_queue.h"
#include "wafer/kernel/device/target.h"
#include "wafer/nn/nn.h"
#include "wafer/op/activation.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/index.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"
#include "wafer/op/softmax.h"

// The CUDA C++ that kernels become, with all of the language's words written out, beside the files
// in golden/. WAFER_RENEW=1 writes these anew, to be read before they are committed.
namespace wafer {
namespace {

namespace fs = std::filesystem;
using testing::SourceQueue;

Tensor input(const Shape& shape, DType dtype = DType::f32) {
  return make_input({dtype, shape}, "x");
}

struct Golden {
  std::string name;
  Graph graph;
};

std::vector<Golden> goldens() {
  std::vector<Golden> list;
  auto add = [&](const std::string& name, const std::vector<Tensor>& inputs,
                 const std::vector<Tensor>& outputs) {
    list.push_back({name, Graph{inputs, outputs, {}}});
  };
  Tensor x = input({6, 5, 7}), row = input({7}), column = input({5, 1}), scalar = input({});
  add("broadcast", {x, row, column, scalar}, {maximum(x * row + column, scalar)});
  add("gelu", {x}, {gelu(x)});
  Tensor m = input({6, 5, 7}), v = input({6, 5, 7}), p = input({6, 5, 7});
  Tensor m2 = m * 0.9 + x * 0.1, v2 = v * 0.999 + x * x * 0.001;
  add("adam", {p, x, m, v, scalar}, {p - scalar * m2 / (sqrt(v2) + 1e-8), m2, v2});
  Tensor half = input({4, 9}, DType::f16), brain = input({4, 9}, DType::bf16);
  add("half_precision", {half, brain}, {half * half, cast(brain + brain, DType::f32)});
  Tensor whole = input({12}, DType::i32), byte = input({12}, DType::u8);
  add("integers", {whole, byte}, {where(less(whole, cast(byte, DType::i32)), whole, whole * 3)});
  Tensor wide = input({12}, DType::f64);
  add("double_precision", {wide}, {exp(wide) + 0.5});
  add("transpose", {x}, {transpose(x, {2, 0, 1})});
  add("row_sum", {x}, {reduce_sum(x, {2})});
  Tensor table = input({20, 4}), ids = input({3}, DType::i64);
  add("gather", {table, ids}, {gather(table, ids, 0)});
  return list;
}

// The host's preprocessor writes a language's words out.
std::string written_out(const std::string& source, const fs::path& folder) {
  std::ofstream(folder / "in.cpp") << source;
  std::string command = str(WAFER_CXX, " -E -P -x c++ ", (folder / "in.cpp").string(), " -o ",
                            (folder / "out.cpp").string());
  if (std::system(command.c_str()) != 0) throw InternalError("the preprocessor failed");
  std::stringstream text;
  text << std::ifstream(folder / "out.cpp").rdbuf();
  return text.str();
}

// Without what stands before every kernel.
std::string kernels_of(const Graph& graph, const fs::path& folder) {
  const std::string end = "end_of_prelude;\n";
  SourceQueue queue;
  kernel::QueueTarget("cuda:0", queue).compile(graph, {});
  std::string text;
  for (const auto* sources : {&queue.libraries, &queue.programs}) {
    for (std::string source : *sources) {
      for (bool f64 : {true, false}) {
        std::string prelude = kernel::print_prelude(kernel::cuda_c, f64);
        if (source.compare(0, prelude.size(), prelude) != 0) continue;
        source.insert(prelude.size(), end);
        break;
      }
      std::string all = written_out(source, folder);
      size_t at = all.find(end);
      EXPECT_NE(at, std::string::npos) << "no prelude: " << source;
      if (at != std::string::npos) text += all.substr(at + end.size());
    }
  }
  return text;
}

// Compilers differ in the space that they leave.
std::string without_space(std::string text) {
  std::erase_if(text, [](unsigned char c) { return std::isspace(c) != 0; });
  return text;
}

TEST(Golden, KernelsReadAsTheFilesSay) {
  testing::TemporaryFolder folder;
  fs::path files = fs::path(WAFER_SOURCE_DIR) / "tests/kernel_languages/golden";
  for (const auto& [name, graph] : goldens()) {
    SCOPED_TRACE(name);
    std::string text = kernels_of(graph, folder.path());
    EXPECT_NE(text.find("extern \"C\" __global__ void"), std::string::npos);
    fs::path file = files / (name + ".txt");
    if (std::getenv("WAFER_RENEW")) std::ofstream(file) << text;
    std::stringstream golden;
    golden << std::ifstream(file).rdbuf();
    EXPECT_EQ(without_space(text), without_space(golden.str()))
        << "printed:\n"
        << text << "\nexpected in " << file << ":\n"
        << golden.str();
  }
}

}  // namespace
}  // namespace wafer
