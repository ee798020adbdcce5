#include "wafer/io/idx.h"

#include <algorithm>

#include "wafer/base/error.h"
#include "wafer/io/archive.h"
#include "wafer/io/byte_reader.h"

namespace wafer::io {

namespace {
int item_size(int type) {
  switch (type) {
    case 0x08:
    case 0x09: return 1;
    case 0x0B: return 2;
    case 0x0C:
    case 0x0D: return 4;
    case 0x0E: return 8;
    default: return 0;
  }
}
}  // namespace

IdxArray parse_idx(ByteView bytes, const std::string& where) {
  ByteReader reader(bytes, where);
  uint32_t magic = reader.big32("the magic number");
  int type = static_cast<int>(magic >> 8 & 0xff), rank = static_cast<int>(magic & 0xff);
  int item = item_size(type);
  if (magic >> 16 != 0 || item == 0 || rank == 0 || rank > 8) {
    throw UserError(where, "not an IDX file: bad magic number (offset 0)",
                    {.got = str(magic),
                     .expected = "2051 for images, 2049 for labels",
                     .hint = "is this the right file, and not packed twice?"});
  }
  IdxArray array;
  array.type = static_cast<IdxArray::Type>(type);
  uint64_t size = static_cast<uint64_t>(item);
  for (int i = 0; i < rank; ++i) {
    uint32_t dim = reader.big32("a dimension");
    if (!checked_multiply(size, dim, &size)) {
      throw UserError(where, str("the dimensions (offset 4) are too large"),
                      {.hint = "fetch the file again"});
    }
    array.shape.push_back(dim);
  }
  ByteView data = reader.take(size, "the elements");
  if (reader.remaining() != 0) {
    throw UserError(where,
                    str("bytes that belong to no element follow at offset ", reader.offset()),
                    {.got = str(reader.remaining(), " bytes"), .hint = "fetch the file again"});
  }
  array.bytes.assign(data.begin(), data.end());
  if (item > 1) {
    for (size_t i = 0; i < array.bytes.size(); i += static_cast<size_t>(item)) {
      std::reverse(array.bytes.data() + i, array.bytes.data() + i + item);
    }
  }
  return array;
}

IdxArray read_idx(const std::filesystem::path& path) {
  return parse_idx(read_maybe_gzip(path), path.string());
}

}  // namespace wafer::io
