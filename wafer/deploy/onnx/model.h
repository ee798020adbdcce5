#pragma once
#include <filesystem>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wafer/deploy/onnx/value.h"

namespace wafer::onnx {

struct GraphDef;

// The type that a file states for an input or output; what it leaves out is undefined or empty.
struct TypeDef {
  enum class Kind { unknown, tensor, sequence, optional, other } kind = Kind::unknown;
  ElementType element = ElementType::undefined;
  bool has_shape = false;
  std::vector<Dim> dims;  // integers, or symbols; a dimension without a name gets one of its own
  std::shared_ptr<const TypeDef> inner;  // of a sequence or optional
  std::string text() const;
};

struct ValueInfo {
  std::string name;
  TypeDef type;
};

struct Attribute {
  enum class Kind { number, integer, text, tensor, graph, numbers, integers, texts, type, other };
  Kind kind = Kind::other;
  double f = 0;
  int64_t i = 0;
  std::string s;
  Value t;
  std::shared_ptr<const GraphDef> g;
  std::vector<double> floats;
  std::vector<int64_t> ints;
  std::vector<std::string> strings;
  TypeDef tp;
  std::string reference;  // within a function: the function's attribute that this one takes
};

struct NodeDef {
  std::string name, op_type, domain;
  std::vector<std::string> inputs, outputs;  // "": left out
  std::map<std::string, Attribute> attributes;

  std::string text() const;  // "node 'conv1' (Conv)"
};

struct GraphDef {
  std::string name;
  std::vector<NodeDef> nodes;
  std::vector<std::pair<std::string, Value>> initializers;
  std::vector<ValueInfo> inputs, outputs;
};

using Opsets = std::map<std::string, int64_t>;  // by domain; the default one is ""

struct FunctionDef {
  std::string domain, name;
  std::vector<std::string> inputs, outputs;
  std::vector<std::string> required;          // attributes without a default
  std::map<std::string, Attribute> defaults;  // attributes with one
  std::vector<NodeDef> nodes;
  Opsets opsets;
};

struct ModelDef {
  std::string where;  // for errors: the file
  int64_t ir_version = 0;
  std::string producer;
  Opsets opsets;
  GraphDef graph;
  std::map<std::pair<std::string, std::string>, FunctionDef> functions;  // by domain, name
  // Bytes that compiling it ahead may take on the host, of those that a file of its size may.
  int64_t memory_left = std::numeric_limits<int64_t>::max();
};

// True when this build reads ONNX; without, what follows throws a UserError that says how to get
// it.
bool available();

// A model from its bytes, checked: every length, type and name; each name is made once and before
// it is read; operators and attributes are known at the model's opset. Tensors that lie in other
// files are read from `folder` and below it alone; none: they are an error. UserError naming
// `where` and the node, tensor or field.
std::shared_ptr<const ModelDef> parse_model(std::span<const uint8_t> bytes,
                                            const std::string& where,
                                            const std::filesystem::path& folder = {});
std::shared_ptr<const ModelDef> read_model(const std::filesystem::path& path);

// The inverse of read_model, atomically and with the same bytes for the same model. Tensors of more
// than 1 KiB lie in a file of external data beside it, PATH.data, where `external_data` asks for it
// or the file would pass the 2 GiB that a message may have; the result is that file's path, empty
// where there is none. UserError where the model breaks the standard's rules (see check) or the
// files cannot be written.
std::filesystem::path write_model(const std::filesystem::path& path, const ModelDef& model,
                                  bool external_data = false);

// The same as bytes, without external data.
std::string serialise(const ModelDef& model);

// A value from a file of its own (a serialised TensorProto, SequenceProto or OptionalProto), as the
// tests of the standard keep them; `type` says which.
Value read_value(const std::filesystem::path& path, const TypeDef& type);

// Checks of names, order and operators; parse_model calls it.
void check(const ModelDef& model);

}  // namespace wafer::onnx
