#pragma once
#include "tests/io/helpers.h"
#include "wafer/data/dataset.h"
#include "wafer/io/image.h"

namespace wafer::data::testing {

// WAFER_CACHE points into the folder while alive, so that no test touches the user's cache.
class TemporaryCache {
 public:
  TemporaryCache() { ::setenv("WAFER_CACHE", folder_.path().c_str(), 1); }
  ~TemporaryCache() { ::unsetenv("WAFER_CACHE"); }
  const wafer::testing::TemporaryFolder& folder() const { return folder_; }

 private:
  wafer::testing::TemporaryFolder folder_;
};

// n images [channels, 2, 2] whose pixels are all the example's index, with labels index % classes.
inline Dataset small_images(int64_t n, int64_t classes = 2, int64_t channels = 1) {
  Description about;
  about.name = "small";
  about.shape = {channels, 2, 2};
  for (int64_t c = 0; c < classes; ++c)
    about.classes.push_back(std::string(1, static_cast<char>('a' + c)));
  auto pixels = std::make_shared<std::vector<uint8_t>>();
  ArrayPart part;
  for (int64_t i = 0; i < n; ++i) {
    pixels->insert(pixels->end(), static_cast<size_t>(channels * 4), static_cast<uint8_t>(i));
    part.labels.push_back(i % classes);
  }
  part.inputs = std::as_bytes(std::span(*pixels));
  part.owner = pixels;
  return Dataset(make_array_source(about, std::move(part)));
}

inline io::Image flat_image(int width, int height, int channels, uint8_t value) {
  return {width, height, channels,
          io::Bytes(static_cast<size_t>(width) * static_cast<size_t>(height) *
                        static_cast<size_t>(channels),
                    value)};
}

}  // namespace wafer::data::testing
