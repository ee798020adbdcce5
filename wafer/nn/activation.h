#pragma once
#include "wafer/nn/module.h"

// Activation functions as layers (op/activation.h), for Sequential and models from files.
namespace wafer::nn {

struct Identity : UnaryModule {
  Tensor forward(const Tensor& x) override { return x; }
};
struct ReLU : UnaryModule {
  Tensor forward(const Tensor& x) override;
};
struct ReLU6 : UnaryModule {
  Tensor forward(const Tensor& x) override;
};
struct Sigmoid : UnaryModule {
  Tensor forward(const Tensor& x) override;
};
struct Tanh : UnaryModule {
  Tensor forward(const Tensor& x) override;
};
struct SiLU : UnaryModule {
  Tensor forward(const Tensor& x) override;
};
struct Softplus : UnaryModule {
  Tensor forward(const Tensor& x) override;
};
struct HardSigmoid : UnaryModule {
  Tensor forward(const Tensor& x) override;
};
struct HardSwish : UnaryModule {
  Tensor forward(const Tensor& x) override;
};

// `approximate`: the tanh form.
class GELU : public UnaryModule {
 public:
  explicit GELU(bool approximate = false) : approximate_(approximate) {}
  Tensor forward(const Tensor& x) override;

 private:
  bool approximate_;
};

class LeakyReLU : public UnaryModule {
 public:
  explicit LeakyReLU(double negative_slope = 0.01) : negative_slope_(negative_slope) {}
  Tensor forward(const Tensor& x) override;

 private:
  double negative_slope_;
};

class ELU : public UnaryModule {
 public:
  explicit ELU(double alpha = 1) : alpha_(alpha) {}
  Tensor forward(const Tensor& x) override;

 private:
  double alpha_;
};

class Softmax : public UnaryModule {
 public:
  explicit Softmax(int axis = -1) : axis_(axis) {}
  Tensor forward(const Tensor& x) override;

 private:
  int axis_;
};

class LogSoftmax : public UnaryModule {
 public:
  explicit LogSoftmax(int axis = -1) : axis_(axis) {}
  Tensor forward(const Tensor& x) override;

 private:
  int axis_;
};

}  // namespace wafer::nn
