#pragma once
#include <memory>
#include <vector>

#include "wafer/nn/linear.h"
#include "wafer/nn/norm.h"

namespace wafer::models {

struct BertOptions {
  int64_t vocabulary = 30522, positions = 512;  // positions: the longest sequence
  int64_t outputs = 2;
  int64_t layers = 12, heads = 12, width = 768, feedforward = 3072;
  double dropout = 0.1;
};

// Devlin et al. 2018 with a classifier: tokens [batch, time] -> [batch, outputs], read from the
// first token. The names of parameters are those of Hugging Face's BertForSequenceClassification.
// All tokens are of the first segment and none is padding.
class Bert : public nn::UnaryModule {
 public:
  explicit Bert(const BertOptions& options = {});
  ~Bert() override;
  Tensor forward(const Tensor& tokens) override;

 private:
  struct Body;
  std::unique_ptr<Body> bert_;
  nn::Dropout dropout_;
  nn::Linear classifier_;
};

}  // namespace wafer::models
