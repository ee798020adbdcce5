#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "wafer/data/description.h"
#include "wafer/io/image.h"

namespace wafer::data {

// Where examples come from: the seam that a new kind of data implements. All functions may be
// called from several threads at once.
class Source {
 public:
  virtual ~Source() = default;
  virtual const Description& description() const = 0;
  virtual int64_t size() const = 0;

  // Input `index` as stored: elements() values of dtype `stored`, row-major. A source that holds it
  // in memory returns a pointer into that; another fills `scratch` and returns its data. `shift` in
  // [0, shifts()) moves the window of a source whose examples are windows of something longer.
  virtual const std::byte* input(int64_t index, int64_t shift,
                                 std::vector<std::byte>& scratch) const = 0;
  virtual int64_t shifts() const { return 1; }
  // Begins to bring the input into the cache, which is about to be read.
  virtual void fetch_ahead(int64_t /*index*/) const {}

  // The target of an example, by task.
  virtual int64_t label(int64_t index) const;
  virtual float value(int64_t index) const;

  // Where the example came from ("test/cat/0001.jpg"), or "".
  virtual std::string example_name(int64_t index) const;
  // Examples of one group (frames of one track, recordings of one speaker) belong on one side of a
  // split; -1: no group.
  virtual int64_t group(int64_t index) const;
};

// A set in memory.
struct ArrayPart {
  std::shared_ptr<const void> owner;  // keeps `inputs` alive
  std::span<const std::byte> inputs;  // [n, ...] of the description's dtype and shape
  std::vector<int64_t> labels;        // [n] for classification
  std::vector<float> values;          // [n] for regression
  std::vector<std::string> names;     // [n] or empty
  std::vector<int64_t> groups;        // [n] or empty
  int64_t size() const {
    return static_cast<int64_t>(labels.empty() ? values.size() : labels.size());
  }
};

// UserError (naming the description's `where` and the example) when a label is out of range, a
// number is not finite, or the lengths differ.
std::shared_ptr<const Source> make_array_source(Description description, ArrayPart part);

// Windows of `length` tokens of a text; example i starts at i * stride (+ shift), and its target is
// the window one token later. tokens: u8 or u16.
std::shared_ptr<const Source> make_window_source(Description description,
                                                 std::shared_ptr<const void> owner,
                                                 std::span<const std::byte> tokens, int64_t stride);

// A set as a model sees it: a source, which of its examples, and how inputs are normalised. Cheap
// to copy.
class Dataset {
 public:
  Dataset() = default;
  explicit Dataset(std::shared_ptr<const Source> source, Normalise normalise = {});

  int64_t size() const { return indices_ ? static_cast<int64_t>(indices_->size()) : all_; }
  bool empty() const { return size() == 0; }

  const Description& description() const;
  // Of one input and one target, as a model gets them: without the batch.
  Shape input_shape() const { return Shape(description().shape); }
  DType input_dtype() const { return description().input_dtype(); }
  Shape target_shape() const { return Shape(description().target_shape()); }
  DType target_dtype() const { return description().target_dtype(); }
  Task task() const { return description().task; }
  const std::vector<std::string>& class_names() const { return description().classes; }
  // Class names, or size of the vocabulary; 0 for regression.
  int64_t classes() const { return static_cast<int64_t>(class_names().size()); }

  // Class index of an example, and of all (classification only).
  int64_t label(int64_t index) const;
  std::vector<int64_t> labels() const;
  float value(int64_t index) const;
  std::string example_name(int64_t index) const;
  int64_t group(int64_t index) const;

  // An input as stored; see Source::input.
  const std::byte* stored_input(int64_t index, int64_t shift,
                                std::vector<std::byte>& scratch) const;
  int64_t shifts() const { return source_->shifts(); }
  // Begins to bring the input into the cache: a shuffled set's lie anywhere, and each would be
  // waited for.
  void fetch_ahead(int64_t index) const { source_->fetch_ahead(source_index(index)); }

  // Input `index` as a model gets it, normalised: elements() values of f32 or i64.
  void read_input(int64_t index, std::byte* output) const;
  void read_target(int64_t index, std::byte* output) const;

  // An image as it was decoded, for thumbnails. UserError when the set holds no images.
  io::Image image(int64_t index) const;

  // Some of the examples, in the given order; indices count within this set.
  Dataset subset(std::vector<int64_t> indices) const;
  // The first `count`, or all when there are fewer.
  Dataset take(int64_t count) const;

  const Normalise& normalise() const { return normalise_; }
  Dataset with(Normalise normalise) const;

 private:
  int64_t source_index(int64_t index) const;

  std::shared_ptr<const Source> source_;
  std::shared_ptr<const std::vector<int64_t>> indices_;  // null: all of the source
  int64_t all_ = 0;
  Normalise normalise_;
};

// Mean and standard deviation (of the population) of the inputs, per channel or feature; a constant
// one gets deviation 1. Tokens have none.
Normalise measure_normalise(const Dataset& dataset);

}  // namespace wafer::data
