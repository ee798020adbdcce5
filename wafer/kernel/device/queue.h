#pragma once
#include <compare>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wafer/ir/storage.h"
#include "wafer/kernel/c_printer.h"
#include "wafer/runtime/kernel.h"

// What backends that compile kernels for devices with memory of their own share: templates of
// kernels in one text, which each language's words (kernel/c_printer.h) turn into its own, how ops
// are launched, and a Target and a Device over a Queue, which is all that such a backend adds.
namespace wafer::kernel {

// What a device says of itself.
struct Capabilities {
  std::string name, driver, platform;
  bool is_cpu = false;
  bool f64 = true;
  int units = 1;  // cores, multiprocessors
  size_t memory_bytes = 0, largest_buffer = 0;
  bool fast_bf16 = false, fast_f16 = false;  // it multiplies these in hardware
  // Its libraries compute what follows a product, or a convolution, together with it.
  bool joins_behind_products = false, joins_behind_convolutions = false;
  size_t most_values = 16;  // that a kernel may be given the addresses of
  // Its library's convolutions in f16 and bf16 read channels last.
  bool narrow_channels_last = false;
};

// A compiled source, and one kernel of it, which keeps it alive. Backends derive their own.
class CompiledSource {
 public:
  virtual ~CompiledSource() = default;
};
class CompiledKernel {
 public:
  virtual ~CompiledKernel() = default;
};

// Products of matrices y = a b, `batches` of them, or where more follows
// y = activation(a b + residual + bias). Each matrix lies row by row; `a_row` is the
// distance of its rows, `a_batch` that of two matrices (0: the same for all), in elements.
struct ProductProblem {
  DType dtype = DType::f32;  // of all three; f16 and bf16 are added up in f32
  int64_t m = 0, n = 0, k = 0, batches = 1;
  bool transpose_a = false, transpose_b = false;  // they lie as [k, m] and [n, k]
  int64_t a_row = 0, b_row = 0, y_row = 0;
  int64_t a_batch = 0, b_batch = 0, y_batch = 0;
  int64_t alignment = 16;  // of the addresses, in bytes
  bool residual = false;   // of y's type and place in memory
  bool bias = false;       // [n], of y's dtype; the same for all batches
  bool relu = false;
};

// Where the matrices of a product are; null: it has none.
struct ProductAddresses {
  const void *a = nullptr, *b = nullptr;
  void* y = nullptr;
  const void *residual = nullptr, *bias = nullptr;
};

// Such products as a library of the device's vendor computes them.
class LibraryProduct {
 public:
  virtual ~LibraryProduct() = default;
  // `what` names the node in errors.
  virtual void launch(const ProductAddresses& at, const std::string& what) const = 0;
  // Memory that the library works in, beside the program's.
  virtual size_t workspace_bytes() const = 0;
  // Of the library, for profiles: "cublasLt".
  virtual std::string name() const = 0;
};

// A convolution y = x * weight (a cross-correlation) over one to three spatial dimensions, or one
// of its gradients: two of the three values are given, and the third is computed. Sizes and
// distances of elements are in the order [images, channels, spatial...] and [channels of y,
// channels of x in a group, window...], wherever the values lie. Behind y more may follow:
// y = activation(x * weight + bias + residual).
struct ConvolutionProblem {
  enum class Computes { y, x, weight };
  struct Value {
    std::vector<int64_t> sizes, strides;
    auto operator<=>(const Value&) const = default;
  };
  Computes computes = Computes::y;
  DType dtype = DType::f32;  // of all three; f16 and bf16 are added up in f32
  Value x, weight, y;
  std::vector<int64_t> stride, padding_low, padding_high, dilation;  // for each spatial dimension
  int64_t groups = 1;
  bool bias = false;      // [channels of y], of the dtype
  bool residual = false;  // of y's type and place in memory
  bool relu = false;
  int64_t alignment = 16;  // of the addresses, in bytes
  auto operator<=>(const ConvolutionProblem&) const = default;
};

// Where the values of a convolution are; null: it has none. The one that is computed is written.
struct ConvolutionAddresses {
  const void *x = nullptr, *weight = nullptr, *y = nullptr;
  const void *residual = nullptr, *bias = nullptr;
};

// Such a convolution as a library of the device's vendor computes it.
class LibraryConvolution {
 public:
  virtual ~LibraryConvolution() = default;
  // `what` names the node in errors.
  virtual void launch(const ConvolutionAddresses& at, void* workspace,
                      const std::string& what) const = 0;
  // Memory of the program that a launch works in, any of 64-byte alignment.
  virtual size_t workspace_bytes() const = 0;
  // Of the library, for profiles: "cudnn".
  virtual std::string name() const = 0;
};

// A device that does in order what is enqueued. Addresses stand for places in its memory, may be
// calculated with, and not be read through.
class Queue : public StepMemory {
 public:
  virtual const Capabilities& capabilities() const = 0;
  // The words that its kernels are printed in.
  virtual const Dialect& dialect() const = 0;
  // The first part of its kernels' names in profiles: "opencl".
  virtual std::string backend() const = 0;

  // What the device keeps with each program for its runs (HostProgram::run_state), or null.
  virtual std::shared_ptr<void> new_run_state() { return nullptr; }

  virtual std::shared_ptr<Storage> allocate(size_t bytes) = 0;
  virtual bool owns(const Storage& storage) const = 0;

  bool on_host() const override { return false; }
  // After what was enqueued; `from` may be changed when the call returns.
  virtual void write(void* to, const void* from, size_t bytes) const = 0;
  // Repeats the pattern of 1, 2, 4 or 8 bytes.
  virtual void fill(void* to, const void* pattern, size_t pattern_bytes, size_t bytes) const = 0;
  virtual void wait() const = 0;
  // Hands what was enqueued to the device.
  virtual void flush() const {}
  // Measure what is enqueued from now on, for finish_step.
  virtual void measure(bool on) = 0;

  // A source compiled: before in this process, or found in the cache folder, or now. `keep`: for
  // the life of the process, since other graphs will want it.
  virtual std::shared_ptr<const CompiledSource> compile(const std::string& source,
                                                        bool keep) const = 0;
  virtual std::shared_ptr<const CompiledKernel> kernel(
      const std::shared_ptr<const CompiledSource>& source, const std::string& name) const = 0;
  // The vendor's way to compute products, or null: no library is here, or it does not take these.
  virtual std::shared_ptr<const LibraryProduct> library_product(const ProductProblem&) const {
    return nullptr;
  }
  // The same for convolutions.
  virtual std::shared_ptr<const LibraryConvolution> library_convolution(
      const ConvolutionProblem&) const {
    return nullptr;
  }
  // Runs a kernel on the addresses (null: any memory) and the numbers in `parameters` unless null.
  // It covers `items` iterations, of which at least `grain` are worth a work item of a CPU. `what`
  // names the node in errors.
  virtual void launch(const CompiledKernel& kernel, std::span<const void* const> addresses,
                      const Storage* parameters, int64_t items, int64_t grain,
                      const std::string& what) const = 0;
};

}  // namespace wafer::kernel
