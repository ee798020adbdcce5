#pragma once
#include <tuple>

#include "wafer/ir/attrs.h"
#include "wafer/ir/tensor.h"

// Element-wise ops. Binary builders promote mixed dtypes as PyTorch does and broadcast as NumPy
// does; a scalar tensor does not widen the other's dtype within a category (floating, integer,
// boolean). Functions of real numbers (exp, log, ...) turn integers and booleans into f32 first.
namespace wafer {

Tensor neg(const Tensor& x);
Tensor abs(const Tensor& x);
Tensor sign(const Tensor& x);  // -1, 0 or 1
Tensor exp(const Tensor& x);
Tensor expm1(const Tensor& x);
Tensor log(const Tensor& x);
Tensor log1p(const Tensor& x);
Tensor sqrt(const Tensor& x);
Tensor rsqrt(const Tensor& x);
Tensor reciprocal(const Tensor& x);
Tensor square(const Tensor& x);
Tensor sin(const Tensor& x);
Tensor cos(const Tensor& x);
Tensor tan(const Tensor& x);
Tensor asin(const Tensor& x);
Tensor acos(const Tensor& x);
Tensor atan(const Tensor& x);
Tensor tanh(const Tensor& x);
Tensor erf(const Tensor& x);
Tensor floor(const Tensor& x);
Tensor ceil(const Tensor& x);
Tensor round(const Tensor& x);  // halves to even
Tensor logical_not(const Tensor& x);
Tensor is_nan(const Tensor& x);
Tensor is_finite(const Tensor& x);

// Conversion: a float to an integer truncates and saturates, NaN gives 0; to boolean is `!= 0`.
Tensor cast(const Tensor& x, DType dtype);
// x where it is of a floating type, else x as f32: what exp, mean or a division computes in.
Tensor to_floating(const Tensor& x);

Tensor add(const Tensor& a, const Tensor& b);
Tensor sub(const Tensor& a, const Tensor& b);
Tensor mul(const Tensor& a, const Tensor& b);
// True division; of integers gives f32.
Tensor div(const Tensor& a, const Tensor& b);
// Division rounded towards minus infinity, in the promoted dtype.
Tensor floor_divide(const Tensor& a, const Tensor& b);
Tensor pow(const Tensor& a, const Tensor& b);
Tensor remainder(const Tensor& a, const Tensor& b);  // sign of b, as Python's %
Tensor maximum(const Tensor& a, const Tensor& b);    // NaN if either is
Tensor minimum(const Tensor& a, const Tensor& b);    // NaN if either is
Tensor equal(const Tensor& a, const Tensor& b);
Tensor not_equal(const Tensor& a, const Tensor& b);
Tensor less(const Tensor& a, const Tensor& b);
Tensor less_equal(const Tensor& a, const Tensor& b);
Tensor greater(const Tensor& a, const Tensor& b);
Tensor greater_equal(const Tensor& a, const Tensor& b);
Tensor logical_and(const Tensor& a, const Tensor& b);
Tensor logical_or(const Tensor& a, const Tensor& b);
Tensor logical_xor(const Tensor& a, const Tensor& b);
// Elements of a where condition (boolean) is true, else of b.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
// x limited to [low, high].
Tensor clamp(const Tensor& x, double low, double high);

// A scalar of x's dtype; of f32 when x is not floating and the value is not whole.
Tensor scalar_like(const Tensor& x, double value);

// With a number on one side it takes the tensor's dtype (f32 where an integer dtype cannot hold
// it).
Tensor add(const Tensor& a, double b);
Tensor sub(const Tensor& a, double b);
Tensor sub(double a, const Tensor& b);
Tensor mul(const Tensor& a, double b);
Tensor div(const Tensor& a, double b);
Tensor div(double a, const Tensor& b);
Tensor pow(const Tensor& a, double b);
Tensor maximum(const Tensor& a, double b);
Tensor minimum(const Tensor& a, double b);
Tensor equal(const Tensor& a, double b);
Tensor less(const Tensor& a, double b);
Tensor greater(const Tensor& a, double b);

inline Tensor operator-(const Tensor& x) {
  return neg(x);
}
inline Tensor operator+(const Tensor& a, const Tensor& b) {
  return add(a, b);
}
inline Tensor operator-(const Tensor& a, const Tensor& b) {
  return sub(a, b);
}
inline Tensor operator*(const Tensor& a, const Tensor& b) {
  return mul(a, b);
}
inline Tensor operator/(const Tensor& a, const Tensor& b) {
  return div(a, b);
}
inline Tensor operator+(const Tensor& a, double b) {
  return add(a, b);
}
inline Tensor operator-(const Tensor& a, double b) {
  return sub(a, b);
}
inline Tensor operator*(const Tensor& a, double b) {
  return mul(a, b);
}
inline Tensor operator/(const Tensor& a, double b) {
  return div(a, b);
}
inline Tensor operator+(double a, const Tensor& b) {
  return add(b, a);
}
inline Tensor operator-(double a, const Tensor& b) {
  return sub(a, b);
}
inline Tensor operator*(double a, const Tensor& b) {
  return mul(b, a);
}
inline Tensor operator/(double a, const Tensor& b) {
  return div(a, b);
}
// Tensors are immutable: these rebind the left-hand side.
inline Tensor& operator+=(Tensor& a, const Tensor& b) {
  return a = add(a, b);
}
inline Tensor& operator-=(Tensor& a, const Tensor& b) {
  return a = sub(a, b);
}
inline Tensor& operator*=(Tensor& a, const Tensor& b) {
  return a = mul(a, b);
}
inline Tensor& operator/=(Tensor& a, const Tensor& b) {
  return a = div(a, b);
}

struct CastAttrs {
  DType dtype = DType::f32;
  static constexpr auto fields() { return std::make_tuple(Field{"dtype", &CastAttrs::dtype}); }
};

}  // namespace wafer
