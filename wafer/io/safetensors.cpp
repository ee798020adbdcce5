#include "wafer/io/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/io/byte_reader.h"

namespace wafer::io {

using nlohmann::json;

namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // the format's own limit

const std::map<std::string, int>& dtype_bits() {
  static const std::map<std::string, int> bits = {
      {"BOOL", 8},    {"U8", 8},   {"I8", 8},      {"F8_E5M2", 8}, {"F8_E4M3", 8},
      {"F8_E8M0", 8}, {"F4", 4},   {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"I16", 16},
      {"U16", 16},    {"F16", 16}, {"BF16", 16},   {"I32", 32},    {"U32", 32},
      {"F32", 32},    {"F64", 64}, {"I64", 64},    {"U64", 64},    {"C64", 64}};
  return bits;
}

[[noreturn]] void fail(const std::string& where, const std::string& what, ErrorDetail detail = {}) {
  if (detail.hint.empty())
    detail.hint = "the file is damaged or not safetensors: fetch or save it again";
  throw UserError(where, what, detail);
}

// Depth and duplicate keys are checked while parsing, so that a hostile header costs no memory.
json parse_header(const std::string& where, ByteView text) {
  std::vector<std::set<std::string>> keys;
  auto check = [&](int depth, json::parse_event_t event, json& value) {
    using Event = json::parse_event_t;
    if ((event == Event::object_start || event == Event::array_start) && depth > 2) {
      fail(where, "the header is nested too deep");
    }
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(value.get<std::string>()).second) {
      fail(where, "the header has the key '" + value.get<std::string>() + "' twice");
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), check);
  } catch (const json::exception& error) {
    fail(where, str("the header is not valid JSON: ", error.what()));
  }
}

uint64_t read_number(const std::string& where, const json& value, const std::string& field) {
  if (!value.is_number_unsigned()) {
    fail(where, field + " is not a whole number of at least 0",
         {.got = value.dump().substr(0, 40)});
  }
  return value.get<uint64_t>();
}

struct Placed {
  TensorEntry entry;
  uint64_t begin = 0, end = 0;
};

Placed read_entry(const std::string& where, const std::string& name, const json& info,
                  uint64_t data_size) {
  std::string field = "tensor '" + name + "'";
  if (!info.is_object()) fail(where, field + " is not described by an object");
  for (const auto& [key, unused] : info.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      fail(where, field + " has the unknown field '" + key + "'");
    }
  }
  for (const char* key : {"dtype", "shape", "data_offsets"}) {
    if (!info.contains(key)) fail(where, field + " lacks the field '" + key + "'");
  }
  Placed placed;
  placed.entry.name = name;
  if (!info["dtype"].is_string()) fail(where, field + ": dtype is not a string");
  placed.entry.dtype = info["dtype"].get<std::string>();
  int bits = safetensors_bits(placed.entry.dtype);
  if (bits == 0) fail(where, field + " has the unknown dtype '" + placed.entry.dtype + "'");

  if (!info["shape"].is_array()) fail(where, field + ": shape is not a list");
  uint64_t total_bits = static_cast<uint64_t>(bits);
  for (const json& dim : info["shape"]) {
    uint64_t size = read_number(where, dim, field + ": a dimension of shape");
    if (size > INT64_MAX || !checked_multiply(total_bits, size, &total_bits)) {
      fail(where, field + ": the shape is too large", {.got = info["shape"].dump().substr(0, 80)});
    }
    placed.entry.shape.push_back(static_cast<int64_t>(size));
  }
  if (total_bits % 8 != 0) fail(where, field + ": the shape does not fill whole bytes");

  const json& offsets = info["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2)
    fail(where, field + ": data_offsets is not [begin, end]");
  placed.begin = read_number(where, offsets[0], field + ": data_offsets");
  placed.end = read_number(where, offsets[1], field + ": data_offsets");
  if (placed.begin > placed.end || placed.end > data_size) {
    fail(where, field + ": data_offsets lie outside the file",
         {.got = offsets.dump(), .expected = str("0 <= begin <= end <= ", data_size)});
  }
  if (placed.end - placed.begin != total_bits / 8) {
    fail(where, field + ": its bytes do not match its shape",
         {.got = str(placed.end - placed.begin, " bytes"),
          .expected = str(total_bits / 8, " for ", placed.entry.dtype,
                          info["shape"].dump().substr(0, 80))});
  }
  return placed;
}

}  // namespace

int safetensors_bits(const std::string& dtype) {
  auto found = dtype_bits().find(dtype);
  return found == dtype_bits().end() ? 0 : found->second;
}

