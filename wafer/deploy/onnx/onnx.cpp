#include "wafer/deploy/onnx/onnx.h"

#include <set>

#include "wafer/deploy/onnx/walk.h"
#include "wafer/runtime/registry.h"
#include "wafer/tensor/jit.h"

namespace wafer::onnx {

namespace {
// A value against the type that the file states: kinds, elements, sizes; symbols must agree.
void check_input(const ValueInfo& info, const Value& value, std::map<std::string, int64_t>& symbols,
                 const std::string& where) {
  const TypeDef& type = info.type;
  auto refuse = [&](const std::string& why) {
    throw UserError(where, str("input '", info.name, "': ", why),
                    {.got = value.text(), .expected = type.text()});
  };
  if (type.kind == TypeDef::Kind::sequence && !value.sequence) refuse("no sequence");
  if (type.kind != TypeDef::Kind::tensor) return;
  if (!value.tensor && !value.strings) refuse("no tensor");
  if (type.element != ElementType::undefined && type.element != value.type)
    refuse("wrong element type");
  if (!type.has_shape) return;
  std::vector<int64_t> dims = dims_of(value);
  if (dims.size() != type.dims.size()) refuse("wrong number of dimensions");
  for (size_t i = 0; i < dims.size(); ++i) {
    if (type.dims[i].is_static()) {
      if (type.dims[i].value() != dims[i]) refuse("wrong shape");
    } else {
      auto [bound, fresh] = symbols.emplace(type.dims[i].text(), dims[i]);
      if (!fresh && bound->second != dims[i])
        refuse(str("dimension '", bound->first, "' is ", bound->second, " elsewhere"));
    }
  }
}
}  // namespace

Session::Session(std::shared_ptr<const ModelDef> model) : model_(std::move(model)) {
  std::set<std::string> initialised;
  for (const auto& [name, value] : model_->graph.initializers) initialised.insert(name);
  for (const ValueInfo& input : model_->graph.inputs)
    if (!initialised.count(input.name)) inputs_.push_back(input);
}

Graph Session::trace_with(const std::vector<std::string>& weights,
                          const std::vector<Tensor>& weight_values,
                          const std::vector<Type>& inputs) const {
  WAFER_REQUIRE(inputs.size() == inputs_.size(), model_->where, "the model has ", inputs_.size(),
                " inputs; got types for ", inputs.size());
  std::vector<std::string> names = weights;
  std::vector<Type> types;
  for (const Tensor& value : weight_values) types.push_back(value.type());
  for (const ValueInfo& input : inputs_) names.push_back(input.name);
  types.insert(types.end(), inputs.begin(), inputs.end());
  return trace(
      [&](const std::vector<Tensor>& tensors) {
        NamedValues values;
        for (size_t i = 0; i < tensors.size(); ++i) {
          Value value = tensors[i];
          if (i >= weights.size() &&
              inputs_[i - weights.size()].type.element != ElementType::undefined)
            value.type = inputs_[i - weights.size()].type.element;
          values.emplace(names[i], value);
        }
        Walk walk(*model_, true, default_device(), Limits::ahead());
        std::vector<Tensor> outputs;
        for (const Value& value :
             walk.graph(model_->graph, std::move(values), nullptr, model_->opsets)) {
          WAFER_REQUIRE(static_cast<bool>(value.tensor), model_->where, "an output is ",
                        value.text(), ", which no compiled graph can give");
          outputs.push_back(value.tensor);
        }
        return outputs;
      },
      types, names);
}

Graph Session::graph(const std::vector<Type>& inputs) const {
  return trace_with({}, {}, inputs);
}

Session::WeightedGraph Session::graph_with_weights(const std::vector<Type>& inputs) const {
  WeightedGraph out;
  for (const auto& [name, value] : model_->graph.initializers) {
    bool weight = value.tensor && !is_carried(value.type) && is_floating(value.tensor.dtype()) &&
                  value.tensor.elements() > 8;
    if (!weight) continue;
    out.names.push_back(name);
    out.weights.push_back(value.tensor);
  }
  out.graph = trace_with(out.names, out.weights, inputs);
  return out;
}

std::vector<Type> Session::input_types(const std::map<std::string, int64_t>& dims,
                                       int64_t otherwise) const {
  std::vector<Type> types;
  for (const ValueInfo& input : inputs_) {
    const TypeDef& type = input.type;
    bool usable = type.kind == TypeDef::Kind::tensor && type.has_shape &&
                  type.element != ElementType::undefined && type.element != ElementType::string;
    WAFER_REQUIRE(usable, model_->where, "input '", input.name, "' is ", type.text(),
                  "; expected a tensor of numbers with its dimensions");
    std::vector<int64_t> sizes;
    for (const Dim& dim : type.dims) {
      auto given = dims.find(dim.text());
      sizes.push_back(dim.is_static()       ? dim.value()
                      : given != dims.end() ? given->second
                                            : otherwise);
    }
    types.push_back({carrier(type.element), Shape(sizes)});
  }
  return types;
}

Session::Outputs Session::run(const std::vector<Value>& inputs, std::shared_ptr<Device> device,
                              const Limits& limits) const {
  WAFER_REQUIRE(inputs.size() == inputs_.size(), model_->where, "the model has ", inputs_.size(),
                " inputs; got ", inputs.size());
  if (!device) device = default_device();
  NamedValues values;
  std::map<std::string, int64_t> symbols;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i]) check_input(inputs_[i], inputs[i], symbols, model_->where);
    values.emplace(inputs_[i].name, inputs[i]);
  }
  Walk walk(*model_, false, device, limits);
  Outputs outputs;
  outputs.values = walk.graph(model_->graph, std::move(values), nullptr, model_->opsets);
  std::vector<Tensor> tensors;
  auto collect = [&](const Value& value, auto& self) -> void {
    if (value.tensor) tensors.push_back(value.tensor);
    if (value.sequence)
      for (const Value& element : *value.sequence) self(element, self);
  };
  for (const Value& value : outputs.values) collect(value, collect);
  walk.evaluate(tensors);
  outputs.segments = walk.segments();
  return outputs;
}

}  // namespace wafer::onnx
