#include "tests/fuzz/targets.h"

#include <sys/mman.h>
#include <unistd.h>

#include <stdexcept>

#include "wafer/deploy/onnx/onnx.h"
#include "wafer/io/npy.h"
#include "wafer/io/safetensors.h"
#include "wafer/models/toml.h"
#include "wafer/op/graph_json.h"
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

void read_onnx(io::ByteView bytes) {
  if (!onnx::available()) return;
  onnx::Session session(onnx::parse_model(bytes, "f.onnx"));
  session.graph(session.input_types({}, 2));
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
