#pragma once
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "wafer/ir/storage.h"
#include "wafer/ir/type.h"

namespace wafer {

struct Node;
struct OpDef;

// A value of a graph: output `index` of a node. Immutable and cheap to copy. Ops on tensors record
// nodes and compute nothing; reading a value (item, data, printing) compiles and runs what it
// needs.
class Tensor {
 public:
  Tensor() = default;
  Tensor(std::shared_ptr<const Node> node, int index) : node_(std::move(node)), index_(index) {}

  // A scalar, of dtype f32 for floating arguments (as PyTorch's default) and i64 for integers.
  Tensor(double value);                                        // NOLINT: 2 * x is what users write
  Tensor(float value) : Tensor(static_cast<double>(value)) {}  // NOLINT
  Tensor(int value);                                           // NOLINT
  Tensor(int64_t value);                                       // NOLINT

  // A tensor over `storage`, which holds the elements row-major and must not be written afterwards.
  static Tensor from_storage(Type type, std::shared_ptr<Storage> storage);
  // A tensor with a copy of host values.
  template <class T>
  static Tensor from_values(const std::vector<T>& values, const Shape& shape);
  // A copy of raw bytes in row-major order; `bytes` must be what dtype and shape need.
  static Tensor from_bytes(DType dtype, const Shape& shape, std::span<const std::byte> bytes);

  // False for a default-constructed tensor: no value.
  explicit operator bool() const { return node_ != nullptr; }

  const Type& type() const;
  DType dtype() const { return type().dtype; }
  const Shape& shape() const { return type().shape; }
  int rank() const { return shape().rank(); }
  // Size of one dimension, negative from the end; UserError when it is symbolic.
  int64_t size(int dim) const { return shape().size(dim); }
  int64_t elements() const { return shape().elements(); }

  const Node& node() const { return *node_; }
  const std::shared_ptr<const Node>& node_pointer() const { return node_; }
  int index() const { return index_; }

  // The memory that holds the value, or null when it has not been computed.
  std::shared_ptr<Storage> storage() const;

  // Computes the value if need be (defined in tensor/, as all that follows). Reading a traced value
  // is an error.
  const Tensor& eval() const;
  // The elements as a copy in row-major order; T must match the dtype.
  template <class T>
  std::vector<T> data() const;
  // The one element of a tensor of one element, converted.
  template <class T = double>
  T item() const;
  // As PyTorch prints it.
  std::string text() const;

  friend bool operator==(const Tensor& a, const Tensor& b) {
    return a.node_ == b.node_ && a.index_ == b.index_;
  }

 private:
  std::vector<std::byte> host_bytes() const;  // row-major
  double item_as_double() const;

  std::shared_ptr<const Node> node_;
  int index_ = 0;
};

std::ostream& operator<<(std::ostream& out, const Tensor& tensor);

template <class T>
Tensor Tensor::from_values(const std::vector<T>& values, const Shape& shape) {
  if constexpr (std::is_same_v<T, bool>) {
    std::vector<uint8_t> flat(values.begin(), values.end());
    return from_bytes(DType::boolean, shape, std::as_bytes(std::span(flat)));
  } else {
    return from_bytes(dtype_of<T>(), shape, std::as_bytes(std::span(values)));
  }
}

template <class T>
std::vector<T> Tensor::data() const {
  WAFER_REQUIRE(dtype() == dtype_of<T>(), "data", "the tensor holds ", dtype(), ", not ",
                dtype_of<T>(), "; cast it first");
  std::vector<std::byte> bytes = host_bytes();
  auto count = static_cast<size_t>(elements());
  auto* first = reinterpret_cast<const T*>(bytes.data());
  return std::vector<T>(first, first + count);
}

template <class T>
T Tensor::item() const {
  return static_cast<T>(item_as_double());
}

}  // namespace wafer
