#include <limits>

#include "wafer/base/strings.h"
#include "wafer/deploy/onnx/proto/convert.h"
#include "wafer/io/file.h"

namespace wafer::onnx {

namespace {
namespace fs = std::filesystem;

constexpr size_t least_external = 1024, alignment = 64;

// Where tensors' bytes go: into the message, or one after another into a file beside it.
class Storehouse {
 public:
  explicit Storehouse(const fs::path& beside) {
    if (beside.empty()) return;
    location_ = beside.filename().string();
    file_ = std::make_unique<io::AtomicFile>(beside);
  }

  void put(const Tensor& tensor, ::onnx::TensorProto& proto) {
    size_t bytes = tensor.type().bytes();
    auto memory = on_host(tensor.storage());
    const auto* data = static_cast<const uint8_t*>(memory->data());
    if (!file_ || bytes < least_external) {
      proto.set_raw_data(data, bytes);
      return;
    }
    std::vector<uint8_t> gap((alignment - at_ % alignment) % alignment, 0);
    file_->write(gap);
    at_ += gap.size();
    proto.set_data_location(::onnx::TensorProto::EXTERNAL);
    auto say = [&](const char* key, const std::string& value) {
      auto* entry = proto.add_external_data();
      entry->set_key(key);
      entry->set_value(value);
    };
    say("location", location_);
    say("offset", std::to_string(at_));
    say("length", std::to_string(bytes));
    file_->write(io::ByteView(data, bytes));
    at_ += bytes;
  }
  void commit() {
    if (file_) file_->commit();
  }

 private:
  std::string location_;
  std::unique_ptr<io::AtomicFile> file_;
  size_t at_ = 0;
};

void write_tensor(const Value& value, Storehouse& store, ::onnx::TensorProto& proto) {
  WAFER_CHECK(value.tensor && !is_carried(value.type), "a tensor that no file takes");
  proto.set_data_type(static_cast<int32_t>(value.type));
  for (int64_t size : value.tensor.shape().sizes()) proto.add_dims(size);
  store.put(value.tensor, proto);
}

void write_info(const ValueInfo& info, ::onnx::ValueInfoProto& proto) {
  proto.set_name(info.name);
  auto& tensor = *proto.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(static_cast<int32_t>(info.type.element));
  auto& shape = *tensor.mutable_shape();
  for (const Dim& dim : info.type.dims) {
    auto& size = *shape.add_dim();
    if (dim.is_static())
      size.set_dim_value(dim.value());
    else
      size.set_dim_param(dim.text());
  }
}

void write_graph(const GraphDef& graph, Storehouse& store, ::onnx::GraphProto& proto);

void write_attribute(const std::string& name, const Attribute& attribute, Storehouse& store,
                     ::onnx::AttributeProto& proto) {
  using Kind = Attribute::Kind;
  using Proto = ::onnx::AttributeProto;
  proto.set_name(name);
  switch (attribute.kind) {
    case Kind::number:
      proto.set_type(Proto::FLOAT);
      proto.set_f(static_cast<float>(attribute.f));
      break;
    case Kind::integer:
      proto.set_type(Proto::INT);
      proto.set_i(attribute.i);
      break;
    case Kind::text:
      proto.set_type(Proto::STRING);
      proto.set_s(attribute.s);
      break;
    case Kind::tensor:
      proto.set_type(Proto::TENSOR);
      write_tensor(attribute.t, store, *proto.mutable_t());
      break;
    case Kind::graph:
      proto.set_type(Proto::GRAPH);
      write_graph(*attribute.g, store, *proto.mutable_g());
      break;
    case Kind::numbers:
      proto.set_type(Proto::FLOATS);
      for (double value : attribute.floats) proto.add_floats(static_cast<float>(value));
      break;
    case Kind::integers:
      proto.set_type(Proto::INTS);
      for (int64_t value : attribute.ints) proto.add_ints(value);
      break;
    case Kind::texts:
      proto.set_type(Proto::STRINGS);
      for (const std::string& value : attribute.strings) proto.add_strings(value);
      break;
    default: WAFER_CHECK(false, "attribute '", name, "' of a kind that is not written");
  }
}

void write_graph(const GraphDef& graph, Storehouse& store, ::onnx::GraphProto& proto) {
  proto.set_name(graph.name);
  for (const NodeDef& node : graph.nodes) {
    auto& written = *proto.add_node();
    written.set_name(node.name);
    written.set_op_type(node.op_type);
    written.set_domain(node.domain);
    for (const std::string& name : node.inputs) written.add_input(name);
    for (const std::string& name : node.outputs) written.add_output(name);
    for (const auto& [name, attribute] : node.attributes)
      write_attribute(name, attribute, store, *written.add_attribute());
  }
  for (const auto& [name, value] : graph.initializers) {
    auto& written = *proto.add_initializer();
    written.set_name(name);
    write_tensor(value, store, written);
  }
  for (const ValueInfo& info : graph.inputs) write_info(info, *proto.add_input());
  for (const ValueInfo& info : graph.outputs) write_info(info, *proto.add_output());
}

size_t bytes_of(const GraphDef& graph) {
  size_t bytes = 0;
  for (const auto& [name, value] : graph.initializers)
    if (value.tensor) bytes += value.tensor.type().bytes();
  return bytes;
}
std::string serialise_with(const ModelDef& model, Storehouse& store, const std::string& where) {
  WAFER_CHECK(model.functions.empty(), "functions are not written");
  check(model);
  ::onnx::ModelProto proto;
  proto.set_ir_version(model.ir_version);
  proto.set_producer_name(model.producer);
  for (const auto& [domain, version] : model.opsets) {
    auto& opset = *proto.add_opset_import();
    opset.set_domain(domain);
    opset.set_version(version);
  }
  write_graph(model.graph, store, *proto.mutable_graph());
  std::string bytes;
  WAFER_REQUIRE(proto.SerializeToString(&bytes), where,
                "the model passes the 2 GiB that an ONNX message may have");
  return bytes;
}
}  // namespace

std::string serialise(const ModelDef& model) {
  Storehouse store({});
  return serialise_with(model, store, model.where);
}

fs::path write_model(const fs::path& path, const ModelDef& model, bool external_data) {
  constexpr size_t room = size_t{64} << 20;  // for all but the weights
  bool large = bytes_of(model.graph) > std::numeric_limits<int>::max() - room;
  fs::path beside = external_data || large ? fs::path(path.string() + ".data") : fs::path();
  Storehouse store(beside);
  std::string bytes = serialise_with(model, store, path.string());
  store.commit();
  io::write_file_atomic(path, bytes);
  return beside;
}

}  // namespace wafer::onnx
