#include "tests/fuzz/targets.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <stdexcept>

#include "wafer/deploy/onnx/onnx.h"
#include "wafer/io/npy.h"
#include "wafer/io/safetensors.h"
#include "wafer/models/toml.h"
#include "wafer/op/graph_json.h"
#include "wafer/runtime/registry.h"
#include "wafer/train/checkpoint.h"

namespace wafer::testing {

namespace {
std::string text_of(io::ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A file in memory alone, for readers that take a path.
class MemoryFile {
 public:
  explicit MemoryFile(io::ByteView bytes) : descriptor_(::memfd_create("fuzz", 0)) {
    if (descriptor_ < 0) throw std::runtime_error("memfd_create");
    for (size_t done = 0; done < bytes.size();) {
      ssize_t count = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
      if (count <= 0) throw std::runtime_error("write");
      done += static_cast<size_t>(count);
    }
  }
  ~MemoryFile() { ::close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

// A small value of the type that a model states; none where it states no such type.
onnx::Value made_value(const onnx::TypeDef& type) {
  using Kind = onnx::TypeDef::Kind;
  if (type.kind == Kind::optional && type.inner) return made_value(*type.inner);
  if (type.kind == Kind::sequence && type.inner) {
    onnx::Value element = made_value(*type.inner);
    if (!element) return {};
    return onnx::Value::of_sequence({element, element});
  }
  if (type.kind != Kind::tensor) return {};
  std::vector<int64_t> sizes;
  int64_t count = 1;
  for (const Dim& dim : type.dims) {
    sizes.push_back(dim.is_static() ? dim.value() : 2);
    if (sizes.back() > 4096) return {};
    count *= sizes.back();
    if (count > 4096) return {};
  }
  if (type.element == onnx::ElementType::string) {
    std::vector<std::string> texts;
    for (int64_t i = 0; i < count; ++i) texts.push_back(i % 2 ? "" : "a b");
    return onnx::Value::of_strings(sizes, texts);
  }
  DType dtype = onnx::carrier(type.element);
  bool small = onnx::is_carried(type.element) || dtype == DType::boolean;
  std::vector<std::byte> raw(byte_size(dtype, count));
  visit(dtype, [&]<class T>(std::type_identity<T>) {
    constexpr int numbers[] = {1, 0, 1, 2, -1, 3, 100};
    for (int64_t i = 0; i < count; ++i) {
      T number = static_cast<T>(numbers[i % (small ? 3 : 7)]);
      std::memcpy(raw.data() + static_cast<size_t>(i) * sizeof number, &number, sizeof number);
    }
  });
  return {Tensor::from_bytes(dtype, Shape(sizes), raw), type.element};
}

// Compiles the model ahead, and runs it piece by piece where its inputs are small. A model that
// only runs is as good as read.
void read_onnx(io::ByteView bytes) {
  if (!onnx::available()) return;
  onnx::Session session(onnx::parse_model(bytes, "f.onnx"));
  std::string refusal;
  try {
    session.graph(session.input_types({}, 2));
  } catch (const UserError& error) {
    refusal = error.what();
  }
  std::vector<onnx::Value> inputs;
  for (const onnx::ValueInfo& input : session.inputs()) {
    inputs.push_back(made_value(input.type));
    if (inputs.back()) continue;
    if (!refusal.empty()) throw UserError("f.onnx", refusal);
    return;
  }
  const onnx::Limits small{.nodes = 300, .host_bytes = 1 << 16, .elements = 4096, .work = 6e6};
  session.run(inputs, device(bytes.size() % 2 ? "reference" : "cpu"), small);
}

void read_toml(io::ByteView bytes) {
  nn::init::Deferred without_values;  // a large model is no fault
  models::from_toml_text(text_of(bytes), "f.toml");
}

void read_checkpoint(io::ByteView bytes) {
  std::vector<float> weight(4);
  float bias = 0;
  MemoryFile file(bytes);
  load_checkpoint(file.path(),
                  {{"fc.weight", {DType::f32, Shape{2, 2}}, weight.data()},
                   {"fc.bias", {DType::f32, Shape{1}}, &bias}},
                  {{"seed", "0"}});
}

void read_graph_text(io::ByteView bytes) {
  auto none = [](const std::string&) { return Tensor(); };
  read_graph(text_of(bytes), none, "f.json");
}
}  // namespace

const std::map<std::string, FuzzTarget>& fuzz_targets() {
  static const std::map<std::string, FuzzTarget> targets = {
      {"onnx", read_onnx},
      {"safetensors", [](io::ByteView bytes) { io::parse_safetensors(bytes, "f.safetensors"); }},
      {"npy", [](io::ByteView bytes) { io::parse_npy(bytes, "f.npy"); }},
      {"toml", read_toml},
      {"checkpoint", read_checkpoint},
      {"graph", read_graph_text}};
  return targets;
}

}  // namespace wafer::testing
