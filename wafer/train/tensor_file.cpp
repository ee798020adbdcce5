#include "wafer/train/tensor_file.h"

#include "wafer/io/safetensors.h"

namespace wafer {

namespace {
struct Name {
  DType dtype;
  const char* name;
};
constexpr Name names[] = {{DType::f64, "F64"},     {DType::f32, "F32"}, {DType::f16, "F16"},
                          {DType::bf16, "BF16"},   {DType::i64, "I64"}, {DType::i32, "I32"},
                          {DType::i16, "I16"},     {DType::i8, "I8"},   {DType::u64, "U64"},
                          {DType::u32, "U32"},     {DType::u16, "U16"}, {DType::u8, "U8"},
                          {DType::boolean, "BOOL"}};
}  // namespace

std::string safetensors_name(DType dtype) {
  for (const Name& entry : names) {
    if (entry.dtype == dtype) return entry.name;
  }
  throw UserError("safetensors", str("tensors of ", dtype, " cannot be stored"));
}

DType dtype_from_safetensors(const std::string& name, const std::string& where) {
  for (const Name& entry : names) {
    if (entry.name == name) return entry.dtype;
  }
  throw UserError(where, str("a tensor of dtype ", name, " has no counterpart here"));
}

void write_tensor_file(const std::filesystem::path& path, const std::vector<NamedMemory>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<io::TensorEntry> entries;
  for (const NamedMemory& tensor : tensors) {
    entries.push_back(
        {tensor.name, safetensors_name(tensor.type.dtype), tensor.type.shape.sizes(),
         io::ByteView(static_cast<const uint8_t*>(tensor.data), tensor.type.bytes())});
  }
  io::write_safetensors(path, entries, metadata);
}

}  // namespace wafer
