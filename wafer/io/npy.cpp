#include "wafer/io/npy.h"

#include <charconv>
#include <cstring>
#include <string_view>

#include "wafer/base/error.h"
#include "wafer/io/archive.h"
#include "wafer/io/byte_reader.h"

namespace wafer::io {

namespace {

constexpr std::string_view kMagic = "\x93NUMPY";

// The header is a Python dict literal with three known keys; this reads that and nothing more.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  NpyArray parse() {
    NpyArray array;
    bool has_descr = false, has_order = false, has_shape = false;
    expect('{');
    while (!accept('}')) {
      std::string key = quoted();
      expect(':');
      if (key == "descr" && !has_descr) {
        has_descr = true;
        if (peek() == '[') {
          fail("records (a dtype with fields) are not read",
               "save each field as an array of its own");
        }
        array.descr = quoted();
      } else if (key == "fortran_order" && !has_order) {
        has_order = true;
        fortran_ = boolean();
      } else if (key == "shape" && !has_shape) {
        has_shape = true;
        array.shape = tuple();
      } else {
        fail("unknown or repeated key '" + key + "'");
      }
      if (!accept(',') && peek() != '}') fail("',' or '}' is missing");
    }
    if (peek() != '\0') fail("text follows the dict");
    if (!has_descr || !has_order || !has_shape) fail("descr, fortran_order or shape is missing");
    if (fortran_ && array.shape.size() > 1) {
      fail("the array is in Fortran order", "save numpy.ascontiguousarray(array)");
    }
    return array;
  }

 private:
  [[noreturn]] void fail(const std::string& what,
                         const std::string& hint = "save the array again") {
    throw UserError(where_, str("npy header, character ", position_, ": ", what), {.hint = hint});
  }

  char peek() {
    while (position_ < text_.size() && std::strchr(" \t\n", text_[position_]) != nullptr)
      ++position_;
    return position_ < text_.size() ? text_[position_] : '\0';
  }

  bool accept(char expected) {
    if (peek() != expected) return false;
    ++position_;
    return true;
  }

  void expect(char expected) {
    if (!accept(expected)) fail(str("'", expected, "' is missing"));
  }

  std::string quoted() {
    char mark = peek();
    if (mark != '\'' && mark != '"') fail("a quoted text is missing");
    size_t end = text_.find(mark, position_ + 1);
    if (end == std::string_view::npos) fail("a quoted text does not end");
    std::string value(text_.substr(position_ + 1, end - position_ - 1));
    position_ = end + 1;
    return value;
  }

  bool boolean() {
    for (std::string_view word : {"True", "False"}) {
      peek();
      if (text_.substr(position_, word.size()) == word) {
        position_ += word.size();
        return word == "True";
      }
    }
    fail("True or False is missing");
  }

  std::vector<int64_t> tuple() {
    std::vector<int64_t> dims;
    expect('(');
    while (!accept(')')) {
      peek();
      int64_t dim = 0;
      auto [end, status] =
          std::from_chars(text_.data() + position_, text_.data() + text_.size(), dim);
      if (status != std::errc() || dim < 0) fail("a dimension is not a whole number of at least 0");
      if (dims.size() == 64) fail("the array has more than 64 dimensions");
      position_ = static_cast<size_t>(end - text_.data());
      dims.push_back(dim);
      if (!accept(',') && peek() != ')') fail("',' or ')' is missing");
    }
    return dims;
  }

  std::string_view text_;
  const std::string& where_;
  size_t position_ = 0;
  bool fortran_ = false;
};

uint64_t byte_count(const std::string& where, const NpyArray& array) {
  int item = npy_item_size(array.descr);
  if (item == 0) {
    std::string hint = "save numbers or bools: array.astype('float32')";
    if (!array.descr.empty() && array.descr[0] == '>')
      hint = "save array.astype(array.dtype.newbyteorder('<'))";
    throw UserError(where, "npy header: dtype '" + array.descr + "' is not read", {.hint = hint});
  }
  uint64_t bytes = static_cast<uint64_t>(item);
  for (int64_t dim : array.shape) {
    if (!checked_multiply(bytes, static_cast<uint64_t>(dim), &bytes)) {
      throw UserError(where, "npy header: the shape is too large",
                      {.hint = "save the array again"});
    }
  }
  return bytes;
}

}  // namespace

