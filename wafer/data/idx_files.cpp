#include <algorithm>
#include <array>

#include "wafer/base/error.h"
#include "wafer/data/decoders.h"
#include "wafer/io/idx.h"

namespace wafer::data {

namespace fs = std::filesystem;

namespace {

// The file in its plain or compressed form, also with the dot that some copies have
// ("images.idx3-ubyte").
fs::path find_file(const fs::path& folder, const std::string& stem, const std::string& ending) {
  std::error_code ignored;
  for (const char* joint : {"-", "."}) {
    for (const char* packed : {"", ".gz"}) {
      fs::path file = folder / (stem + joint + ending + packed);
      if (fs::is_regular_file(file, ignored)) return file;
    }
  }
  return {};
}

fs::path require_file(const fs::path& folder, const std::string& stem, const std::string& ending) {
  fs::path file = find_file(folder, stem, ending);
  WAFER_REQUIRE(!file.empty(), folder.string(), "the file ", stem, "-", ending,
                " (or .gz) is missing; put all four IDX files in one folder");
  return file;
}

ArrayPart read_part(const fs::path& folder, const std::string& prefix,
                    std::vector<int64_t>& shape) {
  fs::path image_file = require_file(folder, prefix + "-images", "idx3-ubyte");
  fs::path label_file = require_file(folder, prefix + "-labels", "idx1-ubyte");
  auto images = std::make_shared<io::IdxArray>(io::read_idx(image_file));
  io::IdxArray labels = io::read_idx(label_file);
  WAFER_REQUIRE(images->type == io::IdxArray::Type::u8 && images->shape.size() == 3,
                image_file.string(),
                "not a file of images: expected 3 dimensions of unsigned bytes");
  WAFER_REQUIRE(labels.type == io::IdxArray::Type::u8 && labels.shape.size() == 1,
                label_file.string(),
                "not a file of labels: expected 1 dimension of unsigned bytes");
  if (labels.shape[0] != images->shape[0]) {
    throw UserError(label_file.string(), "images and labels differ in number",
                    {.got = str(labels.shape[0], " labels"), .expected = str(images->shape[0])});
  }
  std::vector<int64_t> image_shape = {1, images->shape[1], images->shape[2]};
  WAFER_REQUIRE(shape.empty() || shape == image_shape, image_file.string(),
                "the images have another size than the training images");
  WAFER_REQUIRE(image_shape[1] > 0 && image_shape[2] > 0, image_file.string(),
                "the images are empty");
  shape = image_shape;
  ArrayPart part;
  part.inputs = std::as_bytes(std::span(images->bytes));
  part.labels.assign(labels.bytes.begin(), labels.bytes.end());
  part.owner = images;
  return part;
}

}  // namespace

bool has_idx_files(const fs::path& path) {
  return !find_file(path, "train-images", "idx3-ubyte").empty();
}

Content decode_idx(const fs::path& path) {
  Content content;
  content.description.name = "mnist";
  content.description.where = path.string();
  content.train = read_part(path, "train", content.description.shape);
  content.test = read_part(path, "t10k", content.description.shape);
  // The format names no classes. Ten or fewer are digits; copies with letters (EMNIST) have more,
  // each with examples, so that a lone greater label is a damaged one.
  std::array<int64_t, 256> examples{};
  for (int64_t label : content.train.labels) ++examples[static_cast<size_t>(label)];
  int64_t classes = 256;
  while (classes > 10 && examples[static_cast<size_t>(classes - 1)] == 0) --classes;
  bool whole = std::all_of(examples.begin() + 10, examples.begin() + classes,
                           [](int64_t count) { return count > 0; });
  WAFER_REQUIRE(classes == 10 || (whole && classes <= 62), path.string(), "training label ",
                classes - 1, " is out of range; are images and labels swapped, or a file damaged?");
  for (int64_t i = 0; i < classes; ++i) content.description.classes.push_back(str(i));
  return content;
}

}  // namespace wafer::data
