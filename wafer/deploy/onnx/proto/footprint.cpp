#include "wafer/deploy/onnx/proto/footprint.h"

#include <algorithm>
#include <optional>

namespace wafer::onnx {

namespace {
// The messages of onnx.proto whose fields hold messages; `any` has them in every field, `leaf` in
// none.
enum class Kind {
  model,
  graph,
  node,
  attribute,
  tensor,
  sparse,
  info,
  type,
  inner_type,
  tensor_type,
  shape,
  function,
  training,
  any,
  leaf
};

struct Nested {
  Kind outer;
  uint64_t field;
  Kind inner;
};
constexpr Nested kNested[] = {
    {Kind::model, 7, Kind::graph},         {Kind::model, 8, Kind::leaf},
    {Kind::model, 14, Kind::leaf},         {Kind::model, 20, Kind::training},
    {Kind::model, 25, Kind::function},     {Kind::model, 26, Kind::any},
    {Kind::training, 1, Kind::graph},      {Kind::training, 2, Kind::graph},
    {Kind::training, 3, Kind::leaf},       {Kind::training, 4, Kind::leaf},
    {Kind::graph, 1, Kind::node},          {Kind::graph, 5, Kind::tensor},
    {Kind::graph, 11, Kind::info},         {Kind::graph, 12, Kind::info},
    {Kind::graph, 13, Kind::info},         {Kind::graph, 14, Kind::any},
    {Kind::graph, 15, Kind::sparse},       {Kind::graph, 16, Kind::leaf},
    {Kind::sparse, 1, Kind::tensor},       {Kind::sparse, 2, Kind::tensor},
    {Kind::node, 5, Kind::attribute},      {Kind::node, 9, Kind::leaf},
    {Kind::node, 10, Kind::any},           {Kind::attribute, 5, Kind::tensor},
    {Kind::attribute, 6, Kind::graph},     {Kind::attribute, 10, Kind::tensor},
    {Kind::attribute, 11, Kind::graph},    {Kind::attribute, 14, Kind::type},
    {Kind::attribute, 15, Kind::type},     {Kind::attribute, 22, Kind::sparse},
    {Kind::attribute, 23, Kind::sparse},   {Kind::tensor, 3, Kind::leaf},
    {Kind::tensor, 13, Kind::leaf},        {Kind::tensor, 16, Kind::leaf},
    {Kind::info, 2, Kind::type},           {Kind::info, 4, Kind::leaf},
    {Kind::type, 1, Kind::tensor_type},    {Kind::type, 4, Kind::inner_type},
    {Kind::type, 5, Kind::inner_type},     {Kind::type, 7, Kind::leaf},
    {Kind::type, 8, Kind::tensor_type},    {Kind::type, 9, Kind::inner_type},
    {Kind::inner_type, 1, Kind::type},     {Kind::inner_type, 2, Kind::type},
    {Kind::tensor_type, 2, Kind::shape},   {Kind::shape, 1, Kind::leaf},
    {Kind::function, 7, Kind::node},       {Kind::function, 9, Kind::leaf},
    {Kind::function, 11, Kind::attribute}, {Kind::function, 12, Kind::info},
    {Kind::function, 14, Kind::leaf},
};

std::optional<Kind> nested_kind(Kind outer, uint64_t field) {
  if (outer == Kind::any) return Kind::any;
  for (const Nested& entry : kNested)
    if (entry.outer == outer && entry.field == field) return entry.inner;
  return std::nullopt;
}

// Bytes of a message without its texts and messages, and of what is made of it: measured.
struct Bytes {
  int64_t while_read, kept;
};
Bytes message_bytes(Kind kind) {
  switch (kind) {
    case Kind::graph: return {600, 600};
    case Kind::node: return {400, 500};
    case Kind::attribute: return {300, 500};
    case Kind::tensor: return {700, 600};
    case Kind::info: return {300, 700};
    default: return {80, 40};
  }
}
// Of a text beside its characters; of one that names a node's input, which is looked up.
constexpr Bytes kText = {72, 48}, kInput = {100, 130};
// Of a number, which is as little as a byte in the file: in attributes, and elsewhere.
constexpr Bytes kNumber = {26, 16}, kAttributeNumber = {33, 24};
// A node of more inputs and outputs than this may record one for each of the rest at once.
constexpr int64_t kFewTexts = 64, kBytesOfRest = 1000;
constexpr int kDeepest = 100;  // of messages: Protocol Buffers reads none deeper

// What a ModelDef leaves out: the types of intermediate values, annotations, training.
bool left_out(Kind kind, uint64_t field) {
  switch (kind) {
    case Kind::model: return field == 14 || field == 20 || field == 26;
    case Kind::graph: return field == 13 || field == 14 || field == 16;
    case Kind::node: return field == 9 || field == 10;
    case Kind::function: return field == 12 || field == 14;
    default: return false;
  }
}

// Integers that a tensor holds: int32_data, int64_data, uint64_data.
bool is_data(uint64_t field) {
  return field == 5 || field == 7 || field == 11;
}

// Numbers packed in a field, and of how many bytes each; 0: of one byte or more.
std::optional<int> packed(Kind kind, uint64_t field) {
  if (kind == Kind::tensor && (field == 1 || is_data(field))) return 0;
  if (kind == Kind::attribute && field == 7) return 4;
  if (kind == Kind::attribute && field == 8) return 0;
  if (kind == Kind::sparse && field == 3) return 0;
  return std::nullopt;
}

class Counter {
 public:
  explicit Counter(Footprint& out) : out_(out) {}

