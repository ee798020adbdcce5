#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>

#include "wafer/base/error.h"
#include "wafer/io/file.h"

namespace wafer::io {

// Reads numbers and runs of bytes in order; every read is checked, and a short file is a UserError
// that names the file, the field and its offset.
class ByteReader {
 public:
  ByteReader(ByteView bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  uint64_t offset() const { return offset_; }
  uint64_t remaining() const { return bytes_.size() - offset_; }
  const std::string& where() const { return where_; }

  ByteView take(uint64_t count, const char* field) {
    if (count > remaining()) {
      throw UserError(where_, str("the file is cut short at ", field, " (offset ", offset_, ")"),
                      {.got = str(remaining(), " bytes"),
                       .expected = str(count),
                       .hint = "fetch or copy the file again"});
    }
    ByteView part = bytes_.subspan(offset_, count);
    offset_ += count;
    return part;
  }

  template <class T>
  T little(const char* field) {
    T value;
    std::memcpy(&value, take(sizeof(T), field).data(), sizeof(T));
    static_assert(std::endian::native == std::endian::little);
    return value;
  }

  uint32_t big32(const char* field) {
    ByteView b = take(4, field);
    return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | b[3];
  }

 private:
  ByteView bytes_;
  std::string where_;
  uint64_t offset_ = 0;
};

// a * b into *product; false when it does not fit.
inline bool checked_multiply(uint64_t a, uint64_t b, uint64_t* product) {
  return !__builtin_mul_overflow(a, b, product);
}

}  // namespace wafer::io
