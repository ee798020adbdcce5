#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "wafer/io/file.h"

namespace wafer::io {

// NumPy's .npy format (versions 1 to 3), C order and little-endian only.
struct NpyArray {
  std::string descr;           // NumPy's dtype string: "<f4", "<i8", "|u1", "|b1", ...
  std::vector<int64_t> shape;  // empty: a scalar
  Bytes bytes;                 // row-major
};

// Bytes of one element of a dtype string that these readers take; 0 for any other (objects, text,
// records).
int npy_item_size(const std::string& descr);

// UserError names `where`, and the field or offset that is wrong.
NpyArray parse_npy(ByteView bytes, const std::string& where);
NpyArray read_npy(const std::filesystem::path& path);
// The arrays of an .npz by name, without ".npy".
std::map<std::string, NpyArray> read_npz(const std::filesystem::path& path);

// Writes format 1.0 (2.0 where the header needs it) atomically; the data starts at a multiple
// of 64.
void write_npy(const std::filesystem::path& path, const std::string& descr,
               const std::vector<int64_t>& shape, ByteView bytes);

}  // namespace wafer::io
