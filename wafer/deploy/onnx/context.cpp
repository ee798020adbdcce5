#include "wafer/deploy/onnx/context.h"

#include <cstring>

#include "wafer/deploy/onnx/walk.h"

namespace wafer::onnx {

void Context::fail(const std::string& what, const std::string& hint) const {
  throw UserError(node_.op_type, what, {{}, {}, hint});
}

const Value& Context::value(size_t index) const {
  if (!has(index)) fail(str("input ", index, " is missing"));
  return inputs_[index];
}

const Tensor& Context::in(size_t index) const {
  const Value& v = value(index);
  if (!v.tensor) fail(str("input ", index, " is ", v.text(), "; expected a tensor of numbers"));
  return v.tensor;
}

Tensor Context::optional(size_t index) const {
  return has(index) ? in(index) : Tensor();
}

const StringTensor& Context::strings(size_t index) const {
  const Value& v = value(index);
  if (!v.strings) fail(str("input ", index, " is ", v.text(), "; expected strings"));
  return *v.strings;
}

const std::vector<Value>& Context::sequence(size_t index) const {
  const Value& v = value(index);
  if (!v.sequence) fail(str("input ", index, " is ", v.text(), "; expected a sequence"));
  return *v.sequence;
}

bool Context::wants(size_t output) const {
  return output < node_.outputs.size() && !node_.outputs[output].empty();
}

const Attribute* Context::find(const std::string& name) const {
  auto found = node_.attributes.find(name);
  if (found == node_.attributes.end()) return nullptr;
  const Attribute& attribute = found->second;
  if (attribute.reference.empty()) return &attribute;
  if (!scope_.attributes)
    fail(str("attribute '", name, "' refers to a function's, outside of one"));
  auto given = scope_.attributes->find(attribute.reference);
  return given == scope_.attributes->end() ? nullptr : &given->second;
}

namespace {
template <class T>
T take(const Context& context, const std::string& name, Attribute::Kind kind, T Attribute::*member,
       const std::optional<T>& otherwise) {
  const Attribute* attribute = context.find(name);
  if (attribute) {
    if (attribute->kind != kind) context.fail(str("attribute '", name, "' has the wrong type"));
    return attribute->*member;
  }
  if (!otherwise) context.fail(str("attribute '", name, "' is missing"));
  return *otherwise;
}
}  // namespace

int64_t Context::integer(const std::string& name, std::optional<int64_t> otherwise) const {
  return take(*this, name, Attribute::Kind::integer, &Attribute::i, otherwise);
}
bool Context::flag(const std::string& name, bool otherwise) const {
  return integer(name, otherwise ? 1 : 0) != 0;
}
double Context::number(const std::string& name, std::optional<double> otherwise) const {
  return take(*this, name, Attribute::Kind::number, &Attribute::f, otherwise);
}
std::string Context::text(const std::string& name, std::optional<std::string> otherwise) const {
  return take(*this, name, Attribute::Kind::text, &Attribute::s, otherwise);
}
std::vector<int64_t> Context::integers(const std::string& name,
                                       std::vector<int64_t> otherwise) const {
  return take(*this, name, Attribute::Kind::integers, &Attribute::ints, {std::move(otherwise)});
}
std::vector<double> Context::numbers(const std::string& name) const {
  const Attribute* attribute = find(name);
  return attribute ? attribute->floats : std::vector<double>{};
}
std::vector<std::string> Context::texts(const std::string& name) const {
  const Attribute* attribute = find(name);
  return attribute ? attribute->strings : std::vector<std::string>{};
}
const Value& Context::tensor_attribute(const std::string& name) const {
  const Attribute* attribute = find(name);
  if (!attribute || attribute->kind != Attribute::Kind::tensor)
    fail(str("attribute '", name, "' is missing or no tensor"));
  return attribute->t;
}
const GraphDef& Context::graph_attribute(const std::string& name) const {
  const Attribute* attribute = find(name);
  if (!attribute || !attribute->g) fail(str("attribute '", name, "' is missing or no graph"));
  return *attribute->g;
}

std::vector<double> Context::numbers_of(const Tensor& tensor, const std::string& what) const {
  auto bytes = walk_.bytes(tensor, what);
  std::vector<double> out(static_cast<size_t>(tensor.elements()));
  visit(tensor.dtype(), [&]<class T>(std::type_identity<T>) {
    for (size_t i = 0; i < out.size(); ++i) {
      T element;
      std::memcpy(&element, bytes.data() + i * sizeof(T), sizeof(T));
      out[i] = static_cast<double>(element);
    }
  });
  return out;
}

std::vector<double> Context::numbers_of(size_t index) const {
  return numbers_of(in(index), str("input ", index));
}

std::vector<int64_t> Context::integers_of(size_t index) const {
  const Tensor& tensor = in(index);
  require(!is_floating(tensor.dtype()),
          str("input ", index, " is ", value(index).text(), "; expected integers"));
  auto bytes = walk_.bytes(tensor, str("input ", index));
  std::vector<int64_t> out(static_cast<size_t>(tensor.elements()));
  visit(tensor.dtype(), [&]<class T>(std::type_identity<T>) {
    for (size_t i = 0; i < out.size(); ++i) {
      T element;
      std::memcpy(&element, bytes.data() + i * sizeof(T), sizeof(T));
      out[i] = static_cast<int64_t>(element);
    }
  });
  return out;
}

int64_t Context::scalar_integer(size_t index) const {
  require(in(index).elements() == 1,
          str("input ", index, " is ", value(index).text(), "; expected one integer"));
  return integers_of(index)[0];
}
double Context::scalar_number(size_t index) const {
  require(in(index).elements() == 1,
          str("input ", index, " is ", value(index).text(), "; expected one number"));
  return numbers_of(index)[0];
}

std::optional<std::vector<int64_t>> Context::integers_from(const std::string& attribute,
                                                           size_t index) const {
  if (given(attribute)) return integers(attribute);
  if (has(index)) return integers_of(index);
  return std::nullopt;
}

}  // namespace wafer::onnx
