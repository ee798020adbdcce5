#include "wafer/ir/shape.h"

#include <algorithm>
#include <charconv>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"

namespace wafer {

Dim Dim::symbol(const std::string& name) {
  Dim dim;
  dim.terms_ = std::make_shared<const Terms>(Terms{{name, 1}});
  return dim;
}

int64_t Dim::value() const {
  if (terms_) {
    throw UserError("shape", str("dimension '", text(), "' is symbolic where a number is needed"),
                    {.hint = "bind it first, for example by giving an input of known shape"});
  }
  return constant_;
}

Dim Dim::bind(const std::map<std::string, int64_t>& bindings) const {
  Dim result(constant_);
  if (!terms_) return result;
  for (const auto& [name, coefficient] : *terms_) {
    auto found = bindings.find(name);
    result =
        result + (found == bindings.end() ? symbol(name) : Dim(found->second)) * Dim(coefficient);
  }
  return result;
}

std::string Dim::text() const {
  if (!terms_) return std::to_string(constant_);
  std::string text;
  for (const auto& [name, coefficient] : *terms_) {
    if (!text.empty()) text += "+";
    text += coefficient == 1 ? name : std::to_string(coefficient) + "*" + name;
  }
  return constant_ == 0 ? text : text + "+" + std::to_string(constant_);
}

Dim Dim::parse(const std::string& text) {
  Dim sum;
  for (const auto& term : split(text, '+')) {
    auto star = term.find('*');
    std::string number = star == term.npos ? term : term.substr(0, star);
    int64_t value = 1;
    auto [end, status] = std::from_chars(number.data(), number.data() + number.size(), value);
    bool is_number = status == std::errc() && end == number.data() + number.size();
    std::string name = star == term.npos ? (is_number ? "" : term) : term.substr(star + 1);
    bool named = star == term.npos || !name.empty();
    WAFER_REQUIRE(!term.empty() && named && (is_number || star == term.npos), "shape",
                  "cannot read dimension '", text, "'");
    sum = sum + (name.empty() ? Dim(value) : symbol(name) * Dim(is_number ? value : 1));
  }
  return sum;
}

Dim operator+(const Dim& a, const Dim& b) {
  Dim sum(a.constant_ + b.constant_);
  if (!a.terms_ && !b.terms_) return sum;
  Dim::Terms terms = a.terms_ ? *a.terms_ : Dim::Terms{};
  if (b.terms_) {
    for (const auto& [name, coefficient] : *b.terms_) {
      if ((terms[name] += coefficient) == 0) terms.erase(name);
    }
  }
  if (!terms.empty()) sum.terms_ = std::make_shared<const Dim::Terms>(std::move(terms));
  return sum;
}

Dim operator*(const Dim& a, const Dim& b) {
  if (!a.terms_ && !b.terms_) return Dim(a.constant_ * b.constant_);
  if (a.terms_ && b.terms_) {
    throw UserError("shape", str("the product of ", a.text(), " and ", b.text(), " is not affine"),
                    {.hint = "bind one of the symbolic dimensions"});
  }
  const Dim& symbolic = a.terms_ ? a : b;
  int64_t factor = a.terms_ ? b.constant_ : a.constant_;
  Dim product(symbolic.constant_ * factor);
  if (factor == 0) return product;
  Dim::Terms terms = *symbolic.terms_;
  for (auto& [name, coefficient] : terms) coefficient *= factor;
  product.terms_ = std::make_shared<const Dim::Terms>(std::move(terms));
  return product;
}

Dim operator/(const Dim& a, int64_t divisor) {
  auto divide = [&](int64_t value) {
    if (divisor == 0 || value % divisor != 0) {
      throw UserError("shape", str("dimension ", a.text(), " is not divisible by ", divisor));
    }
    return value / divisor;
  };
  Dim quotient(divide(a.constant_));
  if (!a.terms_) return quotient;
  Dim::Terms terms = *a.terms_;
  for (auto& [name, coefficient] : terms) coefficient = divide(coefficient);
  quotient.terms_ = std::make_shared<const Dim::Terms>(std::move(terms));
  return quotient;
}

bool operator==(const Dim& a, const Dim& b) {
  if (a.constant_ != b.constant_) return false;
  if (!a.terms_ || !b.terms_) return a.terms_ == b.terms_;
  return *a.terms_ == *b.terms_;
}

namespace {
void check_rank(size_t rank) {
  WAFER_REQUIRE(rank <= 8, "shape", "a tensor has at most 8 dimensions; got ", rank);
}
}  // namespace

Shape::Shape(std::initializer_list<Dim> dims) : Shape(std::vector<Dim>(dims)) {}
Shape::Shape(std::vector<Dim> dims) : dims_(std::move(dims)) {
  check_rank(dims_.size());
  for (const Dim& dim : dims_) {
    WAFER_REQUIRE(!dim.is_static() || dim.value() >= 0, "shape", "negative dimension in ", text());
  }
}
Shape::Shape(const std::vector<int64_t>& dims)
    : Shape(std::vector<Dim>(dims.begin(), dims.end())) {}

const Dim& Shape::operator[](int index) const {
  return dims_[static_cast<size_t>(normalise_axis(index, rank(), "shape"))];
}

void Shape::set(int index, Dim dim) {
  dims_[static_cast<size_t>(normalise_axis(index, rank(), "shape"))] = std::move(dim);
}

bool Shape::is_static() const {
  return std::all_of(dims_.begin(), dims_.end(), [](const Dim& dim) { return dim.is_static(); });
}

std::vector<int64_t> Shape::sizes() const {
  std::vector<int64_t> result;
  result.reserve(dims_.size());
  for (const Dim& dim : dims_) result.push_back(dim.value());
  return result;
}

int64_t Shape::elements() const {
  int64_t count = 1;
  for (const Dim& dim : dims_) {
    WAFER_REQUIRE(!__builtin_mul_overflow(count, dim.value(), &count), "shape",
                  "too many elements in ", text());
  }
  return count;
}

Shape Shape::bind(const std::map<std::string, int64_t>& bindings) const {
  std::vector<Dim> dims;
  for (const Dim& dim : dims_) dims.push_back(dim.bind(bindings));
  return Shape(std::move(dims));
}

std::string Shape::text() const {
  if (dims_.empty()) return "scalar";
  std::string text;
  for (const Dim& dim : dims_) text += (text.empty() ? "" : "x") + dim.text();
  return text;
}

std::ostream& operator<<(std::ostream& out, const Dim& dim) {
  return out << dim.text();
}
std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  return out << shape.text();
}

