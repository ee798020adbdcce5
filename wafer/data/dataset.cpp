#include "wafer/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

#include "wafer/base/error.h"
#include "wafer/base/threads.h"
#include "wafer/data/convert.h"

namespace wafer::data {

std::string_view name(InputKind kind) {
  switch (kind) {
    case InputKind::image: return "image";
    case InputKind::features: return "features";
    case InputKind::frames: return "frames";
    case InputKind::tokens: return "tokens";
  }
  return "";
}

std::string_view name(Task task) {
  switch (task) {
    case Task::classification: return "classification";
    case Task::regression: return "regression";
    case Task::next_token: return "next_token";
  }
  return "";
}

int64_t Description::elements() const {
  int64_t count = 1;
  for (int64_t dim : shape) count *= dim;
  return count;
}

std::vector<int64_t> Description::target_shape() const {
  if (task == Task::regression) return {1};
  if (task == Task::next_token) return shape;
  return {};
}

int64_t Source::label(int64_t) const {
  throw InternalError("this source has no class labels");
}
float Source::value(int64_t) const {
  throw InternalError("this source has no numeric targets");
}
std::string Source::example_name(int64_t) const {
  return "";
}
int64_t Source::group(int64_t) const {
  return -1;
}

namespace {

class ArraySource : public Source {
 public:
  ArraySource(Description description, ArrayPart part)
      : description_(std::move(description)), part_(std::move(part)) {
    const std::string& where = description_.where.empty() ? description_.name : description_.where;
    int64_t count = size();
    stride_ = byte_size(description_.stored, description_.elements());
    bool fits = part_.inputs.size() == stride_ * static_cast<size_t>(count);
    bool regression = description_.task == Task::regression;
    auto n = static_cast<size_t>(count);
    WAFER_REQUIRE(fits && (regression ? part_.values.size() : part_.labels.size()) == n &&
                      (part_.names.empty() || part_.names.size() == n) &&
                      (part_.groups.empty() || part_.groups.size() == n),
                  where, "inputs and targets differ in number: ", part_.inputs.size(),
                  " bytes of inputs of ", stride_, " bytes each, for ", count, " targets");
    auto classes = static_cast<int64_t>(description_.classes.size());
    for (size_t i = 0; i < n && !regression; ++i) {
      if (part_.labels[i] < 0 || part_.labels[i] >= classes) {
        throw UserError(where, str("the label of example ", i, label_name(i), " is out of range"),
                        {.got = str(part_.labels[i]),
                         .expected = str("0 to ", classes - 1),
                         .hint = "mend the labels, or name all classes"});
      }
    }
    for (size_t i = 0; i < n && regression; ++i) {
      WAFER_REQUIRE(std::isfinite(part_.values[i]), where, "the target of example ", i,
                    label_name(i), " is not a finite number");
    }
    if (description_.stored == DType::f32) check_finite(where);
  }

  const Description& description() const override { return description_; }
  int64_t size() const override { return part_.size(); }
  const std::byte* input(int64_t index, int64_t, std::vector<std::byte>&) const override {
    return part_.inputs.data() + static_cast<size_t>(index) * stride_;
  }
  void fetch_ahead(int64_t index) const override {
    constexpr size_t line = 64, most = 4096;  // processors fetch the rest by themselves
    const std::byte* data = part_.inputs.data() + static_cast<size_t>(index) * stride_;
    for (size_t at = 0; at < std::min(most, stride_); at += line) __builtin_prefetch(data + at);
  }
  int64_t label(int64_t index) const override { return part_.labels[static_cast<size_t>(index)]; }
  float value(int64_t index) const override { return part_.values[static_cast<size_t>(index)]; }
  std::string example_name(int64_t index) const override {
    return part_.names.empty() ? "" : part_.names[static_cast<size_t>(index)];
  }
  int64_t group(int64_t index) const override {
    return part_.groups.empty() ? -1 : part_.groups[static_cast<size_t>(index)];
  }

 private:
  std::string label_name(size_t i) const {
    return part_.names.empty() ? "" : " (" + part_.names[i] + ")";
  }

  void check_finite(const std::string& where) const {
    auto* values = reinterpret_cast<const float*>(part_.inputs.data());
    size_t count = part_.inputs.size() / sizeof(float);
    for (size_t i = 0; i < count; ++i) {
      if (std::isfinite(values[i])) continue;
      auto width = static_cast<size_t>(std::max<int64_t>(description_.elements(), 1));
      throw UserError(where, str("an input is not a finite number: example ", i / width,
                                 label_name(i / width), ", element ", i % width));
    }
  }

