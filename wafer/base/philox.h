#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace wafer {

// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy as
// 1, 2, 3" (SC 2011): the same four words for the same counter and key on every device, in any
// order.
struct Philox {
  using Block = std::array<uint32_t, 4>;

  static Block generate(Block counter, std::array<uint32_t, 2> key) {
    for (int round = 0; round < 10; ++round) {
      uint64_t low = uint64_t{0xD2511F53u} * counter[0];
      uint64_t high = uint64_t{0xCD9E8D57u} * counter[2];
      counter = {
          static_cast<uint32_t>(high >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(high),
          static_cast<uint32_t>(low >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(low)};
      key[0] += 0x9E3779B9u;
      key[1] += 0xBB67AE85u;
    }
    return counter;
  }
};

// A stream of numbers on the host for shuffles, splits and initial values: same seed and stream,
// same numbers.
class RandomStream {
 public:
  explicit RandomStream(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  uint32_t next() {
    if (used_ == 4) {
      block_ = Philox::generate(
          {static_cast<uint32_t>(position_), static_cast<uint32_t>(position_ >> 32),
           static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)},
          {static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32)});
      ++position_;
      used_ = 0;
    }
    return block_[used_++];
  }

  // Uniform in [0, 1), on a grid of 2^-24 so that it is exact in float.
  float uniform() { return static_cast<float>(next() >> 8) * 0x1p-24f; }

  // Uniform in [0, bound), without bias (Lemire 2019).
  uint32_t below(uint32_t bound) {
    uint64_t product = uint64_t{next()} * bound;
    if (static_cast<uint32_t>(product) < bound) {
      uint32_t threshold = (0u - bound) % bound;
      while (static_cast<uint32_t>(product) < threshold) product = uint64_t{next()} * bound;
    }
    return static_cast<uint32_t>(product >> 32);
  }

  // Fisher-Yates.
  template <class Container>
  void shuffle(Container& items) {
    for (size_t i = items.size(); i > 1; --i) {
      std::swap(items[i - 1], items[below(static_cast<uint32_t>(i))]);
    }
  }

 private:
  uint64_t seed_, stream_, position_ = 0;
  Philox::Block block_{};
  int used_ = 4;
};

}  // namespace wafer
