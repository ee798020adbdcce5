#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>

#include "wafer/deploy/onnx/proto/convert.h"

namespace wafer::onnx {

namespace {
using TensorMessage = ::onnx::TensorProto;

int64_t parse_integer(const std::string& text, const Source& source, const std::string& label) {
  errno = 0;
  char* end = nullptr;
  int64_t value = std::strtoll(text.c_str(), &end, 10);
  WAFER_REQUIRE(!text.empty() && errno == 0 && *end == '\0' && value >= 0, source.where, label,
                ": '", text, "' is no offset or length in a file");
  return value;
}

std::string external_bytes(const TensorMessage& tensor, const Source& source,
                           const std::string& label) {
  std::string location;
  int64_t offset = 0, length = -1;
  for (const auto& entry : tensor.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") offset = parse_integer(entry.value(), source, label);
    if (entry.key() == "length") length = parse_integer(entry.value(), source, label);
  }
  return read_external(source, location, offset, length, label);
}

template <class To, class List>
std::string copy_list(const List& list) {
  std::string raw(static_cast<size_t>(list.size()) * sizeof(To), '\0');
  size_t at = 0;
  for (auto value : list) {
    To converted = static_cast<To>(value);
    std::memcpy(raw.data() + at, &converted, sizeof converted);
    at += sizeof converted;
  }
  return raw;
}

// The typed lists of a tensor as the bytes that raw_data would hold.
std::string copy_lists(const TensorMessage& t, ElementType type) {
  switch (type) {
    case ElementType::f32: return copy_list<float>(t.float_data());
    case ElementType::f64: return copy_list<double>(t.double_data());
    case ElementType::i64: return copy_list<int64_t>(t.int64_data());
    case ElementType::u64: return copy_list<uint64_t>(t.uint64_data());
    case ElementType::u32: return copy_list<uint32_t>(t.uint64_data());
    case ElementType::i32: return copy_list<int32_t>(t.int32_data());
    case ElementType::u16:
    case ElementType::i16:
    case ElementType::f16:
    case ElementType::bf16: return copy_list<uint16_t>(t.int32_data());
    default: return copy_list<uint8_t>(t.int32_data());  // of one byte, or packed into bytes
  }
}

template <class List>
void free_list(List* list) {
  List().Swap(list);
}

// The same, and frees the lists: what follows holds the numbers twice as it is.
std::string take_lists(TensorMessage& t, ElementType type) {
  std::string raw = copy_lists(t, type);
  free_list(t.mutable_float_data());
  free_list(t.mutable_double_data());
  free_list(t.mutable_int32_data());
  free_list(t.mutable_int64_data());
  free_list(t.mutable_uint64_data());
  return raw;
}

bool has_lists(const TensorMessage& t) {
  return t.float_data_size() || t.int32_data_size() || t.int64_data_size() ||
         t.double_data_size() || t.uint64_data_size() || t.string_data_size();
}

// The number of elements; UserError where it does not fit 64 bits.
template <class Dims>
int64_t count_elements(const Dims& dims, const Source& source, const std::string& label) {
  int64_t count = 1;
  bool empty = std::find(dims.begin(), dims.end(), 0) != dims.end();
  WAFER_REQUIRE(dims.size() <= 8, source.where, label, ": ", dims.size(), " dimensions; at most 8");
  for (int64_t dim : dims) {
    WAFER_REQUIRE(dim >= 0, source.where, label, ": dimension of ", dim);
    if (empty) continue;
    WAFER_REQUIRE(dim <= std::numeric_limits<int64_t>::max() / 16 / count, source.where, label,
                  ": the product of its dimensions is beyond any memory");
    count *= dim;
  }
  return empty ? 0 : count;
}
}  // namespace

Value convert_tensor(TensorMessage& t, const Source& source, const std::string& label) {
  WAFER_REQUIRE(!t.has_segment(), source.where, label, ": segments of tensors are not supported");
  ElementType type = element_type(t.data_type(), str(source.where, "] [", label));
  int64_t count = count_elements(t.dims(), source, label);
  std::vector<int64_t> dims(t.dims().begin(), t.dims().end());
  bool external = t.data_location() == TensorMessage::EXTERNAL;
  if (type == ElementType::string) {
    WAFER_REQUIRE(!external && !t.has_raw_data() && t.string_data_size() == count, source.where,
                  label, ": ", t.string_data_size(), " strings where its dimensions say ", count);
    return Value::of_strings(std::move(dims), {t.string_data().begin(), t.string_data().end()});
  }
  WAFER_REQUIRE(bits(type) > 0 && type != ElementType::complex64 && type != ElementType::complex128,
                source.where, label, ": elements of ", type, " are not supported");
  WAFER_REQUIRE(external + t.has_raw_data() + has_lists(t) <= 1, source.where, label,
                ": its data are given twice");
  std::string raw;
  if (external) {
    raw = external_bytes(t, source, label);
  } else if (t.has_raw_data()) {
    raw = std::move(*t.mutable_raw_data());
    t.clear_raw_data();
  } else {
    raw = take_lists(t, type);
  }
  auto wanted = static_cast<uint64_t>((count * bits(type) + 7) / 8);
  WAFER_REQUIRE(raw.size() == wanted, source.where, label, ": ", raw.size(),
                " bytes of data where ", type, "[", Shape(dims), "] takes ", wanted);
  DType dtype = carrier(type);
  Shape shape(dims);
  if (is_carried(type) || type == ElementType::boolean) {
    auto bytes = unpack(type, raw, count);
    return {Tensor::from_bytes(dtype, shape, bytes), type};
  }
  return {Tensor::from_bytes(dtype, shape, std::as_bytes(std::span(raw))), type};
}

namespace {
// Where the elements of a sparse tensor lie in the dense one: from their places in it, [count], or
// from their coordinates, [count, rank].
std::vector<int64_t> dense_places(const Tensor& indices, const std::vector<int64_t>& dims,
                                  int64_t elements, int64_t count,
                                  const std::function<void(const std::string&)>& refuse) {
  auto rank = static_cast<int64_t>(dims.size());
  if (indices.dtype() != DType::i64) refuse("its indices are not of INT64");
  bool linear = indices.shape() == Shape{count};
  if (!linear && indices.shape() != Shape{count, rank})
    refuse(
        str("its indices are ", indices.shape(), "; expected ", count, " or ", count, "x", rank));
  const auto* numbers = static_cast<const int64_t*>(indices.storage()->data());
  std::vector<int64_t> places(static_cast<size_t>(count));
  int64_t before = -1;
  for (int64_t i = 0; i < count; ++i) {
    int64_t place = linear ? numbers[i] : 0;
    for (int64_t d = 0; !linear && d < rank; ++d) {
      int64_t at = numbers[i * rank + d], size = dims[static_cast<size_t>(d)];
      if (at < 0 || at >= size) refuse(str("index ", at, " of a dimension of ", size));
      place = place * size + at;
    }
    if (place < 0 || place >= elements) refuse(str("index ", place, " of ", elements, " elements"));
    if (place <= before) refuse("its indices do not ascend");
    places[static_cast<size_t>(i)] = before = place;
  }
  return places;
}
}  // namespace

Value convert_sparse(::onnx::SparseTensorProto& sparse, const Source& source,
                     const std::string& label) {
  auto refuse = [&](const std::string& what) {
    throw UserError(source.where, str(label, ": ", what),
                    {.hint = "store it as a dense initializer"});
  };
  Value values = convert_tensor(*sparse.mutable_values(), source, label);
  Value indices = convert_tensor(*sparse.mutable_indices(), source, label + ", indices");
  if (!values.tensor || values.tensor.rank() != 1 || !indices.tensor)
    refuse("a sparse tensor takes a list of numbers as its values, and of integers as its indices");
  std::vector<int64_t> dims(sparse.dims().begin(), sparse.dims().end());
  int64_t elements = count_elements(dims, source, label);
  DType dtype = values.tensor.dtype();
  size_t width = byte_size(dtype, 1);
  // Twice: once to fill it, once in the tensor.
  if (elements > *source.dense_left / 2 / static_cast<int64_t>(width)) {
    throw UserError(source.where,
                    str(label, ": as a dense tensor it holds ", elements,
                        " elements, more than a file of this size may make"),
                    {.hint = "store it as a dense initializer"});
  }
  std::vector<int64_t> places =
      dense_places(indices.tensor, dims, elements, values.tensor.elements(), refuse);
  std::vector<std::byte> dense(byte_size(dtype, elements));
  *source.dense_left -= 2 * static_cast<int64_t>(dense.size());
  const auto* from = static_cast<const std::byte*>(values.tensor.storage()->data());
  for (size_t i = 0; i < places.size(); ++i)
    std::memcpy(dense.data() + static_cast<size_t>(places[i]) * width, from + i * width, width);
  return {Tensor::from_bytes(dtype, Shape(dims), dense), values.type};
}

TypeDef convert_type(const ::onnx::TypeProto& type, const Source& source, const std::string& label,
                     int depth) {
  WAFER_REQUIRE(depth < 8, source.where, label, ": types nested too deeply");
  TypeDef def;
  if (type.has_tensor_type()) {
    def.kind = TypeDef::Kind::tensor;
    const auto& tensor = type.tensor_type();
    if (tensor.elem_type() != 0)
      def.element = element_type(tensor.elem_type(), str(source.where, "] [", label));
    def.has_shape = tensor.has_shape();
    WAFER_REQUIRE(tensor.shape().dim_size() <= 8, source.where, label, ": ",
                  tensor.shape().dim_size(), " dimensions; at most 8");
    for (const auto& dim : tensor.shape().dim()) {
      if (dim.has_dim_value() && dim.dim_value() >= 0) {
        def.dims.emplace_back(dim.dim_value());
      } else {
        // Symbols are identifiers; two dimensions of one name are equal.
        std::string symbol = dim.dim_param();
        bool plain = !symbol.empty() && std::isalpha(static_cast<unsigned char>(symbol[0])) &&
                     std::all_of(symbol.begin(), symbol.end(),
                                 [](unsigned char c) { return std::isalnum(c) || c == '_'; });
        if (!plain) symbol = str("d", def.dims.size(), "_of_", std::hash<std::string>{}(label));
        def.dims.push_back(Dim::symbol(symbol));
      }
    }
  } else if (type.has_sequence_type()) {
    def.kind = TypeDef::Kind::sequence;
    def.inner = std::make_shared<const TypeDef>(
        convert_type(type.sequence_type().elem_type(), source, label, depth + 1));
  } else if (type.has_optional_type()) {
    def.kind = TypeDef::Kind::optional;
    def.inner = std::make_shared<const TypeDef>(
        convert_type(type.optional_type().elem_type(), source, label, depth + 1));
  } else if (type.value_case() != ::onnx::TypeProto::VALUE_NOT_SET) {
    def.kind = TypeDef::Kind::other;
  }
  return def;
}

}  // namespace wafer::onnx
