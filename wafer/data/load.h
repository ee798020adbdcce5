#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "wafer/data/dataset.h"

namespace wafer::data {

struct SplitOptions {
  double validation = 0.1;     // share of the training part; 0: no validation part
  std::optional<double> test;  // share of the whole, where the set has no test part; unset: 0.2
  uint64_t seed = 0;
};

// The parts of a set. A part that the set does not have is empty.
struct Splits {
  Dataset train, validation, test;
  std::string note;  // one line that a user of this set should read, or ""

  const Description& description() const { return train.description(); }
  // Takes validation (and test) examples out of the training part where the set has no such part:
  // the same share of each class, whole groups together, chosen by the seed alone. Inputs are then
  // normalised by the mean and deviation of the training part that is left. UserError when a part
  // would be empty or of one class only.
  Splits split(const SplitOptions& options = {}) const;
};

struct LoadOptions {
  int64_t image_height = 0, image_width = 0;  // images are resized; 0: as they are, all the same
  int64_t channels = 0;                       // 1 grey, 3 RGB; 0: as the first image
  int64_t sequence_length = 128;              // characters in a window of text
  std::string target;                         // column of a table to predict; "": the last
  std::vector<std::string> categorical;       // columns of a table whose numbers are codes
  std::vector<std::string> drop;              // columns of a table to leave out
  AudioFormat audio;
  std::string leave_out;                         // fsdd: the speaker who makes the test part
  int64_t train_size = 20000, test_size = 4000;  // shapes
  uint64_t seed = 0;                             // shapes
  bool cache = true;                             // keep decoded images and sound on disk
};

// Loads a set. `name`: a known set (see registry.h), or a kind of data: "images", "table", "text";
// `path`: its folder or file. With no path, a known set is looked for where data sets lie; a `name`
// that is itself a path is taken for what its contents look like. UserError when there is no such
// set (with the nearest name), the files are not there (with where they were looked for and how to
// get them), or are damaged.
Splits load(const std::string& name, const std::filesystem::path& path = {},
            const LoadOptions& options = {});

// CIFAR-10 where it is found, otherwise the drawn shapes, with a note that says so.
Splits load_default(const LoadOptions& options = {});

}  // namespace wafer::data
