#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "wafer/ir/dtype.h"
#include "wafer/ir/shape.h"

namespace wafer::data {

enum class InputKind {
  image,     // [channels, height, width]
  features,  // [columns]: one row of a table
  frames,    // [frames, features]: sound as a log-mel spectrogram
  tokens,    // [length]: text as indices into a vocabulary
};

enum class Task {
  classification,  // target: class index, i64 scalar
  regression,      // target: f32 [1]
  next_token,      // target: i64 [length], the input shifted by one
};

std::string_view name(InputKind kind);
std::string_view name(Task task);

// How sound becomes a log-mel spectrogram (see log_mel.h).
struct AudioFormat {
  int64_t sample_rate = 8000;  // Hz
  int64_t samples = 8000;      // a recording is cut, or padded with silence, to so many
  int64_t window = 256, hop = 128, mels = 40;
  friend bool operator==(const AudioFormat&, const AudioFormat&) = default;
};

// One column of a table before it is made into numbers.
struct TableColumn {
  std::string name;
  std::vector<std::string> categories;  // empty: a number; otherwise one-hot, in this order
  friend bool operator==(const TableColumn&, const TableColumn&) = default;
};

// What every example of a set has in common.
struct Description {
  std::string name;   // "cifar10"
  std::string where;  // the file or folder it was read from; empty when made by a program
  InputKind kind = InputKind::image;
  Task task = Task::classification;
  DType stored = DType::u8;          // how inputs lie in memory: u8, u16 or f32
  std::vector<int64_t> shape;        // of one input
  std::vector<std::string> classes;  // class names; of text, its characters as UTF-8, by token
  AudioFormat audio;                 // of frames
  std::vector<TableColumn> columns;  // of features

  int64_t elements() const;
  // f32, or i64 for tokens: what a model gets.
  DType input_dtype() const { return kind == InputKind::tokens ? DType::i64 : DType::f32; }
  DType target_dtype() const { return task == Task::regression ? DType::f32 : DType::i64; }
  // Of one target: {} for a class index.
  std::vector<int64_t> target_shape() const;
};

// Per-channel shift and scale: (x - mean) / standard_deviation. Images have a value a channel, on
// the scale 0..1 (pixel / 255); features and frames one for each of the last axis. Empty: none.
struct Normalise {
  std::vector<float> mean, standard_deviation;
  bool empty() const { return mean.empty(); }
  friend bool operator==(const Normalise&, const Normalise&) = default;
};

}  // namespace wafer::data
