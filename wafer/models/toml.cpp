#include "wafer/models/toml.h"

#include "wafer/base/strings.h"
#include "wafer/io/file.h"
#include "wafer/models/options.h"
#include "wafer/models/toml_reader.h"
#include "wafer/nn/sequential.h"
#include "wafer/op/elementwise.h"

namespace wafer::models {

namespace {
// x + body(x).
class Residual : public nn::UnaryModule {
 public:
  Residual() { add("body", body); }
  Tensor forward(const Tensor& x) override {
    Tensor y = body(x);
    if (!(y.shape() == x.shape())) {
      throw UserError("residual", "the layers change the shape, so the input cannot be added",
                      {.got = str("input ", x.shape(), ", output ", y.shape()),
                       .expected = "layers that keep the shape",
                       .hint = "check stride, padding and numbers of channels"});
    }
    return x + y;
  }

  nn::Sequential body;
};

// Puts file and line before the text of a UserError that has them not.
template <class Body>
auto at_line(const std::string& file, const std::string& line, Body&& body) {
  try {
    return body();
  } catch (const UserError& error) {
    std::string text = error.what();
    if (text.starts_with("[" + file)) throw;
    throw UserError(str("[", line, "] ", text));
  }
}

class LayerStack {
 public:
  LayerStack(std::string file, DataSpec spec, int64_t vocabulary)
      : file_(std::move(file)), spec_(std::move(spec)), vocabulary_(vocabulary) {}

  // Appends the layers to `body`, and traces x through each as it is added.
  Tensor append(nn::Sequential& body, const std::vector<const toml::table*>& tables, Tensor x) {
    for (const toml::table* table : tables) x = append_layer(body, *table, x);
    return x;
  }

 private:
  Tensor append_layer(nn::Sequential& body, const toml::table& table, const Tensor& x) {
    std::string line = table.source().begin ? str(file_, ":", table.source().begin.line) : file_;
    auto type = table["type"].value<std::string>();
    WAFER_REQUIRE(type, line, "a layer needs a type, like type = \"linear\"");
    std::unique_ptr<nn::UnaryModule> layer;
    std::vector<std::string> keys{"type", "name"};
    if (*type == "residual") {
      keys.push_back("layer");
      TomlTable keyed(table, file_, "residual", keys);
      WAFER_REQUIRE(!keyed.tables("layer").empty(), line,
                    "residual has no layers; write them as [[layer.layer]]");
      auto residual = std::make_unique<Residual>();
      append(residual->body, keyed.tables("layer"), x);
      layer = std::move(residual);
    } else {
      const LayerType& found = find_type(*type, line);
      keys.insert(keys.end(), found.keys.begin(), found.keys.end());
      TomlTable keyed(table, file_, *type, keys);
      layer = at_line(file_, line, [&] { return found.make({keyed, x, spec_, vocabulary_}); });
    }
    std::string name = TomlTable(table, file_, *type, keys).text("name", "");
    return at_line(file_, line, [&] {
      body.append(std::move(layer), name);
      nn::UnaryModule& added = body[body.size() - 1];
      added.eval();  // one sample has no statistics of a batch
      Tensor y = added(x);
      added.train();
      return y;
    });
  }

  const LayerType& find_type(const std::string& type, const std::string& line) const {
    std::vector<std::string> names{"residual"};
    for (const LayerType& candidate : layer_types()) {
      if (candidate.name == type) return candidate;
      names.push_back(candidate.name);
    }
    throw UserError(line, str("no layer type '", type, "'", did_you_mean(type, names),
                              "; there are ", join(names, ", ")));
  }