  Description description_;
  ArrayPart part_;
  size_t stride_ = 0;
};

class WindowSource : public Source {
 public:
  WindowSource(Description description, std::shared_ptr<const void> owner,
               std::span<const std::byte> tokens, int64_t stride)
      : description_(std::move(description)),
        owner_(std::move(owner)),
        tokens_(tokens),
        stride_(stride),
        width_(byte_size(description_.stored, 1)) {
    int64_t count = static_cast<int64_t>(tokens_.size() / width_),
            length = description_.shape.at(0);
    WAFER_REQUIRE(stride_ > 0 && length > 0, description_.where,
                  "window and stride must be positive");
    if (count < length + 1) {
      throw UserError(description_.where, "the text is shorter than one window",
                      {.got = str(count, " characters"),
                       .expected = str("at least ", length + 1),
                       .hint = "choose a shorter sequence length"});
    }
    size_ = (count - length - 1) / stride_ + 1;
    last_start_ = count - length - 1;
  }

  const Description& description() const override { return description_; }
  int64_t size() const override { return size_; }
  int64_t shifts() const override { return stride_; }
  // One token longer than the shape says: the target needs it.
  const std::byte* input(int64_t index, int64_t shift, std::vector<std::byte>&) const override {
    return tokens_.data() +
           static_cast<size_t>(std::min(index * stride_ + shift, last_start_)) * width_;
  }