  // False where the bytes are no message. `kept`: whether the model keeps what it says.
  bool message(std::span<const uint8_t> bytes, Kind kind, int depth, bool kept) {
    if (depth > kDeepest) return false;
    out_.nodes += kind == Kind::node;
    add(message_bytes(kind), 1, kept);
    int64_t before = out_.texts;
    if (kind == Kind::tensor) tensor_ = {};
    if (!fields(bytes, kind, depth, kept)) return false;
    if (kind == Kind::node && kept)
      out_.kept += std::max<int64_t>(out_.texts - before - kFewTexts, 0) * kBytesOfRest;
    // Weights that some converters write as integers of a byte or two each are no fault, though
    // they take more memory than their file. A tensor of other sizes, of at most four elements a
    // number, will be refused.
    bool fits = tensor_.data <= tensor_.elements && tensor_.data >= tensor_.elements / 4;
    if (kind == Kind::tensor && !fits) numbers(tensor_.data, kind, kept);
    return true;
  }

 private:
  bool fields(std::span<const uint8_t> bytes, Kind kind, int depth, bool kept) {
    while (!bytes.empty()) {
      auto tag = varint(bytes);
      if (!tag) return false;
      switch (*tag & 7) {
        case 0: {
          auto value = varint(bytes);
          if (!value) return false;
          if (kind == Kind::tensor && *tag >> 3 == 1) dimension(*value);
          numbers(1, kind, kept);
          break;
        }
        case 1:
        case 5: {
          size_t size = (*tag & 7) == 1 ? 8 : 4;
          if (bytes.size() < size) return false;
          bytes = bytes.subspan(size);
          numbers(1, kind, kept);
          break;
        }
        case 2: {
          auto length = varint(bytes);
          if (!length || *length > bytes.size()) return false;
          auto content = bytes.first(static_cast<size_t>(*length));
          bytes = bytes.subspan(content.size());
          if (!field(content, kind, *tag >> 3, depth, kept)) return false;
          break;
        }
        case 3:
        case 4: break;  // a group: what it holds counts as this message's
        default: return false;
      }
    }
    return true;
  }

  bool field(std::span<const uint8_t> content, Kind kind, uint64_t number, int depth, bool kept) {
    kept = kept && !left_out(kind, number);
    if (auto inner = nested_kind(kind, number)) return message(content, *inner, depth + 1, kept);
    auto size = static_cast<int64_t>(content.size());
    if (kind == Kind::tensor && (number == 4 || number == 9 || number == 10)) {
      out_.raw += size;
    } else if (auto width = packed(kind, number)) {
      int64_t count = *width > 0 ? size / *width
                                 : std::count_if(content.begin(), content.end(),
                                                 [](uint8_t byte) { return byte < 0x80; });
      if (kind == Kind::tensor && is_data(number)) {
        tensor_.data += count;
        return true;
      }
      numbers(count, kind, kept);
      while (kind == Kind::tensor && !content.empty()) {
        auto value = varint(content);
        if (!value) return false;
        dimension(*value);
      }
    } else {
      ++out_.texts;
      add(kind == Kind::node && number == 1 ? kInput : kText, 1, kept);
      if (size > 15) add({size, size}, 1, kept);
    }
    return true;
  }

  void dimension(uint64_t size) {
    constexpr uint64_t most = uint64_t{1} << 31;  // as many as a message can hold
    auto known = static_cast<uint64_t>(tensor_.elements);
    tensor_.elements = static_cast<int64_t>(std::min(known * std::min(size, most), most));
  }

  void numbers(int64_t count, Kind kind, bool kept) {
    out_.numbers += count;
    add(kind == Kind::attribute ? kAttributeNumber : kNumber, count, kept);
  }

  void add(const Bytes& bytes, int64_t count, bool kept) {
    out_.while_read += bytes.while_read * count;
    if (kept) out_.kept += bytes.kept * count;
  }

  static std::optional<uint64_t> varint(std::span<const uint8_t>& bytes) {
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && !bytes.empty(); shift += 7) {
      uint8_t byte = bytes.front();
      bytes = bytes.subspan(1);
      if (shift < 64) value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }

  // Of the tensor that is looked at: integers, and the product of its dimensions.
  struct Tensor {
    int64_t data = 0, elements = 1;
  };
  Tensor tensor_;
  Footprint& out_;
};
}  // namespace

Footprint footprint(std::span<const uint8_t> model) {
  Footprint out;
  Counter(out).message(model, Kind::model, 0, true);
  return out;
}

}  // namespace wafer::onnx