  std::string file_;
  DataSpec spec_;
  int64_t vocabulary_;
};

Task task_of(const TomlTable& root) {
  std::string text = root.text("task", "classification");
  for (Task task : {Task::classification, Task::regression, Task::next_token}) {
    if (text == data::name(task)) return task;
  }
  root.fail("task", "\"classification\", \"regression\" or \"next_token\"");
}

// The data set's, or else what the file says.
DataSpec spec_of(const TomlTable& root, const DataSpec* data) {
  DataSpec spec;
  spec.task = data && !root.has("task") ? data->task : task_of(root);
  spec.outputs = data && data->outputs > 0 ? data->outputs : root.integer("outputs", 0, 0);
  if (data) {
    spec.input = data->input;
    return spec;
  }
  WAFER_REQUIRE(root.has("input"), root.file(),
                "the shape of the input is not known; write input = [3, 32, 32] at the top, or "
                "give it on the command line");
  spec.input.shape = Shape(root.sizes("input", {}, 1).values);
  spec.input.dtype = root.integer("vocabulary", 0, 0) > 0 ? DType::i64 : DType::f32;
  return spec;
}

// The output must be what the task asks for.
void check_output(const Tensor& y, DataSpec& spec, const std::string& where) {
  int rank = spec.task == Task::next_token ? 3 : 2;
  const char* expected = rank == 3 ? "[batch, length, outputs] for next_token" : "[batch, outputs]";
  if (y.rank() != rank) {
    throw UserError(where, str("the last layer gives ", y.shape(), " (with the batch)"),
                    {.got = "",
                     .expected = expected,
                     .hint = rank == 2 ? "end with a flatten and a linear layer" : ""});
  }
  if (spec.outputs == 0) spec.outputs = y.size(-1);
  if (y.size(-1) == spec.outputs) return;
  throw UserError(
      where,
      str("the last layer gives ", y.size(-1), " outputs, but there are ", spec.outputs,
          spec.task == Task::next_token   ? " tokens"
          : spec.task == Task::regression ? " numbers to predict"
                                          : " classes"),
      {.got = "",
       .expected = "",
       .hint = str("write out = ", spec.outputs, " in the last linear layer, or leave it out")});
}
}  // namespace

Model from_toml_text(const std::string& text, const std::string& where, const DataSpec* data,
                     uint64_t seed) {
  toml::table table;
  try {
    table = toml::parse(text, where);
  } catch (const toml::parse_error& error) {
    throw UserError(str(where, ":", error.source().begin.line), std::string(error.description()));
  }
  TomlTable root(table, where, "a model",
                 {"name", "input", "outputs", "task", "vocabulary", "layer"});
  Model model;
  std::string stem = std::filesystem::path(where).stem().string();
  model.name = root.text("name", stem);
  WAFER_REQUIRE(!model.name.empty(), root.where("name"), "the model's name is empty");
  model.spec = spec_of(root, data);
  auto layer_tables = root.tables("layer");
  WAFER_REQUIRE(!layer_tables.empty(), where, "no layers; write them as [[layer]]");

  int64_t vocabulary = root.integer("vocabulary", 0, 0);
  if (data && is_integer(data->input.dtype)) vocabulary = data->outputs;
  auto body = std::make_unique<nn::Sequential>();
  body->set_name(model.name);
  std::vector<Dim> dims = model.spec.input.shape.dims();
  dims.insert(dims.begin(), Dim(1));
  Tensor x = make_input({model.spec.input.dtype, Shape(dims)}, "input");
  PathScope path = PathScope::whole(model.name);
  Tensor y = LayerStack(where, model.spec, vocabulary).append(*body, layer_tables, x);
  check_output(y, model.spec, str(where, ":", layer_tables.back()->source().begin.line));
  if (!nn::init::deferred()) body->initialise(seed);
  model.module = std::move(body);
  model.toml = text;
  return model;
}

Model from_toml(const std::filesystem::path& path, const DataSpec* data, uint64_t seed) {
  return from_toml_text(io::read_text_file(path, 1 << 24), path.string(), data, seed);
}

std::vector<std::pair<std::string, std::vector<std::string>>> toml_layers() {
  std::vector<std::pair<std::string, std::vector<std::string>>> result;
  for (const LayerType& type : layer_types()) result.emplace_back(type.name, type.keys);
  result.emplace_back("residual", std::vector<std::string>{"layer"});
  return result;
}

Model create_or_load(const std::string& name_or_path, const Options& options, const DataSpec* data,
                     uint64_t seed) {
  if (!name_or_path.ends_with(".toml")) return create(name_or_path, options, data, seed);
  WAFER_REQUIRE(options.empty(), name_or_path, "a model from a file takes no options; got '",
                options.begin()->first, "'; write it into the file");
  return from_toml(name_or_path, data, seed);
}

}  // namespace wafer::models
