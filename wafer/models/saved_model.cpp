#include "wafer/models/saved_model.h"

#include <nlohmann/json.hpp>

#include "wafer/io/safetensors.h"
#include "wafer/models/toml.h"
#include "wafer/train/tensor_file.h"

namespace wafer::models {

namespace {
constexpr const char* version = "1";
}

void save_model(const std::filesystem::path& path, const Model& model, const data::InputSpec& input,
                const std::string& toml) {
  nn::StateDict state = model.module->state_dict();
  std::vector<NamedMemory> tensors;
  for (const auto& [name, tensor] : state) {
    tensor.eval();
    tensors.push_back({name, tensor.type(), tensor.storage()->data()});
  }
  std::map<std::string, std::string> metadata = {{"wafer.model", version},
                                                 {"model", model.name},
                                                 {"options", nlohmann::json(model.options).dump()},
                                                 {"toml", toml},
                                                 {"input", input.to_json()}};
  write_tensor_file(path, tensors, metadata);
}

SavedModel load_model(const std::filesystem::path& path) {
  io::SafetensorsFile file(path);
  const std::string where = path.string();
  auto text = [&](const char* key) -> std::string {
    auto found = file.metadata().find(key);
    if (found == file.metadata().end()) {
      throw UserError(where, str("is not a saved model: no '", key, "' in its metadata"),
                      {.hint = "give a model.safetensors that `wafer train` wrote"});
    }
    return found->second;
  };
  WAFER_REQUIRE(text("wafer.model") == version, where, "a model file of version ",
                text("wafer.model"), "; this program reads version ", version);
  data::InputSpec input = data::InputSpec::from_json(text("input"), where);
  Options options;
  try {
    options = nlohmann::json::parse(text("options")).get<Options>();
  } catch (const nlohmann::json::exception& error) {
    throw UserError(where, str("the model's options cannot be read: ", error.what()));
  }
  DataSpec spec = spec_of(input.description);
  Model model = text("toml").empty() ? plan(text("model"), options, &spec)
                                     : from_toml_text(text("toml"), where, &spec);
  nn::StateDict state;
  for (const auto& entry : file.entries()) {
    Type type{dtype_from_safetensors(entry.dtype, where), Shape(entry.shape)};
    auto memory = std::as_bytes(std::span(entry.bytes.data(), entry.bytes.size()));
    state[entry.name] = Tensor::from_bytes(type.dtype, type.shape, memory);
  }
  try {
    model.module->load_state_dict(state);
  } catch (const UserError& error) {
    throw UserError(where, error.what());
  }
  return {std::move(model), std::move(input)};
}

}  // namespace wafer::models
