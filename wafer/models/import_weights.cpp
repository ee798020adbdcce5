#include "wafer/models/import_weights.h"

#include <algorithm>

#include "wafer/base/strings.h"
#include "wafer/io/safetensors.h"
#include "wafer/models/start_from.h"
#include "wafer/op/elementwise.h"
#include "wafer/train/tensor_file.h"

namespace wafer::models {

namespace {
bool is_counter(const std::string& name) {
  return name == "num_batches_tracked" || name.ends_with(".num_batches_tracked");
}

// What DataParallel, torch.compile and wrapping modules put before every name.
std::string shared_prefix(const nn::StateDict& state, const std::vector<std::string>& names) {
  for (const std::string prefix : {"module.", "_orig_mod.", "model."}) {
    auto has = [&](const std::string& name) { return name.starts_with(prefix); };
    bool all =
        std::all_of(state.begin(), state.end(), [&](auto& entry) { return has(entry.first); });
    if (all && !state.empty() && std::none_of(names.begin(), names.end(), has)) return prefix;
  }
  return "";
}

nn::StateDict read_weights(const std::filesystem::path& path) {
  refuse_pickle(path);
  io::SafetensorsFile file(path);
  nn::StateDict state;
  for (const auto& entry : file.entries()) {
    if (entry.name.starts_with("wafer.graph.")) continue;  // constants of a saved model's graph
    auto memory = std::as_bytes(std::span(entry.bytes.data(), entry.bytes.size()));
    state[entry.name] = Tensor::from_bytes(dtype_from_safetensors(entry.dtype, path.string()),
                                           Shape(entry.shape), memory);
  }
  return state;
}

// A heading and one indented line each; of very many, how many more there are.
std::string listed(const std::string& heading, const std::vector<std::string>& lines) {
  constexpr size_t most = 400;
  std::string text = str("\n  ", heading, ":");
  for (size_t i = 0; i < std::min(most, lines.size()); ++i) text += "\n    " + lines[i];
  if (lines.size() > most) text += str("\n    and ", lines.size() - most, " more");
  return text;
}
}  // namespace

std::vector<std::string> load_weights(Model& model, const std::filesystem::path& path) {
  nn::StateDict state = read_weights(path);
  std::vector<std::string> notes, names;
  auto slots = model.module->named_slots();
  for (const auto& slot : slots) names.push_back(slot.name);
  if (std::string prefix = shared_prefix(state, names); !prefix.empty()) {
    nn::StateDict stripped;
    for (const auto& [name, value] : state) stripped[name.substr(prefix.size())] = value;
    state = std::move(stripped);
    notes.push_back(str("the prefix '", prefix, "' of all names is left out"));
  }

  std::vector<std::string> missing, unexpected, misshapen, cast_names, left_over, unmet;
  for (const auto& [name, value] : state)
    if (!std::count(names.begin(), names.end(), name) && !is_counter(name))
      left_over.push_back(name);
  for (const auto& slot : slots)
    if (!state.count(slot.name) && !is_counter(slot.name)) unmet.push_back(slot.name);
  for (const std::string& name : unmet) missing.push_back(name + did_you_mean(name, left_over));
  for (const std::string& name : left_over) unexpected.push_back(name + did_you_mean(name, unmet));
  nn::StateDict fitting;
  for (const auto& slot : slots) {
    auto found = state.find(slot.name);
    if (found == state.end()) {
      if (is_counter(slot.name)) fitting[slot.name] = Tensor::from_values<int64_t>({0}, Shape{});
      continue;
    }
    const Tensor& value = found->second;
    if (!(value.shape() == slot.value->shape())) {
      misshapen.push_back(str(slot.name, ": ", value.shape(), " in the file, ", slot.value->shape(),
                              " in the model"));
    } else if (is_floating(value.dtype()) != is_floating(slot.value->dtype())) {
      misshapen.push_back(str(slot.name, ": ", value.dtype(), " in the file, ", slot.value->dtype(),
                              " in the model"));
    } else {
      if (value.dtype() != slot.value->dtype()) cast_names.push_back(slot.name);
      fitting[slot.name] = value;
    }
  }
  if (!missing.empty() || !unexpected.empty() || !misshapen.empty()) {
    std::string text =
        str("the weights do not fit ", model.name, ": ", missing.size(), " missing, ",
            unexpected.size(), " unexpected, ", misshapen.size(), " misshapen");
    if (!missing.empty()) text += listed("missing", missing);
    if (!unexpected.empty()) text += listed("unexpected", unexpected);
    if (!misshapen.empty()) text += listed("misshapen", misshapen);
    throw UserError(path.string(), text,
                    {.hint = "another model or other options may fit: wafer models " + model.name});
  }
  if (!cast_names.empty()) {
    notes.push_back(str(cast_names.size(), " tensors, such as ", cast_names[0], ", are cast from ",
                        state.at(cast_names[0]).dtype()));
  }
  model.module->load_state_dict(fitting);
  for (const auto& slot : model.module->named_slots()) slot.value->eval();
  return notes;
}

}  // namespace wafer::models