int npy_item_size(const std::string& descr) {
  static const std::map<std::string, int> sizes = {
      {"|b1", 1}, {"|u1", 1}, {"|i1", 1}, {"<u2", 2}, {"<i2", 2}, {"<f2", 2}, {"<u4", 4},
      {"<i4", 4}, {"<f4", 4}, {"<u8", 8}, {"<i8", 8}, {"<f8", 8}, {"<c8", 8}, {"<c16", 16}};
  auto found = sizes.find(descr);
  return found == sizes.end() ? 0 : found->second;
}

NpyArray parse_npy(ByteView bytes, const std::string& where) {
  ByteReader reader(bytes, where);
  ByteView magic = reader.take(kMagic.size(), "npy's magic number");
  if (std::memcmp(magic.data(), kMagic.data(), kMagic.size()) != 0) {
    throw UserError(where, "not an .npy file: it does not start with \\x93NUMPY");
  }
  int major = reader.little<uint8_t>("npy's version"),
      minor = reader.little<uint8_t>("npy's version");
  if (major < 1 || major > 3 || minor != 0) {
    throw UserError(where, str("npy version ", major, ".", minor, " is not read"),
                    {.expected = "1.0 to 3.0"});
  }
  uint64_t length = major == 1 ? reader.little<uint16_t>("the header's length")
                               : reader.little<uint32_t>("the header's length");
  ByteView header = reader.take(length, "the header");
  NpyArray array =
      HeaderParser({reinterpret_cast<const char*>(header.data()), header.size()}, where).parse();
  ByteView data = reader.take(byte_count(where, array), "the array's data");
  if (reader.remaining() != 0) {
    throw UserError(where, str("bytes that belong to no array follow at offset ", reader.offset()),
                    {.got = str(reader.remaining(), " bytes"), .hint = "save the array again"});
  }
  array.bytes.assign(data.begin(), data.end());
  return array;
}

NpyArray read_npy(const std::filesystem::path& path) {
  MemoryMap map(path);
  return parse_npy(map.bytes(), path.string());
}

std::map<std::string, NpyArray> read_npz(const std::filesystem::path& path) {
  std::map<std::string, NpyArray> arrays;
  for_each_entry(path, [&](const std::string& name, Bytes bytes) {
    std::string key = name.ends_with(".npy") ? name.substr(0, name.size() - 4) : name;
    NpyArray array = parse_npy(bytes, path.string() + ": " + name);
    if (!arrays.emplace(key, std::move(array)).second) {
      throw UserError(path.string(), "the array '" + key + "' is there twice");
    }
  });
  return arrays;
}

void write_npy(const std::filesystem::path& path, const std::string& descr,
               const std::vector<int64_t>& shape, ByteView bytes) {
  WAFER_CHECK(byte_count(path.string(), {descr, shape, {}}) == bytes.size(),
              "the bytes do not match the shape");
  std::string header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': (";
  for (size_t i = 0; i < shape.size(); ++i) {
    header += str(i > 0 ? " " : "", shape[i], i + 1 < shape.size() || shape.size() == 1 ? "," : "");
  }
  header += "), }";
  size_t prefix = 10;  // magic, version, 2-byte length
  bool long_header = header.size() + 80 > 0xffff;
  if (long_header) prefix = 12;
  size_t total = (prefix + header.size() + 1 + 63) / 64 * 64;
  header.resize(total - prefix - 1, ' ');
  header += '\n';
  std::string start(kMagic);
  start += long_header ? '\2' : '\1';
  start += '\0';
  uint32_t length = static_cast<uint32_t>(header.size());
  start.append(reinterpret_cast<const char*>(&length), prefix - 8);
  AtomicFile file(path);
  file.write(start);
  file.write(header);
  file.write(bytes);
  file.commit();
}

}  // namespace wafer::io
