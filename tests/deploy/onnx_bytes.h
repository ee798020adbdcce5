#pragma once
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

// ONNX files written byte by byte, right or wrong: messages of the Protocol Buffers encoding.
namespace wafer::testing {

class Message {
 public:
  Message& number(int field, uint64_t value) {
    varint(static_cast<uint64_t>(field) << 3);
    varint(value);
    return *this;
  }
  Message& text(int field, const std::string& value) {
    varint(static_cast<uint64_t>(field) << 3 | 2);
    varint(value.size());
    bytes += value;
    return *this;
  }
  Message& real(int field, float value) {
    varint(static_cast<uint64_t>(field) << 3 | 5);
    char raw[4];
    std::memcpy(raw, &value, 4);
    bytes.append(raw, 4);
    return *this;
  }
  Message& message(int field, const Message& value) { return text(field, value.bytes); }

  std::string bytes;

 private:
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
    bytes += static_cast<char>(value);
  }
};

inline Message tensor_message(const std::string& name, const std::vector<int64_t>& dims,
                              const std::vector<float>& values) {
  Message t;
  for (int64_t dim : dims) t.number(1, static_cast<uint64_t>(dim));
  t.number(2, 1).text(8, name);
  return t.text(9, std::string(reinterpret_cast<const char*>(values.data()), values.size() * 4));
}

// FLOAT (or another type) of the dimensions; -1: named "n".
inline Message info_message(const std::string& name, const std::vector<int64_t>& dims,
                            uint64_t element = 1) {
  Message shape;
  for (int64_t dim : dims) {
    Message d;
    if (dim < 0)
      d.text(2, "n");
    else
      d.number(1, static_cast<uint64_t>(dim));
    shape.message(1, d);
  }
  Message tensor_type, type, info;
  tensor_type.number(1, element).message(2, shape);
  type.message(1, tensor_type);
  return info.text(1, name).message(2, type);
}

// STRING, and INT64, of one dimension unless others are given.
inline Message strings_message(const std::string& name, const std::vector<std::string>& values) {
  Message t;
  t.number(1, values.size()).number(2, 8).text(8, name);
  for (const auto& value : values) t.text(6, value);
  return t;
}
inline Message integers_message(const std::string& name, const std::vector<int64_t>& values,
                                bool scalar = false) {
  Message t;
  if (!scalar) t.number(1, values.size());
  t.number(2, 7).text(8, name);
  return t.text(9, std::string(reinterpret_cast<const char*>(values.data()), values.size() * 8));
}

inline Message text_attribute(const std::string& name, const std::string& value) {
  return Message().text(1, name).text(4, value).number(20, 3);
}
inline Message integer_attribute(const std::string& name, int64_t value) {
  return Message().text(1, name).number(3, static_cast<uint64_t>(value)).number(20, 2);
}
inline Message graph_attribute(const std::string& name, const Message& graph) {
  return Message().text(1, name).message(6, graph).number(20, 5);
}

inline Message node_message(const std::string& op, const std::vector<std::string>& inputs,
                            const std::vector<std::string>& outputs,
                            const std::vector<Message>& attributes = {},
                            const std::string& name = "") {
  Message n;
  for (const auto& input : inputs) n.text(1, input);
  for (const auto& output : outputs) n.text(2, output);
  if (!name.empty()) n.text(3, name);
  n.text(4, op);
  for (const auto& attribute : attributes) n.message(5, attribute);
  return n;
}

// The same of a domain; and a function of it, opset 17 of the standard's domain within.
inline Message call_message(const std::string& domain, const std::string& function,
                            const std::vector<std::string>& inputs,
                            const std::vector<std::string>& outputs) {
  return node_message(function, inputs, outputs).text(7, domain);
}
inline Message function_message(const std::string& domain, const std::string& name,
                                const std::vector<std::string>& inputs,
                                const std::vector<std::string>& outputs,
                                const std::vector<Message>& nodes) {
  Message f;
  f.text(1, name);
  for (const auto& input : inputs) f.text(4, input);
  for (const auto& output : outputs) f.text(5, output);
  for (const auto& node : nodes) f.message(7, node);
  f.message(9, Message().text(1, "").number(2, 17))
      .message(9, Message().text(1, domain).number(2, 1));
  return f.text(10, domain);
}

struct GraphParts {
  std::vector<Message> nodes, initializers, inputs, outputs;
};
inline Message graph_message(const GraphParts& parts) {
  Message g;
  for (const auto& n : parts.nodes) g.message(1, n);
  g.text(2, "main");
  for (const auto& t : parts.initializers) g.message(5, t);
  for (const auto& i : parts.inputs) g.message(11, i);
  for (const auto& o : parts.outputs) g.message(12, o);
  return g;
}
inline std::string model_bytes(const Message& graph, uint64_t opset = 17, uint64_t ir = 8) {
  Message m, set;
  set.text(1, "").number(2, opset);
  return m.number(1, ir).message(7, graph).message(8, set).bytes;
}

// With functions of domain "d".
inline std::string model_bytes(const Message& graph, const std::vector<Message>& functions) {
  Message m;
  m.number(1, 8).message(7, graph);
  m.message(8, Message().text(1, "").number(2, 17)).message(8, Message().text(1, "d").number(2, 1));
  for (const auto& function : functions) m.message(25, function);
  return m.bytes;
}

inline std::span<const uint8_t> view(const std::string& bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

}  // namespace wafer::testing
