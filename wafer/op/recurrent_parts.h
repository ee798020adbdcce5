#pragma once
#include "wafer/op/op.h"
#include "wafer/op/recurrent.h"

// What recurrent.cpp and recurrent_gradient.cpp share.
namespace wafer::recurrent {

// What tells the layers apart.
struct Kind {
  const char* name;
  int64_t gates;
  size_t states;  // h, or h and c
  size_t saved;   // outputs [time, batch, hidden] for the gradient, after the final states
};
inline constexpr Kind rnn_kind{"rnn", 1, 1, 0}, lstm_kind{"lstm", 4, 2, 5},
    gru_kind{"gru", 3, 1, 4};

std::vector<Tensor> lstm_vjp(const VjpArgs& v);
std::vector<Tensor> gru_vjp(const VjpArgs& v);

}  // namespace wafer::recurrent
