#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "wafer/base/philox.h"
#include "wafer/ir/tensor.h"

// Initial values of parameters, with PyTorch's names and formulas (torch.nn.init).
namespace wafer::nn::init {

// Fills the elements (row-major) of a tensor of `shape` from the stream.
using Initialiser =
    std::function<void(std::span<float> values, const Shape& shape, RandomStream& random)>;

// Number of inputs and outputs of one unit: dimension 1 and 0 of a weight times its kernel.
struct Fans {
  double in = 0, out = 0;
};
// UserError for fewer than two dimensions.
Fans fans(const Shape& shape);

// sqrt(2 / (1 + a^2)) for leaky ReLU with negative slope a; a = 0 is ReLU.
double leaky_relu_gain(double a);

Initialiser constant(double value);
Initialiser zeros();
Initialiser ones();
Initialiser uniform(double low = 0, double high = 1);
Initialiser normal(double mean = 0, double deviation = 1);
// Normal, drawn again while outside [low, high].
Initialiser trunc_normal(double mean = 0, double deviation = 1, double low = -2, double high = 2);
// Glorot and Bengio 2010: bound gain sqrt(6 / (fan in + fan out)); deviation gain sqrt(2 / (...)).
Initialiser xavier_uniform(double gain = 1);
Initialiser xavier_normal(double gain = 1);
// He et al. 2015, by fan in: bound gain(a) sqrt(3 / fan in); deviation gain(a) / sqrt(fan in).
Initialiser kaiming_uniform(double a = 0);
Initialiser kaiming_normal(double a = 0);
// By fan out, for ReLU: deviation sqrt(2 / fan out). What torchvision gives convolutions.
Initialiser kaiming_normal_fan_out();
// Saxe et al. 2013: dimension 0 by all others flattened is a matrix with orthonormal rows or
// columns, times gain.
Initialiser orthogonal(double gain = 1);

// A new f32 tensor filled by the initialiser.
Tensor make(const Initialiser& initialiser, const Shape& shape, RandomStream& random);

// The stream of a parameter's name under a seed: the same on every machine.
RandomStream stream_of(uint64_t seed, const std::string& name);
// The stream for a parameter that is made now, before it has a name: the n-th since manual_seed.
RandomStream next_stream();

// While one is alive in this thread, modules are made without first values: their parameters are
// placeholders until Module::initialise or load_state_dict. For models that take values from a
// file, or are only counted.
class Deferred {
 public:
  Deferred();
  ~Deferred();
  Deferred(const Deferred&) = delete;
  Deferred& operator=(const Deferred&) = delete;
};
bool deferred();

}  // namespace wafer::nn::init

namespace wafer::nn {

// Seeds the initial values of modules constructed after it (0 at the start of a program).
void manual_seed(uint64_t seed);

}  // namespace wafer::nn
