#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "wafer/io/file.h"

namespace wafer::io {

// The safetensors format (huggingface/safetensors): 8 bytes little-endian header length, a JSON
// header, then the tensors' bytes without gaps.

struct TensorEntry {
  std::string name;
  std::string dtype;           // as in the file: "F32", "BF16", "I64", "BOOL", ...
  std::vector<int64_t> shape;  // empty: a scalar
  ByteView bytes;              // row-major, little-endian; belongs to the file or the caller
};

// Bits of one element of a safetensors dtype; 0 when there is no such dtype.
int safetensors_bits(const std::string& dtype);

struct SafetensorsContent {
  std::vector<TensorEntry> entries;  // sorted by name
  std::map<std::string, std::string> metadata;
};

// Checks every length, offset and shape before use. `where` names the file in errors (UserError).
// The entries' bytes point into `bytes`.
SafetensorsContent parse_safetensors(ByteView bytes, const std::string& where);

// A memory-mapped file; entries are valid while it lives.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::vector<TensorEntry>& entries() const { return content_.entries; }
  const std::map<std::string, std::string>& metadata() const { return content_.metadata; }
  // Null when absent.
  const TensorEntry* find(const std::string& name) const;
  // UserError when absent, with the nearest name.
  const TensorEntry& at(const std::string& name) const;

 private:
  std::string where_;
  MemoryMap map_;
  SafetensorsContent content_;
};

// Writes atomically. Tensors are stored by element size (largest first), then by name, so that each
// one is aligned to its element; the header is padded with spaces to 8 bytes. The same input gives
// the same bytes.
void write_safetensors(const std::filesystem::path& path, const std::vector<TensorEntry>& entries,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace wafer::io
