#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "tests/io/helpers.h"
#include "tests/kernel_languages/cases.h"
#include "wafer/kernel/device/target.h"
#include "wafer/op/conv.h"
#include "wafer/op/index.h"
#include "wafer/op/matmul.h"
#include "wafer/op/pool.h"
#include "wafer/op/random.h"
#include "wafer/op/reduce.h"
#include "wafer/op/shape_ops.h"
#include "wafer/op/softmax.h"
#include "wafer/runtime/registry.h"
#include "wafer/tensor/grad.h"

// A device whose kernels are in a third language, the C++ of host_c.cpp: that one Dialect is all
// that the language takes. Lowering, kernels, launch plans and memory are those of opencl and cuda.
namespace wafer {
namespace {
using namespace wafer::testing;

class HostLibrary : public kernel::CompiledSource {
 public:
  explicit HostLibrary(const std::string& source) {
    std::ofstream(folder_ / "kernels.cpp") << source;
    std::string library = (folder_ / "kernels.so").string();
    std::string command = str(WAFER_CXX, " -std=c++20 -w -O1 -ffp-contract=off -shared -fPIC -o ",
                              library, " ", (folder_ / "kernels.cpp").string());
    if (std::system(command.c_str()) != 0) throw InternalError("it does not compile:\n" + source);
    handle_ = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle_) throw InternalError(::dlerror());
  }
  ~HostLibrary() override { ::dlclose(handle_); }
  void* find(const std::string& name) const { return ::dlsym(handle_, name.c_str()); }

 private:
  TemporaryFolder folder_;
  void* handle_;
};

struct HostKernel : kernel::CompiledKernel {
  std::shared_ptr<const kernel::CompiledSource> library;
  void* entry;
};

class HostMemory : public Storage {
 public:
  explicit HostMemory(size_t bytes) : Storage(nullptr, bytes, false), memory_(bytes + 64) {
    data_ = memory_.data();
  }
  void read(void* to, size_t bytes) const override { std::memcpy(to, data_, bytes); }

 private:
  std::vector<std::byte> memory_;
};

class HostQueue : public kernel::Queue {
 public:
  const kernel::Capabilities& capabilities() const override { return capabilities_; }
  const kernel::Dialect& dialect() const override { return host_c; }
  std::string backend() const override { return "third"; }
  std::shared_ptr<Storage> allocate(size_t bytes) override {
    return std::make_shared<HostMemory>(bytes);
  }
  bool owns(const Storage& storage) const override {
    return dynamic_cast<const HostMemory*>(&storage) != nullptr;
  }
  void copy(void* to, const void* from, size_t bytes) const override {
    std::memmove(to, from, bytes);
  }
  void read(void* to, const void* from, size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
  void write(void* to, const void* from, size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }
  void fill(void* to, const void* pattern, size_t pattern_bytes, size_t bytes) const override {
    for (size_t i = 0; i < bytes; i += pattern_bytes)
      std::memcpy(static_cast<std::byte*>(to) + i, pattern, pattern_bytes);
  }
  void wait() const override {}
  void measure(bool) override {}
  std::shared_ptr<const kernel::CompiledSource> compile(const std::string& source,
                                                        bool) const override {
    return std::make_shared<HostLibrary>(source);
  }
  std::shared_ptr<const kernel::CompiledKernel> kernel(
      const std::shared_ptr<const kernel::CompiledSource>& source,
      const std::string& name) const override {
    auto made = std::make_shared<HostKernel>();
    made->library = source;
    made->entry = dynamic_cast<const HostLibrary&>(*source).find(name);
    if (!made->entry) throw InternalError("no kernel " + name);
    return made;
  }
  void launch(const kernel::CompiledKernel& kernel, std::span<const void* const> addresses,
              const Storage* parameters, int64_t, int64_t, const std::string& what) const override {
    std::vector<const void*> a(addresses.begin(), addresses.end());
    if (parameters) a.push_back(parameters->data());
    if (a.size() > 8) throw InternalError("more than eight arguments: " + what);
    a.resize(8);
    using P = const void*;
    auto entry = reinterpret_cast<void (*)(P, P, P, P, P, P, P, P)>(
        dynamic_cast<const HostKernel&>(kernel).entry);
    entry(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7]);
  }

 private:
  kernel::Capabilities capabilities_{.name = "host"};
};

std::vector<Values> run(Device& device, const Graph& graph, const std::vector<Values>& inputs) {
  auto artifact = device.target().compile(graph, {});
  std::vector<std::shared_ptr<Storage>> storages;
  for (size_t i = 0; i < inputs.size(); ++i) {
    Bytes bytes = to_memory(inputs[i], graph.inputs[i].type());
    storages.push_back(device.allocate(bytes.size()));
    device.copy_from_host(bytes.data(), *storages.back(), bytes.size());
  }
  auto results = execute(device, *artifact, storages);
  std::vector<Values> values;
  for (size_t i = 0; i < results.size(); ++i) {
    Bytes bytes(artifact->outputs[i].bytes() + 1);
    device.copy_to_host(*results[i], bytes.data(), artifact->outputs[i].bytes());
    values.push_back(from_memory(bytes, artifact->outputs[i]));
  }
  return values;
}

TEST(ThirdLanguage, TakesOneDialect) {
  HostQueue queue;
  kernel::QueueDevice device("third:0", queue);
  Tensor x = make_input({DType::f32, Shape{2, 3, 6, 6}}, "x");
  Tensor w = make_input({DType::f32, Shape{4, 3, 3, 3}}, "w");
  Tensor v = make_input({DType::f64, Shape{5, 7}}, "v");
  Tensor hidden = max_pool2d(maximum(conv(x, w, {}, {.padding = {1, 1}}), 0.0), 2);
  Tensor rows = reshape(hidden, Shape{2, 36});
  Tensor loss = reduce_sum(softmax(rows, 1) * rows, {0, 1});
  std::vector<Tensor> gradients = grad(loss, {x, w});
  auto [sorted, places] = sort(v, 1);
  Graph graph{{x, w, v},
              {loss, gradients[0], gradients[1], sorted, places, matmul(v, transpose(v, {1, 0})),
               reduce_max(v, {0})},
              {}};
  std::vector<Values> inputs;
  for (const Tensor& input : graph.inputs) {
    Values values(static_cast<size_t>(input.elements()));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<double>(i * 37 % 101) / 50 - 1;
    inputs.push_back(values);
  }
  std::vector<Values> got = run(device, graph, inputs);
  std::vector<Values> expected = run(*wafer::device("reference"), graph, inputs);
  for (size_t o = 0; o < expected.size(); ++o) {
    ASSERT_EQ(got[o].size(), expected[o].size());
    for (size_t i = 0; i < got[o].size(); ++i)
      EXPECT_NEAR(got[o][i], expected[o][i], 1e-5 * (1 + std::abs(expected[o][i])))
          << "output " << o << ", element " << i;
  }
}

}  // namespace
}  // namespace wafer
