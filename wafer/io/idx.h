#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "wafer/io/file.h"

namespace wafer::io {

// The IDX format of MNIST (http://yann.lecun.com/exdb/mnist): big-endian dimensions, then the
// elements.
struct IdxArray {
  enum class Type : uint8_t {
    u8 = 0x08,
    i8 = 0x09,
    i16 = 0x0B,
    i32 = 0x0C,
    f32 = 0x0D,
    f64 = 0x0E
  };
  Type type = Type::u8;
  std::vector<int64_t> shape;
  Bytes bytes;  // row-major, in this machine's byte order
};

// UserError names `where`, and the field and offset that is wrong.
IdxArray parse_idx(ByteView bytes, const std::string& where);
// Also gzip-compressed.
IdxArray read_idx(const std::filesystem::path& path);

}  // namespace wafer::io
