#include "wafer/ir/node.h"

#include <atomic>
#include <cstring>

namespace wafer {

namespace {
thread_local std::string path_of_thread;
}  // namespace

uint64_t Node::next_serial() {
  static std::atomic<uint64_t> last = 0;
  return ++last;
}

// A long chain of nodes must not recurse once per link when its end is released, so the inputs of a
// dying node are handed to a list that the outermost destructor drains. The list is the outermost
// destructor's own: nodes of static objects die after this thread's variables.
Node::~Node() {
  thread_local std::vector<std::shared_ptr<const Node>>* pending = nullptr;
  std::vector<std::shared_ptr<const Node>> own;
  bool outermost = pending == nullptr;
  if (outermost) pending = &own;
  for (Tensor& input : inputs) {
    if (input) pending->push_back(input.node_pointer());
  }
  inputs.clear();
  if (!outermost) return;
  while (!own.empty()) {
    auto last = std::move(own.back());
    own.pop_back();
  }
  pending = nullptr;
}

std::vector<Tensor> make_node(const OpDef& op, std::vector<Tensor> inputs, Attrs attrs,
                              std::vector<std::shared_ptr<const Graph>> subgraphs) {
  for (const Tensor& input : inputs) {
    WAFER_REQUIRE(static_cast<bool>(input), op.name,
                  "an input is an empty tensor (default-constructed)");
  }
  auto node = std::make_shared<Node>();
  node->op = &op;
  node->path = path_of_thread;
  try {
    node->outputs = op.infer({inputs, attrs, subgraphs});
  } catch (const UserError& error) {
    if (path_of_thread.empty() || std::strstr(error.what(), "(at ")) throw;
    throw UserError(str(error.what(), " (at ", path_of_thread, ")"));
  }
  node->inputs = std::move(inputs);
  node->attrs = std::move(attrs);
  node->subgraphs = std::move(subgraphs);
  std::vector<Tensor> outputs;
  for (size_t i = 0; i < node->outputs.size(); ++i) outputs.emplace_back(node, static_cast<int>(i));
  return outputs;
}

Tensor make(const OpDef& op, std::vector<Tensor> inputs, Attrs attrs) {
  return make_node(op, std::move(inputs), std::move(attrs)).at(0);
}

std::vector<Tensor> clone_node(const Node& node, std::vector<Tensor> inputs,
                               std::vector<Type> types) {
  auto copy = std::make_shared<Node>();
  copy->op = node.op;
  copy->attrs = node.attrs;
  copy->inputs = std::move(inputs);
  copy->outputs = std::move(types);
  copy->subgraphs = node.subgraphs;
  copy->path = node.path;
  copy->values = node.values;
  std::vector<Tensor> outputs;
  for (size_t i = 0; i < copy->outputs.size(); ++i) outputs.emplace_back(copy, static_cast<int>(i));
  return outputs;
}

const std::string& current_path() {
  return path_of_thread;
}

PathScope::PathScope(std::string path) : saved_(std::move(path_of_thread)) {
  path_of_thread = std::move(path);
}
PathScope::~PathScope() {
  path_of_thread = std::move(saved_);
}
PathScope PathScope::whole(const std::string& path) {
  return PathScope(path);
}
PathScope PathScope::extend(const std::string& name) {
  return PathScope(path_of_thread.empty() ? name : path_of_thread + "." + name);
}

namespace {
std::vector<Type> no_infer(const InferArgs&) {
  throw InternalError("leaf nodes are not inferred");
}
Cost no_cost(const Node&) {
  return {};
}

std::shared_ptr<Node> leaf(const OpDef& op, Type type) {
  auto node = std::make_shared<Node>();
  node->op = &op;
  node->path = path_of_thread;
  node->outputs = {std::move(type)};
  return node;
}

Tensor scalar_constant(DType dtype, const void* value) {
  return Tensor::from_bytes(dtype, Shape{},
                            {static_cast<const std::byte*>(value), byte_size(dtype, 1)});
}
}  // namespace

const OpDef input_def = {
    .name = "input", .infer = no_infer, .cost = no_cost, .read_attrs = Attrs::read<InputAttrs>};
const OpDef constant_def = {.name = "constant", .infer = no_infer, .cost = no_cost};

Tensor make_input(const Type& type, const std::string& name) {
  auto node = leaf(op::input, type);
  node->attrs = InputAttrs{name};
  return Tensor(node, 0);
}

Tensor Tensor::from_storage(Type type, std::shared_ptr<Storage> storage) {
  WAFER_CHECK(storage && storage->bytes() >= type.bytes(), "storage too small for ", type);
  auto node = leaf(op::constant, std::move(type));
  node->values = {std::move(storage)};
  return Tensor(node, 0);
}

Tensor Tensor::from_bytes(DType dtype, const Shape& shape, std::span<const std::byte> bytes) {
  Type type{dtype, shape};
  WAFER_REQUIRE(bytes.size() == type.bytes(), "tensor", "got ", bytes.size(), " bytes for ", type,
                "; expected ", type.bytes());
  auto storage = allocate_host(bytes.size());
  if (!bytes.empty()) std::memcpy(storage->data(), bytes.data(), bytes.size());
  return from_storage(std::move(type), std::move(storage));
}

Tensor::Tensor(double value) {
  auto single = static_cast<float>(value);
  *this = scalar_constant(DType::f32, &single);
}
Tensor::Tensor(int value) : Tensor(int64_t{value}) {}
Tensor::Tensor(int64_t value) {
  *this = scalar_constant(DType::i64, &value);
}

const Type& Tensor::type() const {
  WAFER_REQUIRE(node_ != nullptr, "tensor", "an empty tensor (default-constructed) has no type");
  return node_->outputs[static_cast<size_t>(index_)];
}

std::shared_ptr<Storage> Tensor::storage() const {
  if (!node_ || node_->values.size() <= static_cast<size_t>(index_)) return nullptr;
  return node_->values[static_cast<size_t>(index_)];
}

}  // namespace wafer
