#include "wafer/deploy/onnx/rules.h"
#include "wafer/deploy/onnx/walk.h"

// Sequences and optionals: lists of values that are known when the graph is made.
namespace wafer::onnx {

namespace {
// Sequences hold tensors, so that they are neither deep nor double.
const Value& element(const Context& c, const Value& value) {
  c.require(value.tensor || value.strings,
            str("an element is ", value.text(), "; expected a tensor"));
  return value;
}

// Each is a node of the graph.
int64_t most_parts(const Context& c) {
  return c.walk().ahead() ? 20'000 : 100'000;
}

Values sequence_construct(Context& c) {
  std::vector<Value> values;
  for (size_t i = 0; i < c.inputs(); ++i) values.push_back(element(c, c.value(i)));
  return {Value::of_sequence(std::move(values))};
}
Values sequence_empty(Context& c) {
  Value value = Value::of_sequence({});
  value.type = element_type(c.integer("dtype", 1), "SequenceEmpty");
  return {value};
}

// A place in a sequence of `size`, negative ones from the end.
size_t position(const Context& c, size_t input, size_t size, size_t limit) {
  int64_t at = c.scalar_integer(input);
  if (at < 0) at += static_cast<int64_t>(size);
  c.require(at >= 0 && at < static_cast<int64_t>(limit), "a position out of range");
  return static_cast<size_t>(at);
}

Values sequence_at(Context& c) {
  const auto& values = c.sequence(0);
  return {values[position(c, 1, values.size(), values.size())]};
}
Values sequence_insert(Context& c) {
  const auto& given = c.sequence(0);
  std::vector<Value> values;
  values.reserve(given.size() + 1);
  values = given;
  size_t at = c.has(2) ? position(c, 2, values.size(), values.size() + 1) : values.size();
  values.insert(values.begin() + static_cast<std::ptrdiff_t>(at), element(c, c.value(1)));
  return {Value::of_sequence(std::move(values))};
}
Values sequence_erase(Context& c) {
  auto values = c.sequence(0);
  c.require(!values.empty(), "the sequence is empty");
  size_t at = c.has(1) ? position(c, 1, values.size(), values.size()) : values.size() - 1;
  values.erase(values.begin() + static_cast<std::ptrdiff_t>(at));
  return {Value::of_sequence(std::move(values))};
}
Values sequence_length(Context& c) {
  return {Tensor(static_cast<int64_t>(c.sequence(0).size()))};
}

Values split_to_sequence(Context& c) {
  const Tensor& x = c.in(0);
  int axis = axis_of(c, c.integer("axis", 0), x.rank());
  int64_t total = x.size(axis);
  auto check_parts = [&](int64_t parts) {
    int64_t most = most_parts(c);
    c.require(parts <= most, str(parts, " parts; expected at most ", most));
  };
  if (!c.has(1)) check_parts(total);
  Ints sizes(static_cast<size_t>(c.has(1) ? 0 : total), 1);
  bool keep = c.has(1) || c.flag("keepdims", true);
  if (c.has(1)) {
    sizes = c.integers_of(1);
    if (c.in(1).rank() == 0) {
      int64_t each = sizes[0];
      c.require(each > 0, "parts of no elements");
      check_parts(total / each);
      sizes.clear();
      for (int64_t at = 0; at < total; at += each) sizes.push_back(std::min(each, total - at));
    }
  }
  check_parts(static_cast<int64_t>(sizes.size()));
  std::vector<Value> parts;
  int64_t at = 0;
  for (int64_t size : sizes) {
    c.require(size >= 0 && at + size <= total, "the parts do not add up to the dimension");
    Tensor part = narrow(x, axis, at, at + size);
    parts.emplace_back(keep ? part : squeeze(part, axis), c.type(0));
    at += size;
  }
  c.require(at == total, "the parts do not add up to the dimension");
  return {Value::of_sequence(std::move(parts))};
}

Values concat_from_sequence(Context& c) {
  std::vector<Tensor> parts;
  bool fresh = c.flag("new_axis");
  for (const Value& value : c.sequence(0)) parts.push_back(value.tensor);
  c.require(!parts.empty() && parts[0], "the sequence holds no tensors");
  int axis = axis_of(c, c.integer("axis"), parts[0].rank() + (fresh ? 1 : 0));
  return {Value(fresh ? stack(parts, axis) : concat(parts, axis), c.value(0).type)};
}

Values sequence_map(Context& c) {
  const GraphDef& body = c.graph_attribute("body");
  size_t length = c.sequence(0).size();
  std::vector<std::vector<Value>> results(body.outputs.size());
  for (size_t step = 0; step < length; ++step) {
    Values inputs;
    for (size_t i = 0; i < c.inputs(); ++i) {
      const Value& value = c.value(i);
      c.require(!value.sequence || value.sequence->size() == length,
                "the sequences differ in length");
      inputs.push_back(value.sequence ? (*value.sequence)[step] : value);
    }
    Values outputs = c.walk().subgraph(body, inputs, c.scope());
    for (size_t i = 0; i < outputs.size(); ++i) results[i].push_back(element(c, outputs[i]));
  }
  Values out;
  for (auto& list : results) out.push_back(Value::of_sequence(std::move(list)));
  return out;
}

Values optional_rule(Context& c) {
  return {c.has(0) ? c.value(0) : Value::empty()};
}
Values optional_has_element(Context& c) {
  bool has = c.has(0) && !c.value(0).empty_optional;
  return {Tensor::from_values(std::vector<bool>{has}, Shape{})};
}
Values optional_get_element(Context& c) {
  c.require(!c.value(0).empty_optional, "the optional is empty");
  return {c.value(0)};
}

constexpr RuleEntry sequence_table[] = {
    {"ConcatFromSequence", concat_from_sequence, true},
    {"Optional", optional_rule, true},
    {"OptionalGetElement", optional_get_element, true},
    {"OptionalHasElement", optional_has_element, true},
    {"SequenceAt", sequence_at, true},
    {"SequenceConstruct", sequence_construct, true},
    {"SequenceEmpty", sequence_empty, true},
    {"SequenceErase", sequence_erase, true},
    {"SequenceInsert", sequence_insert, true},
    {"SequenceLength", sequence_length, true},
    {"SequenceMap", sequence_map, true},
    {"SplitToSequence", split_to_sequence, true},
};
}  // namespace

RuleList sequence_rules() {
  return sequence_table;
}

}  // namespace wafer::onnx
