#include "wafer/deploy/onnx/model.h"

#include "wafer/io/file.h"

namespace wafer::onnx {

std::string TypeDef::text() const {
  switch (kind) {
    case Kind::tensor: {
      std::string dimensions = "?";
      if (has_shape) {
        dimensions.clear();
        for (const Dim& dim : dims) dimensions += (dimensions.empty() ? "" : "x") + dim.text();
      }
      return str(element, "[", dimensions, "]");
    }
    case Kind::sequence: return str("sequence(", inner ? inner->text() : "?", ")");
    case Kind::optional: return str("optional(", inner ? inner->text() : "?", ")");
    default: return "?";
  }
}

std::string NodeDef::text() const {
  std::string label = name;
  for (const std::string& output : outputs)
    if (label.empty()) label = output;
  return str("node '", label, "' (", domain.empty() ? "" : domain + ".", op_type, ")");
}

std::shared_ptr<const ModelDef> read_model(const std::filesystem::path& path) {
  io::MemoryMap file(path);
  std::filesystem::path folder = path.parent_path();
  return parse_model(file.bytes(), path.string(), folder.empty() ? "." : folder);
}

#ifdef WAFER_ONNX
bool available() {
  return true;
}
#else
namespace {
[[noreturn]] void throw_absent(const std::string& where) {
  throw UserError(where, "this build knows no ONNX",
                  {.hint = "run scripts/setup.sh, which installs protobuf and the ONNX format, and "
                           "build again"});
}
}  // namespace
bool available() {
  return false;
}
std::shared_ptr<const ModelDef> parse_model(std::span<const uint8_t>, const std::string& where,
                                            const std::filesystem::path&) {
  throw_absent(where);
}
std::filesystem::path write_model(const std::filesystem::path& path, const ModelDef&, bool) {
  throw_absent(path.string());
}
std::string serialise(const ModelDef& model) {
  throw_absent(model.where);
}
Value read_value(const std::filesystem::path& path, const TypeDef&) {
  throw_absent(path.string());
}
#endif

}  // namespace wafer::onnx
