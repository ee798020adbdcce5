#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "wafer/base/philox.h"
#include "wafer/io/image.h"

// Changes to training examples; each draws from a stream keyed by seed, epoch and example, so that
// results do not depend on threads. Images are u8 planes [channels, height, width].
namespace wafer::data {

struct Augmentation {
  int crop_padding = 0;  // pad by so many zero pixels a side, then crop back at a random place
  bool horizontal_flip = false;  // with probability 1/2
  float brightness = 0, contrast = 0,
        saturation = 0;  // factors drawn from [1 - x, 1 + x], as torchvision's
  int cutout = 0;        // side of one square set to the mean colour (DeVries and Taylor 2017)
  float mixup = 0;       // alpha of the Beta distribution of a batch's weight (Zhang et al. 2018)
  bool shift = true;     // windows of text start at a random offset

  // True when the pixels of an image change.
  bool changes_images() const;
};

// The options in one line: "crop=4 flip=1 ...".
std::string text(const Augmentation& augmentation);

// UserError naming the option whose value is out of range.
void check(const Augmentation& augmentation);

// In place; `scratch` is reused between calls.
void augment_image(const Augmentation& augmentation, std::span<uint8_t> planes, int channels,
                   int height, int width, RandomStream& random, std::vector<uint8_t>& scratch);

// The building blocks, each on all planes.
void crop_shifted(std::span<uint8_t> planes, int channels, int height, int width, int dy, int dx,
                  std::vector<uint8_t>& scratch);
void flip_horizontal(std::span<uint8_t> planes, int channels, int height, int width);
// brightness, then contrast (about the mean grey), then saturation (about each pixel's grey).
void jitter_colour(std::span<uint8_t> planes, int channels, int height, int width, float brightness,
                   float contrast, float saturation);
// The square of side `side` centred at (y, x), clipped at the border.
void cut_out(std::span<uint8_t> planes, int channels, int height, int width, int y, int x,
             int side);

// Beta(alpha, alpha), by Jöhnk's method for alpha <= 1 and as a ratio of gammas (Marsaglia and
// Tsang 2000) above.
float draw_beta(float alpha, RandomStream& random);

// Bilinear with half-pixel centres; when shrinking, the filter widens with the scale (as Pillow's).
io::Image resize(const io::Image& image, int height, int width);

// Grey to RGB or RGB to grey (ITU-R 601: 0.299 R + 0.587 G + 0.114 B); the same number of channels:
// a copy.
io::Image convert_channels(const io::Image& image, int channels);

// [height, width, channels] to [channels, height, width].
std::vector<uint8_t> to_planes(const io::Image& image);

}  // namespace wafer::data
