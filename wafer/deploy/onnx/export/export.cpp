#include "wafer/deploy/onnx/export.h"

#include <algorithm>
#include <array>

#include "wafer/deploy/onnx/export/emit.h"
#include "wafer/deploy/onnx/schema.h"
#include "wafer/op/op.h"
#include "wafer/pass/decompose.h"
#include "wafer/pass/unused.h"
#include "wafer/runtime/artifact.h"

namespace wafer::onnx {

namespace exporter {

namespace {
constexpr int64_t oldest_opset = 17;

const std::map<const OpDef*, const RuleEntry*>& rules_by_op() {
  static const auto rules = [] {
    std::map<const OpDef*, const RuleEntry*> all;
    for (RuleList list :
         {elementwise_rules(), shape_rules(), reduce_rules(), contraction_rules(), pool_rules(),
          index_rules(), norm_rules(), recurrent_rules(), control_flow_rules()}) {
      for (const RuleEntry& entry : list) {
        WAFER_CHECK(all.emplace(entry.op, &entry).second, "two rules write ", entry.op->name);
      }
    }
    return all;
  }();
  return rules;
}

// The oldest IR version whose readers know the operator set.
int64_t ir_version_of(int64_t opset) {
  constexpr std::array<int64_t, 11> versions = {8, 8, 9, 9, 10, 10, 11, 12, 13, 13, 13};
  return versions.at(static_cast<size_t>(opset - oldest_opset));
}

// ONNX as something that graphs are decomposed for.
class OnnxTarget : public Target {
 public:
  OnnxTarget(int64_t opset, const Graph& graph) : opset_(opset) { note_uses(graph); }

  std::string name() const override { return str("ONNX operator set ", opset_); }
  Support supports(const Node& node) const override {
    const RuleEntry* entry = find_rule(node.op);
    if (!entry) return {false, "ONNX has no operators that say this"};
    if (!entry->refuses) return {};
    auto used = used_.find(&node);
    // Of a node that a decomposition made nothing is known.
    std::string reason = entry->refuses(
        node, opset_, used == used_.end() ? Used(node.outputs.size(), true) : used->second);
    return {reason.empty(), reason};
  }
  std::shared_ptr<const Artifact> compile(const Graph&, const CompileOptions&) const override {
    throw UserError("onnx", "a file to exchange models with; nothing runs on it");
  }

 private:
  void note_uses(const Graph& graph) {
    for (const Tensor& output : graph.outputs) note(output);
    for (const Node* node : topological_order(graph)) {
      for (const Tensor& input : node->inputs) note(input);
      for (const auto& subgraph : node->subgraphs) note_uses(*subgraph);
    }
  }
  void note(const Tensor& tensor) {
    Used& used = used_[&tensor.node()];
    used.resize(tensor.node().outputs.size());
    used[static_cast<size_t>(tensor.index())] = true;
  }

  int64_t opset_;
  std::map<const Node*, Used> used_;
};

ValueInfo info(const std::string& name, const Type& type) {
  TypeDef def;
  def.kind = TypeDef::Kind::tensor;
  def.element = element_type_of(type.dtype);
  def.has_shape = true;
  def.dims = type.shape.dims();
  return {name, def};
}
}  // namespace

const RuleEntry* find_rule(const OpDef* op) {
  auto found = rules_by_op().find(op);
  return found == rules_by_op().end() ? nullptr : found->second;
}

}  // namespace exporter

std::shared_ptr<const ModelDef> to_onnx(const Graph& graph, const std::vector<ExportInput>& inputs,
                                        const std::vector<std::string>& outputs,
                                        const ExportOptions& options) {
  using namespace exporter;  // NOLINT
  int64_t opset = options.opset == 0 ? newest_opset : options.opset;
  WAFER_REQUIRE(opset >= oldest_opset && opset <= newest_opset, "export", "operator set ", opset,
                "; models are written for ", oldest_opset, " to ", newest_opset);
  WAFER_CHECK(inputs.size() == graph.inputs.size() && outputs.size() == graph.outputs.size(),
              "export: ", inputs.size(), " and ", outputs.size(), " names for ",
              graph.inputs.size(), " inputs and ", graph.outputs.size(), " outputs");

  Graph used = drop_unused_outputs(graph);
  OnnxTarget target(opset, used);
  Graph lowered = decompose(used, target);

  std::set<const Node*> read;
  for (const Node* node : topological_order(lowered))
    for (const Tensor& input : node->inputs) read.insert(&input.node());
  for (const Tensor& output : lowered.outputs) read.insert(&output.node());

  Emitter emitter(opset);
  auto take = [&](const std::string& name) {
    WAFER_REQUIRE(!name.empty() && emitter.fresh(name) == name, "export", "the name '", name,
                  "' is empty or given twice");
  };
  for (const std::string& name : outputs) take(name);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const ExportInput& input = inputs[i];
    take(input.name);
    const Type& type = lowered.inputs[i].type();
    Ref ref{input.name, type.dtype};
    emitter.bind(lowered.inputs[i], ref);
    if (input.value) {
      WAFER_CHECK(input.value.type() == type, "export: ", input.name, " is ", input.value.type(),
                  ", not ", type);
      if (!read.count(&lowered.inputs[i].node())) continue;
      input.value.eval();
      emitter.top().initializers.emplace_back(input.name, input.value);
    } else {
      emitter.top().inputs.push_back(info(input.name, type));
      emitter.learn_symbols(ref, type.shape);
    }
  }
  Refs results = emitter.outputs_of(lowered);
  for (size_t i = 0; i < outputs.size(); ++i) {
    emitter.name_output(results[i], outputs[i]);
    emitter.top().outputs.push_back(info(outputs[i], lowered.outputs[i].type()));
  }

  auto model = std::make_shared<ModelDef>();
  model->where = "export";
  model->ir_version = ir_version_of(opset);
  model->producer = "wafer";
  model->opsets[""] = opset;
  model->graph = std::move(emitter.top());
  model->graph.name = options.name;
  return model;
}

std::filesystem::path export_model(const std::filesystem::path& path, const Graph& graph,
                                   const std::vector<ExportInput>& inputs,
                                   const std::vector<std::string>& outputs,
                                   const ExportOptions& options) {
  return write_model(path, *to_onnx(graph, inputs, outputs, options), options.external_data);
}

std::vector<ExportedOp> exported_ops() {
  std::vector<ExportedOp> list;
  for (const OpDef* op : all_ops()) {
    if (op == &op::input || op == &op::constant) continue;
    const exporter::RuleEntry* entry = exporter::find_rule(op);
    std::string how = op->decompose ? "decomposed" : "ONNX cannot say it";
    if (entry) how = str(entry->how, entry->refuses && op->decompose ? ", or decomposed" : "");
    list.push_back({op->name, how});
  }
  return list;
}

}  // namespace wafer::onnx
