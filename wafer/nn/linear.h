#pragma once
#include "wafer/nn/module.h"

namespace wafer::nn {

struct LinearOptions {
  bool bias = true;
};

// x [..., in] -> x weight^T + bias [..., out]; weight [out, in], bias [out]. PyTorch's first
// values: uniform within 1 / sqrt(in).
class Linear : public UnaryModule {
 public:
  Linear(int64_t in, int64_t out, const LinearOptions& options = {});
  // UserError when x has not `in` features; it says what the layer should be.
  Tensor forward(const Tensor& x) override;
  std::string describe() const override;

  Tensor weight, bias;

 private:
  int64_t in_, out_;
};

struct EmbeddingOptions {
  int64_t padding_index = -1;  // this entry reads as zeros and is not trained; -1: none
  double deviation = 1;        // of the first values
};

// indices (i64 or i32, any shape) -> rows of weight [entries, width], one more dimension of size
// `width`. First values: normal.
class Embedding : public UnaryModule {
 public:
  Embedding(int64_t entries, int64_t width, const EmbeddingOptions& options = {});
  Tensor forward(const Tensor& indices) override;
  std::string describe() const override;

  Tensor weight;

 private:
  int64_t entries_, width_, padding_index_;
};

// Dimensions start..end become one; by default all but the batch.
class Flatten : public UnaryModule {
 public:
  explicit Flatten(int start = 1, int end = -1) : start_(start), end_(end) {}
  Tensor forward(const Tensor& x) override;
  std::string describe() const override;

 private:
  int start_, end_;
};

// In training: elements zeroed with the probability, the others scaled by 1 / (1 - probability).
class Dropout : public UnaryModule {
 public:
  explicit Dropout(double probability = 0.5);
  Tensor forward(const Tensor& x) override;
  std::string describe() const override;

 private:
  double probability_;
};

}  // namespace wafer::nn
