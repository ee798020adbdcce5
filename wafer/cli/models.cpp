#include <algorithm>
#include <cstdio>
#include <iostream>

#include "wafer/base/strings.h"
#include "wafer/cli/command.h"
#include "wafer/cli/model_argument.h"
#include "wafer/models/summary.h"
#include "wafer/runtime/registry.h"

namespace wafer::cli {

namespace {
struct Size {
  int64_t parameters = 0;
  double flops = 0;                        // of one example, forward
  size_t weight_bytes = 0, run_bytes = 0;  // run: values between layers, batch 1
};

// Without values: nothing of the model's size is allocated.
Size size_of(const std::string& name) {
  models::Model model = models::plan(name);
  Size size;
  for (const auto& slot : model.module->named_slots()) {
    if (slot.trainable) size.parameters += slot.value->elements();
    size.weight_bytes += slot.value->type().bytes();
  }
  for (const auto& layer : models::layers(*model.module, model.spec.input))
    size.flops += layer.flops;
  nn::UnaryModule* module = model.module.get();
  Graph graph = inference_graph(
      *module, [module](const Tensor& x) { return (*module)(x); }, with_batch(model.spec.input, 1));
  size.run_bytes = device("null")->target().compile(graph, {})->memory.arena;
  return size;
}

std::string flops_text(double flops) {
  char text[32];
  std::snprintf(text, sizeof text, flops < 1e9 ? "%.1f M" : "%.2f G",
                flops * (flops < 1e9 ? 1e-6 : 1e-9));
  return text;
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      std::string gap(widths[i] - row[i].size(), ' ');
      bool number = i >= 2 && i + 1 < row.size();
      line += (number ? gap + row[i] : row[i] + gap) + "  ";
    }
    std::cout << line.substr(0, line.find_last_not_of(' ') + 1) << "\n";
  }
}

Json size_json(const Size& size) {
  return {{"parameters", size.parameters},
          {"flops", size.flops},
          {"weight_bytes", size.weight_bytes},
          {"run_bytes", size.run_bytes}};
}

Outcome list_models() {
  std::vector<std::vector<std::string>> rows{
      {"model", "input", "parameters", "flops", "weights", "run", ""}};
  Outcome outcome;
  outcome.json["models"] = Json::array();
  for (const models::ModelInfo& info : models::list()) {
    Size size = size_of(info.name);
    std::string input;
    for (const auto& option : info.options) {
      if (option.name == "input") input = option.default_value;
    }
    rows.push_back({info.name, input, human_count(size.parameters), flops_text(size.flops),
                    human_bytes(static_cast<double>(size.weight_bytes)),
                    human_bytes(static_cast<double>(size.run_bytes)), info.description});
    Json json = size_json(size);
    json["name"] = info.name;
    outcome.json["models"].push_back(std::move(json));
  }
  print_table(rows);
  std::cout << "flops: forward, of one example. run: memory between layers, batch 1.\n"
               "`wafer models NAME` lists a model's options, `wafer check NAME` its layers.\n";
  return outcome;
}

Outcome show_model(const std::string& name) {
  Size size = size_of(name);  // its error names the models there are
  const auto& all = models::list();
  auto info =
      std::find_if(all.begin(), all.end(), [&](const auto& other) { return other.name == name; });
  std::cout << name << ": " << info->description << "\n  " << human_count(size.parameters)
            << " parameters, " << flops_text(size.flops) << "FLOP forward an example, weights "
            << human_bytes(static_cast<double>(size.weight_bytes)) << ", run "
            << human_bytes(static_cast<double>(size.run_bytes)) << " at batch 1\n";
  std::vector<std::vector<std::string>> rows{{"option", "default", ""}};
  for (const auto& option : info->options)
    rows.push_back({option.name, option.default_value, option.help});
  print_table(rows);
  Outcome outcome;
  outcome.json = size_json(size);
  outcome.json["name"] = name;
  for (const auto& option : info->options)
    outcome.json["options"][option.name] = option.default_value;
  return outcome;
}
}  // namespace

void add_models(CommandLine& line) {
  auto name = std::make_shared<std::string>();
  Command command = line.add(
      "models", "list the named models with parameters, flops and memory", "wafer models resnet50",
      [name](const Common&) { return name->empty() ? list_models() : show_model(*name); });
  command.option("name", *name, "one model: also lists its options");
}

}  // namespace wafer::cli