int normalise_axis(int64_t axis, int rank, const std::string& where) {
  if (axis < -rank || axis >= rank) {
    throw UserError(where, str("axis ", axis, " is out of range"),
                    {.expected = str("an axis in [", -rank, ", ", rank, ") for a tensor of ", rank,
                                     " dimensions")});
  }
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

Shape broadcast_shapes(const Shape& a, const Shape& b, const std::string& where) {
  int rank = std::max(a.rank(), b.rank());
  std::vector<Dim> dims(static_cast<size_t>(rank));
  for (int i = 1; i <= rank; ++i) {
    Dim x = i <= a.rank() ? a[-i] : Dim(1);
    Dim y = i <= b.rank() ? b[-i] : Dim(1);
    if (!(x == y) && !(x == Dim(1)) && !(y == Dim(1))) {
      throw UserError(where, str("shapes do not broadcast: dimension ", rank - i, " differs"),
                      {.got = str(a, " and ", b), .expected = "equal dimensions, or 1"});
    }
    dims[static_cast<size_t>(rank - i)] = x == Dim(1) ? y : x;
  }
  return Shape(std::move(dims));
}

std::vector<int64_t> row_major_strides(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> strides(sizes.size());
  int64_t stride = 1;
  for (size_t i = sizes.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= std::max<int64_t>(sizes[i], 1);
  }
  return strides;
}

}  // namespace wafer
