#include "wafer/models/summary.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "wafer/base/strings.h"
#include "wafer/nn/module_trace.h"
#include "wafer/op/op.h"

namespace wafer::models {

namespace {
void collect(const std::string& path, const nn::Module& module,
             std::map<std::string, const nn::Module*>& modules) {
  modules.emplace(path, &module);
  for (const auto& child : module.children()) {
    collect(path + "." + child.name, *child.module, modules);
  }
}

// Parameters of the module's own, not of its children.
int64_t own_parameters(const nn::Module& module) {
  int64_t count = 0;
  for (const auto& slot : module.named_parameters()) {
    if (slot.name.find('.') == slot.name.npos) count += slot.value->elements();
  }
  return count;
}

Shape without_batch(const Shape& shape) {
  if (shape.rank() == 0 || !(shape[0] == Dim(1))) return shape;
  return Shape(std::vector<Dim>(shape.dims().begin() + 1, shape.dims().end()));
}

std::string flops_text(double flops) {
  const char* units[] = {"", " k", " M", " G", " T"};
  int unit = 0;
  while (flops >= 1000 && unit < 4) flops /= 1000, ++unit;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f%s" : "%.1f%s", flops, units[unit]);
  return text;
}

// Evaluation mode while alive.
class EvaluationMode {
 public:
  explicit EvaluationMode(nn::Module& module) : module_(module), training_(module.training()) {
    module.eval();
  }
  ~EvaluationMode() { module_.train(training_); }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  nn::Module& module_;
  bool training_;
};
}  // namespace

std::vector<LayerInfo> layers(nn::UnaryModule& model, const Type& sample) {
  if (model.name().empty()) model.set_name(nn::class_name(model));
  std::vector<Dim> dims = sample.shape.dims();
  dims.insert(dims.begin(), Dim(1));
  EvaluationMode mode(model);
  auto trace = nn::trace_module(model, [&] {
    return std::vector<Tensor>{model(make_input({sample.dtype, Shape(dims)}, "input"))};
  });

  std::map<std::string, const nn::Module*> modules;
  collect(model.name(), model, modules);
  std::vector<LayerInfo> rows;
  std::map<std::string, size_t> row_of;
  for (const Node* node : topological_order(trace.outputs)) {
    if (node->is(op::input) || node->is(op::constant)) continue;
    bool layer = node->path != model.name() && modules.contains(node->path);
    if (!layer && node->is(op::broadcast_to)) continue;
    if (!layer || !row_of.contains(node->path)) {
      if (layer) row_of[node->path] = rows.size();
      rows.push_back({.path = node->path,
                      .layer = layer ? modules.at(node->path)->describe() : node->op->name,
                      .output = {},
                      .parameters = layer ? own_parameters(*modules.at(node->path)) : 0});
    }
    LayerInfo& row = rows[layer ? row_of[node->path] : rows.size() - 1];
    row.output = without_batch(node->outputs[0].shape);
    row.flops += cost(*node).flops;
  }
  return rows;
}

std::string summary(nn::UnaryModule& model, const Type& sample) {
  std::vector<std::vector<std::string>> table{{"layer", "", "output", "parameters", "flops"}};
  double flops = 0;
  for (const LayerInfo& row : layers(model, sample)) {
    table.push_back({row.path, row.layer, row.output.text(),
                     row.parameters > 0 ? human_count(row.parameters) : "", flops_text(row.flops)});
    flops += row.flops;
  }
  table.push_back({"total", str("input ", sample), "", human_count(model.parameter_count()),
                   flops_text(flops)});
  std::vector<size_t> widths(table[0].size());
  for (const auto& row : table) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : table) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      std::string gap(widths[i] - row[i].size(), ' ');
      line += i >= 3 ? gap + row[i] : row[i] + gap;
      line += "  ";
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

}  // namespace wafer::models
