#pragma once
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

namespace wafer {

// One dimension: constant + sum of coefficient * symbol. Most are plain integers.
class Dim {
 public:
  Dim(int64_t value = 0) : constant_(value) {}  // NOLINT: an integer is a dimension
  static Dim symbol(const std::string& name);

  bool is_static() const { return terms_ == nullptr; }
  // The integer; UserError naming the symbols when there are any.
  int64_t value() const;
  // With symbols replaced by the integers that `bindings` gives them.
  Dim bind(const std::map<std::string, int64_t>& bindings) const;
  std::string text() const;
  // Inverse of text().
  static Dim parse(const std::string& text);

  friend Dim operator+(const Dim& a, const Dim& b);
  friend Dim operator-(const Dim& a, const Dim& b) { return a + b * Dim(-1); }
  // One factor must be an integer: a product of symbols is not affine.
  friend Dim operator*(const Dim& a, const Dim& b);
  // Exact division by an integer; UserError when a coefficient is not divisible.
  friend Dim operator/(const Dim& a, int64_t divisor);
  friend bool operator==(const Dim& a, const Dim& b);

 private:
  using Terms = std::map<std::string, int64_t>;  // symbol -> coefficient, never 0
  int64_t constant_ = 0;
  std::shared_ptr<const Terms> terms_;
};

// At most 8 dimensions; none is a scalar; dimensions of 0 are legal.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Dim> dims);
  explicit Shape(std::vector<Dim> dims);
  explicit Shape(const std::vector<int64_t>& dims);

  int rank() const { return static_cast<int>(dims_.size()); }
  // Negative indices count from the end, as in PyTorch.
  const Dim& operator[](int index) const;
  void set(int index, Dim dim);
  bool is_static() const;
  // The sizes as integers; UserError when a symbol is left.
  std::vector<int64_t> sizes() const;
  int64_t size(int index) const { return (*this)[index].value(); }
  // Number of elements; a scalar has one.
  int64_t elements() const;
  const std::vector<Dim>& dims() const { return dims_; }
  Shape bind(const std::map<std::string, int64_t>& bindings) const;
  // "3x32x32"; "scalar" for rank 0.
  std::string text() const;

  friend bool operator==(const Shape& a, const Shape& b) { return a.dims_ == b.dims_; }

 private:
  std::vector<Dim> dims_;
};

std::ostream& operator<<(std::ostream& out, const Dim& dim);
std::ostream& operator<<(std::ostream& out, const Shape& shape);

// An axis in [-rank, rank) as one in [0, rank); UserError naming `where` otherwise.
int normalise_axis(int64_t axis, int rank, const std::string& where);

// NumPy's broadcasting of two shapes; UserError naming `where` when they do not fit.
Shape broadcast_shapes(const Shape& a, const Shape& b, const std::string& where);

// Element strides of a dense row-major array.
std::vector<int64_t> row_major_strides(const std::vector<int64_t>& sizes);

}  // namespace wafer