 private:
  Description description_;
  std::shared_ptr<const void> owner_;
  std::span<const std::byte> tokens_;
  int64_t stride_, size_ = 0, last_start_ = 0;
  size_t width_;
};

}  // namespace

std::shared_ptr<const Source> make_array_source(Description description, ArrayPart part) {
  return std::make_shared<ArraySource>(std::move(description), std::move(part));
}

std::shared_ptr<const Source> make_window_source(Description description,
                                                 std::shared_ptr<const void> owner,
                                                 std::span<const std::byte> tokens,
                                                 int64_t stride) {
  return std::make_shared<WindowSource>(std::move(description), std::move(owner), tokens, stride);
}

Dataset::Dataset(std::shared_ptr<const Source> source, Normalise normalise)
    : source_(std::move(source)), all_(source_->size()), normalise_(std::move(normalise)) {}

const Description& Dataset::description() const {
  WAFER_REQUIRE(source_ != nullptr, "data", "an empty set was used; load a set first");
  return source_->description();
}

int64_t Dataset::source_index(int64_t index) const {
  WAFER_CHECK(index >= 0 && index < size(), "example ", index, " of ", size());
  return indices_ ? (*indices_)[static_cast<size_t>(index)] : index;
}

int64_t Dataset::label(int64_t index) const {
  return source_->label(source_index(index));
}
float Dataset::value(int64_t index) const {
  return source_->value(source_index(index));
}
int64_t Dataset::group(int64_t index) const {
  return source_->group(source_index(index));
}
std::string Dataset::example_name(int64_t index) const {
  return source_->example_name(source_index(index));
}

std::vector<int64_t> Dataset::labels() const {
  std::vector<int64_t> result(static_cast<size_t>(size()));
  for (size_t i = 0; i < result.size(); ++i) result[i] = label(static_cast<int64_t>(i));
  return result;
}

const std::byte* Dataset::stored_input(int64_t index, int64_t shift,
                                       std::vector<std::byte>& scratch) const {
  return source_->input(source_index(index), shift, scratch);
}

void Dataset::read_input(int64_t index, std::byte* output) const {
  std::vector<std::byte> scratch;
  convert_input(description(), normalise_, stored_input(index, 0, scratch), output);
}

void Dataset::read_target(int64_t index, std::byte* output) const {
  if (task() == Task::next_token) {
    std::vector<std::byte> scratch;
    convert_next_tokens(description(), stored_input(index, 0, scratch), output);
  } else if (task() == Task::regression) {
    float target = value(index);
    std::memcpy(output, &target, sizeof target);
  } else {
    int64_t target = label(index);
    std::memcpy(output, &target, sizeof target);
  }
}

io::Image Dataset::image(int64_t index) const {
  const Description& about = description();
  WAFER_REQUIRE(about.kind == InputKind::image && about.stored == DType::u8, about.name,
                "the set holds no images");
  io::Image image{static_cast<int>(about.shape[2]), static_cast<int>(about.shape[1]),
                  static_cast<int>(about.shape[0]),
                  io::Bytes(static_cast<size_t>(about.elements()))};
  std::vector<std::byte> scratch;
  auto* planes = reinterpret_cast<const uint8_t*>(stored_input(index, 0, scratch));
  auto channels = static_cast<size_t>(image.channels), plane = image.pixels.size() / channels;
  for (size_t c = 0; c < channels; ++c) {
    for (size_t i = 0; i < plane; ++i) image.pixels[i * channels + c] = planes[c * plane + i];
  }
  return image;
}

Dataset Dataset::subset(std::vector<int64_t> indices) const {
  for (int64_t& index : indices) index = source_index(index);
  Dataset result = *this;
  result.indices_ = std::make_shared<const std::vector<int64_t>>(std::move(indices));
  return result;
}

Dataset Dataset::take(int64_t count) const {
  if (count >= size()) return *this;
  std::vector<int64_t> indices(static_cast<size_t>(std::max<int64_t>(count, 0)));
  for (size_t i = 0; i < indices.size(); ++i) indices[i] = static_cast<int64_t>(i);
  return subset(std::move(indices));
}

Dataset Dataset::with(Normalise normalise) const {
  if (!normalise.empty()) {
    const Description& about = description();
    int64_t expected = about.kind == InputKind::image ? about.shape[0] : about.shape.back();
    for (const auto& values : {normalise.mean, normalise.standard_deviation}) {
      WAFER_REQUIRE(static_cast<int64_t>(values.size()) == expected, about.name, "normalise has ",
                    values.size(), " values for ", expected, " channels or features");
    }
    for (float deviation : normalise.standard_deviation) {
      WAFER_REQUIRE(deviation > 0 && std::isfinite(deviation), about.name,
                    "a standard deviation must be positive; got ", deviation);
    }
  }
  Dataset result = *this;
  result.normalise_ = std::move(normalise);
  return result;
}

namespace {

// Sums of values and squares of one part of the set. Pixels are summed as integers, so that the
// result does not depend on how the work is divided; numbers are summed by example in order.
struct Sums {
  std::vector<uint64_t> whole, whole_squares;
};

Normalise measure_images(const Dataset& dataset) {
  const Description& about = dataset.description();
  auto channels = static_cast<size_t>(about.shape[0]);
  auto plane = static_cast<size_t>(about.elements()) / channels;
  Sums total{std::vector<uint64_t>(channels), std::vector<uint64_t>(channels)};
  std::mutex mutex;
  parallel_for(dataset.size(), 256, [&](int64_t begin, int64_t end) {
    Sums part{std::vector<uint64_t>(channels), std::vector<uint64_t>(channels)};
    std::vector<std::byte> scratch;
    for (int64_t i = begin; i < end; ++i) {
      auto* pixels = reinterpret_cast<const uint8_t*>(dataset.stored_input(i, 0, scratch));
      for (size_t c = 0; c < channels; ++c)
        sum_pixels(pixels + c * plane, plane, part.whole[c], part.whole_squares[c]);
    }
    std::lock_guard lock(mutex);
    for (size_t c = 0; c < channels; ++c) {
      total.whole[c] += part.whole[c];
      total.whole_squares[c] += part.whole_squares[c];
    }
  });
  Normalise result;
  double count = static_cast<double>(dataset.size()) * static_cast<double>(plane);
  for (size_t c = 0; c < channels; ++c) {
    double mean = static_cast<double>(total.whole[c]) / count;
    double variance =
        std::max(0.0, static_cast<double>(total.whole_squares[c]) / count - mean * mean);
    double deviation = std::sqrt(variance) / 255;
    result.mean.push_back(static_cast<float>(mean / 255));
    result.standard_deviation.push_back(deviation > 1e-6 ? static_cast<float>(deviation) : 1.0f);
  }
  return result;
}

// One-hot columns stay as they are: mean 0, deviation 1.
std::vector<bool> plain_features(const Description& about) {
  std::vector<bool> plain(static_cast<size_t>(about.shape.back()), false);
  size_t at = 0;
  for (const TableColumn& column : about.columns) {
    for (size_t i = 0; i < column.categories.size(); ++i) plain[at + i] = true;
    at += std::max<size_t>(column.categories.size(), 1);
  }
  return plain;
}

Normalise measure_numbers(const Dataset& dataset) {
  const Description& about = dataset.description();
  auto width = static_cast<size_t>(about.shape.back());
  auto rows = static_cast<size_t>(about.elements()) / std::max<size_t>(width, 1);
  std::vector<double> sums(width), squares(width);
  std::vector<std::byte> scratch;
  double count = static_cast<double>(dataset.size()) * static_cast<double>(rows);
  // Two passes: the square of the mean would swallow a small variance.
  for (int pass = 0; pass < 2; ++pass) {
    for (int64_t i = 0; i < dataset.size(); ++i) {
      auto* values = reinterpret_cast<const float*>(dataset.stored_input(i, 0, scratch));
      for (size_t r = 0; r < rows; ++r, values += width) {
        for (size_t f = 0; f < width; ++f) {
          double difference = static_cast<double>(values[f]) - sums[f];
          if (pass == 0) sums[f] += static_cast<double>(values[f]);
          if (pass == 1) squares[f] += difference * difference;
        }
      }
    }
    if (pass == 0) {
      for (double& sum : sums) sum /= count;
    }
  }
  Normalise result;
  std::vector<bool> plain = plain_features(about);
  for (size_t f = 0; f < width; ++f) {
    double deviation = std::sqrt(squares[f] / count);
    result.mean.push_back(plain[f] ? 0.0f : static_cast<float>(sums[f]));
    result.standard_deviation.push_back(
        plain[f] || deviation < 1e-12 ? 1.0f : static_cast<float>(deviation));
  }
  return result;
}

}  // namespace

Normalise measure_normalise(const Dataset& dataset) {
  if (dataset.empty() || dataset.description().kind == InputKind::tokens) return {};
  if (dataset.description().stored == DType::u8) return measure_images(dataset);
  return measure_numbers(dataset);
}

}  // namespace wafer::data
