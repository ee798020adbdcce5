#pragma once
#include <memory>

#include "wafer/nn/module.h"

namespace wafer::models {

struct GptOptions {
  int64_t vocabulary = 50257, positions = 1024;  // positions: the longest sequence
  int64_t layers = 12, heads = 12, width = 768;
  double dropout = 0.1;
};

// GPT-2 (Radford et al. 2019): tokens [batch, time] -> logits of the next token [batch, time,
// vocabulary]. The names of parameters are those of Hugging Face's GPT2LMHeadModel, whose head has
// the weights of the token embeddings.
class Gpt : public nn::UnaryModule {
 public:
  explicit Gpt(const GptOptions& options = {});
  ~Gpt() override;
  Tensor forward(const Tensor& tokens) override;

 private:
  struct Body;
  std::unique_ptr<Body> transformer_;
};

}  // namespace wafer::models