SafetensorsContent parse_safetensors(ByteView bytes, const std::string& where) {
  ByteReader reader(bytes, where);
  uint64_t header_size = reader.little<uint64_t>("the header's length");
  if (header_size > kMaxHeader) {
    fail(where, "the header's length (offset 0) is above the format's limit",
         {.got = str(header_size), .expected = str("at most ", kMaxHeader)});
  }
  ByteView header = reader.take(header_size, "the header");
  if (header.empty() || header[0] != '{')
    fail(where, "the header (offset 8) does not start with '{'");
  json parsed = parse_header(where, header);
  uint64_t data_offset = reader.offset();
  uint64_t data_size = reader.remaining();

  SafetensorsContent content;
  std::vector<Placed> placed;
  for (const auto& [name, info] : parsed.items()) {
    if (name != "__metadata__") {
      placed.push_back(read_entry(where, name, info, data_size));
      continue;
    }
    if (!info.is_object()) fail(where, "__metadata__ is not an object");
    for (const auto& [key, value] : info.items()) {
      if (!value.is_string())
        fail(where, "__metadata__: the value of '" + key + "' is not a string");
      content.metadata[key] = value.get<std::string>();
    }
  }
  std::sort(placed.begin(), placed.end(), [](const Placed& a, const Placed& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t position = 0;
  for (const Placed& item : placed) {
    if (item.begin != position) {
      fail(where,
           str("tensor '", item.entry.name, "' ",
               item.begin < position ? "overlaps the tensor before it" : "leaves a hole before it",
               " (offset ", data_offset + std::min(item.begin, position), ")"));
    }
    position = item.end;
  }
  if (position != data_size) {
    fail(where, str("bytes that belong to no tensor follow at offset ", data_offset + position),
         {.got = str(data_size - position, " bytes")});
  }
  for (Placed& item : placed) {
    item.entry.bytes = bytes.subspan(data_offset + item.begin, item.end - item.begin);
    content.entries.push_back(std::move(item.entry));
  }
  std::sort(content.entries.begin(), content.entries.end(),
            [](const TensorEntry& a, const TensorEntry& b) { return a.name < b.name; });
  return content;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : where_(path.string()), map_(path), content_(parse_safetensors(map_.bytes(), where_)) {}

const TensorEntry* SafetensorsFile::find(const std::string& name) const {
  auto found = std::lower_bound(
      entries().begin(), entries().end(), name,
      [](const TensorEntry& entry, const std::string& n) { return entry.name < n; });
  return found != entries().end() && found->name == name ? &*found : nullptr;
}

const TensorEntry& SafetensorsFile::at(const std::string& name) const {
  if (const TensorEntry* entry = find(name)) return *entry;
  std::vector<std::string> names;
  for (const TensorEntry& entry : entries()) names.push_back(entry.name);
  throw UserError(where_, "no tensor '" + name + "' in the file" + did_you_mean(name, names));
}

void write_safetensors(const std::filesystem::path& path, const std::vector<TensorEntry>& entries,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<const TensorEntry*> order;
  std::set<std::string> names;
  for (const TensorEntry& entry : entries) {
    uint64_t bits = static_cast<uint64_t>(safetensors_bits(entry.dtype));
    WAFER_CHECK(bits != 0, "tensor '", entry.name, "': no safetensors dtype '", entry.dtype, "'");
    for (int64_t dim : entry.shape) {
      WAFER_CHECK(dim >= 0 && checked_multiply(bits, static_cast<uint64_t>(dim), &bits), "tensor '",
                  entry.name, "': bad dimension ", dim);
    }
    WAFER_CHECK(bits % 8 == 0 && bits / 8 == entry.bytes.size(), "tensor '", entry.name,
                "': its bytes do not match its shape");
    WAFER_CHECK(entry.name != "__metadata__" && names.insert(entry.name).second, "tensor '",
                entry.name, "': the name is taken");
    order.push_back(&entry);
  }
  std::sort(order.begin(), order.end(), [](const TensorEntry* a, const TensorEntry* b) {
    int bits_a = safetensors_bits(a->dtype), bits_b = safetensors_bits(b->dtype);
    return bits_a != bits_b ? bits_a > bits_b : a->name < b->name;
  });

  json header = json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorEntry* entry : order) {
    header[entry->name] = {{"dtype", entry->dtype},
                           {"shape", entry->shape},
                           {"data_offsets", {offset, offset + entry->bytes.size()}}};
    offset += entry->bytes.size();
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const json::exception& error) {
    throw UserError(path.string(),
                    str("a tensor name or a metadata text is not UTF-8: ", error.what()));
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  WAFER_REQUIRE(text.size() <= kMaxHeader, path.string(), "the header of ", text.size(),
                " bytes is above the format's limit of ", kMaxHeader, "; store less metadata");

  AtomicFile file(path);
  uint64_t header_size = text.size();
  file.write({reinterpret_cast<const uint8_t*>(&header_size), sizeof header_size});
  file.write(text);
  for (const TensorEntry* entry : order) file.write(entry->bytes);
  file.commit();
}

}  // namespace wafer::io
