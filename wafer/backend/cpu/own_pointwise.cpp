#include "wafer/backend/cpu/isa.h"
#include "wafer/backend/cpu/own_conv.h"
#include "wafer/backend/cpu/own_conv_operands.h"

// Convolutions whose windows are one position: products of matrices, channels-last images being
// [positions, channels].
namespace wafer::cpu::own {

namespace {
struct Matrices {
  Type x, weight, y;

  explicit Matrices(const ConvProblem& p) {
    auto matrix = [](int64_t rows, int64_t columns) {
      return Type{DType::f32, Shape{rows, columns}};
    };
    int64_t channels = p.x.shape.size(1), outputs = p.y.shape.size(1);
    int64_t positions = p.y.elements() / outputs;
    x = matrix(positions, channels);
    weight = matrix(outputs, channels);
    y = matrix(positions, outputs);
  }
};
}  // namespace

bool is_pointwise_faster(const ConvProblem& p, ConvKind kind) {
  // With AVX-512 oneDNN is as fast.
  if (isa() != Isa::avx2 || p.groups != 1 || !is_f32_channels_last(p)) return false;
  if (!Geometry(p).pointwise()) return false;
  int64_t channels = p.x.shape.size(1), outputs = p.y.shape.size(1);
  switch (kind) {
    case ConvKind::forward:
      // Of few channels, storing results takes the time; columns that are no whole vectors, too.
      return p.weight_values != nullptr && channels >= 64 && outputs % 16 == 0;
    case ConvKind::weight_gradient: return p.weight.elements() >= 256 * 256;
    default: return false;
  }
}

Step make_pointwise(const ConvProblem& p, const Epilogue& epilogue, KernelContext& context) {
  Matrices m(p);
  MatmulProblem product{m.x, m.weight, m.y, false, true, p.weight_values};
  return own::make_matmul(product, epilogue, context);
}

Step make_pointwise_weight_gradient(const ConvProblem& p, KernelContext& context) {
  Matrices m(p);
  Step product = own::make_matmul(MatmulProblem{m.y, m.x, m.weight, true}, {}, context);
  return [product](const StepArgs& args) {
    void* const in[] = {args.in[1], args.in[0]};
    product({in, args.out, args.scratch});
  };
}

}  // namespace wafer::cpu::own
