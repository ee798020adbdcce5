#include <cstring>
#include <map>

#include "wafer/deploy/onnx/rules.h"
#include "wafer/deploy/onnx/walk.h"
#include "wafer/io/image.h"
#include "wafer/op/random.h"

// The ai.onnx.ml domain, decoders and random numbers.
namespace wafer::onnx {

namespace {
Values binarizer(Context& c) {
  const Tensor& x = c.in(0);
  return {cast(greater(x, c.number("threshold", 0)), x.dtype())};
}

Values array_feature_extractor(Context& c) {
  const Tensor& x = c.in(0);
  Tensor y = gather(x, reshape(cast(c.in(1), DType::i64), {c.in(1).elements()}), x.rank() - 1);
  return {x.rank() == 1 ? unsqueeze(y, 0) : y};
}

// Keys or values of a label encoder: one of several attributes.
struct Labels {
  std::vector<std::string> texts;
  std::vector<double> numbers;
  bool are_texts = false;
  ElementType type = ElementType::undefined;
};

Labels read_labels(const Context& c, const std::string& name) {
  Labels labels;
  if (c.given(name + "_strings")) {
    labels.are_texts = true;
    labels.type = ElementType::string;
    labels.texts = c.texts(name + "_strings");
  } else if (c.given(name + "_int64s")) {
    for (int64_t i : c.integers(name + "_int64s")) labels.numbers.push_back(static_cast<double>(i));
    labels.type = ElementType::i64;
  } else if (c.given(name + "_floats")) {
    labels.numbers = c.numbers(name + "_floats");
    labels.type = ElementType::f32;
  } else {
    const Value& tensor = c.tensor_attribute(name + "_tensor");
    labels.type = tensor.type;
    labels.are_texts = tensor.strings != nullptr;
    if (labels.are_texts)
      labels.texts = tensor.strings->values;
    else
      labels.numbers = c.numbers_of(tensor.tensor, name);
  }
  return labels;
}

template <class Key>
std::vector<size_t> look_up(const std::vector<Key>& keys, const std::vector<Key>& wanted,
                            size_t otherwise) {
  std::map<Key, size_t> places;
  for (size_t i = 0; i < keys.size(); ++i) places.emplace(keys[i], i);
  std::vector<size_t> found;
  for (const Key& key : wanted) {
    auto place = places.find(key);
    found.push_back(place == places.end() ? otherwise : place->second);
  }
  return found;
}

Values label_encoder(Context& c) {
  c.require(c.version() >= 2, "version 1 is not supported");
  Labels keys = read_labels(c, "keys"), values = read_labels(c, "values");
  size_t count = values.are_texts ? values.texts.size() : values.numbers.size();
  c.require(count == (keys.are_texts ? keys.texts.size() : keys.numbers.size()),
            "as many values as keys are needed");
  auto places = keys.are_texts ? look_up(keys.texts, c.strings(0).values, count)
                               : look_up(keys.numbers, c.numbers_of(0), count);
  Ints dims = dims_of(c.value(0));
  if (values.are_texts) {
    std::vector<std::string> out;
    std::string otherwise = c.text("default_string", "_Unused");
    if (c.given("default_tensor") && c.tensor_attribute("default_tensor").strings) {
      const auto& given = c.tensor_attribute("default_tensor").strings->values;
      c.require(given.size() == 1, "'default_tensor' must hold one text");
      otherwise = given[0];
    }
    for (size_t place : places) out.push_back(place < count ? values.texts[place] : otherwise);
    return {Value::of_strings(dims, std::move(out))};
  }
  double otherwise = values.type == ElementType::f32
                         ? c.number("default_float", 0)
                         : static_cast<double>(c.integer("default_int64", -1));
  if (c.given("default_tensor")) {
    const Tensor& given = c.tensor_attribute("default_tensor").tensor;
    c.require(given && given.elements() == 1, "'default_tensor' must hold one number");
    otherwise = c.numbers_of(given, "default")[0];
  }
  std::vector<double> out;
  for (size_t place : places) out.push_back(place < count ? values.numbers[place] : otherwise);
  return {reshape(constant(out, carrier(values.type)), dims)};
}

// JPEG, PNG and PNM, as [height, width, channels].
Values image_decoder(Context& c) {
  c.require(c.in(0).dtype() == DType::u8, "expected the bytes of a file");
  auto bytes = c.walk().bytes(c.in(0), "input 0");
  io::ByteView view(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  io::Image image = io::decode_image(view, "encoded_stream");
  std::string format = c.text("pixel_format", "RGB");
  c.require(format == "RGB" || format == "BGR" || format == "Grayscale",
            "pixel_format '" + format + "'");
  Tensor y = Tensor::from_bytes(DType::u8, Shape{image.height, image.width, image.channels},
                                std::as_bytes(std::span(image.pixels)));
  if (format == "Grayscale" && image.channels == 3) {
    // Rec. 601's weights.
    Tensor weights = constant({0.299, 0.587, 0.114}, DType::f32);
    y = cast(round(reduce_sum(mul(cast(y, DType::f32), weights), {2}, true)), DType::u8);
  } else if (format != "Grayscale" && image.channels == 1) {
    y = take(y, {0, 0, 0}, 2);
  } else if (format == "BGR") {
    y = flip(y, {2});
  }
  return {y};
}

// ---- random numbers: other ones in each run unless the library's seed is set ----

DType random_type(const Context& c, DType otherwise) {
  return c.given("dtype") ? carrier(element_type(c.integer("dtype"), "random")) : otherwise;
}
Shape random_shape(const Context& c, bool like) {
  if (like) return c.in(0).shape();
  Ints sizes = c.integers("shape");
  for (int64_t size : sizes) c.require(size >= 0 && size < int64_t{1} << 31, "a size out of range");
  c.require(sizes.size() < 3 || product(sizes) < int64_t{1} << 36, "a size too large");
  return Shape(sizes);
}
template <bool like>
Values uniform(Context& c) {
  DType type = random_type(c, like ? c.in(0).dtype() : DType::f32);
  Tensor u = random_uniform(random_shape(c, like));
  double low = c.number("low", 0), high = c.number("high", 1);
  return {cast(add(mul(u, high - low), low), type)};
}
template <bool like>
Values normal(Context& c) {
  DType type = random_type(c, like ? c.in(0).dtype() : DType::f32);
  Tensor n = random_normal(random_shape(c, like));
  return {cast(add(mul(n, c.number("scale", 1)), c.number("mean", 0)), type)};
}
Values bernoulli(Context& c) {
  const Tensor& p = c.in(0);
  Tensor hit = less(cast(random_uniform(p.shape()), p.dtype()), p);
  return {cast(hit, random_type(c, p.dtype()))};
}

constexpr RuleEntry ml_table[] = {
    {"ArrayFeatureExtractor", array_feature_extractor, false, "ai.onnx.ml"},
    {"Bernoulli", bernoulli},
    {"Binarizer", binarizer, false, "ai.onnx.ml"},
    {"ImageDecoder", image_decoder},
    {"LabelEncoder", label_encoder, false, "ai.onnx.ml"},
    {"RandomNormal", normal<false>},
    {"RandomNormalLike", normal<true>},
    {"RandomUniform", uniform<false>},
    {"RandomUniformLike", uniform<true>},
};
}  // namespace

RuleList ml_rules() {
  return ml_table;
}

}  // namespace wafer::onnx
