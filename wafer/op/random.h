#pragma once
#include <cstdint>
#include <string>
#include <tuple>

#include "wafer/ir/attrs.h"
#include "wafer/ir/tensor.h"

// Random numbers from Philox4x32-10 (base/philox.h): element i of a stream at (seed, step) is word
// i mod 4 of the block with counter {i / 4, step, stream low, stream high} and key {seed low, seed
// high}, on every device.
namespace wafer {

// f32 in [0, 1): the upper 24 bits of a word times 2^-24.
Tensor random_uniform(const Shape& shape);
Tensor random_uniform(const Shape& shape, double low, double high);
// f32, mean 0, standard deviation 1: sqrt(2) erfinv(2 u - 1) with u = (upper 24 bits + 1/2) 2^-24
// and the polynomial of Giles, "Approximating the erfinv function" (2010).
Tensor random_normal(const Shape& shape);
// x with each element zeroed with the probability, the others scaled by 1 / (1 - probability).
Tensor dropout(const Tensor& x, double probability);

// The seed of random ops outside a RandomScope; each such op is a step of its own.
void manual_seed(uint64_t seed);

// While alive, random ops of this thread read `key` (u64 [2]: seed, step), and each is a stream of
// its own, named by its module path and its ordinal in the scope.
class RandomScope {
 public:
  explicit RandomScope(Tensor key);
  ~RandomScope();
  RandomScope(const RandomScope&) = delete;
  RandomScope& operator=(const RandomScope&) = delete;

 private:
  RandomScope* outer_;
  Tensor key_;
  int64_t ordinal_ = 0;
  friend Tensor random_of(const OpDef& op, const Shape& shape);
};

struct RandomAttrs {
  Shape shape;
  int64_t stream = 0;
  static constexpr auto fields() {
    return std::make_tuple(Field{"shape", &RandomAttrs::shape},
                           Field{"stream", &RandomAttrs::stream});
  }
};

}  // namespace wafer
