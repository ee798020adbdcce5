#include "tests/op/cases.h"
#include "wafer/op/recurrent.h"
#include "wafer/tensor/grad.h"

namespace wafer::op_tests {

std::vector<OpCase> recurrent_cases() {
  std::vector<OpCase> cases;
  using Tensors = std::vector<Tensor>;
  struct Size {
    const char* name;
    int64_t time, batch, features, hidden;
    RecurrentOptions options;
  };
  using Layer = std::function<RecurrentResult(const Tensors&, const RecurrentWeights&,
                                              const RecurrentOptions&)>;
  struct Kind {
    const char* op;
    const char* name;
    int64_t gates;
    size_t states;
    Layer layer;
  };
  // Inputs: x, four weights, states.
  const std::vector<Kind> kinds = {
      {"rnn", "tanh ", 1, 1,
       [](const Tensors& in, const RecurrentWeights& w, const RecurrentOptions& o) {
         return rnn(in[0], w, in[5], o);
       }},
      {"rnn", "relu ", 1, 1,
       [](const Tensors& in, const RecurrentWeights& w, const RecurrentOptions& o) {
         return rnn(in[0], w, in[5], o, "relu");
       }},
      {"lstm", "", 4, 2,
       [](const Tensors& in, const RecurrentWeights& w, const RecurrentOptions& o) {
         return lstm(in[0], w, in[5], in[6], o);
       }},
      {"gru", "", 3, 1,
       [](const Tensors& in, const RecurrentWeights& w, const RecurrentOptions& o) {
         return gru(in[0], w, in[5], o);
       }}};
  for (const Kind& kind : kinds) {
    for (const Size& s : std::vector<Size>{{"small", 3, 2, 3, 2, {}},
                                           {"reverse", 4, 1, 2, 3, {.reverse = true}},
                                           {"batch first", 2, 3, 1, 2, {.batch_first = true}},
                                           {"one step", 1, 2, 2, 2, {}},
                                           {"no steps", 0, 2, 3, 2, {}},
                                           {"no batches", 3, 0, 2, 2, {}},
                                           {"19 hidden", 5, 4, 6, 19, {}}}) {
      Sizes x = s.options.batch_first ? Sizes{s.batch, s.time, s.features}
                                      : Sizes{s.time, s.batch, s.features};
      int64_t rows = kind.gates * s.hidden;
      std::vector<Input> inputs = {
          {x}, {{rows, s.features}, -0.7, 0.7}, {{rows, s.hidden}, -0.7, 0.7}, {{rows}}, {{rows}}};
      for (size_t i = 0; i < kind.states; ++i) inputs.push_back({{s.batch, s.hidden}, -1, 1});
      bool large = s.hidden > 4;
      Build build = [layer = kind.layer, o = s.options](const Tensors& in) -> Tensors {
        RecurrentResult r = layer(in, {in[1], in[2], in[3], in[4]}, o);
        Tensors outputs = {r.outputs, r.hidden};
        if (r.cell) outputs.push_back(r.cell);
        return outputs;
      };
      if (kind.gates > 1) {
        // The gradients of outputs and final states follow the layer's inputs.
        auto given = static_cast<std::ptrdiff_t>(inputs.size());
        std::vector<Input> all = inputs;
        Sizes y = x;
        y[2] = s.hidden;
        all.push_back({y});
        for (size_t i = 0; i < kind.states; ++i) all.push_back({{s.batch, s.hidden}});
        cases.push_back({.op = std::string(kind.op) + "_gradient",
                         .name = s.name,
                         .inputs = std::move(all),
                         .build = [build, given](const Tensors& in) -> Tensors {
                           Tensors wrt(in.begin(), in.begin() + given);
                           return grad(build(wrt), {in.begin() + given, in.end()}, wrt);
                         },
                         .dtypes = floats(),
                         .grad = !large,
                         .second = false,
                         .tolerance = 128,
                         .of_largest = true,
                         .magnitude = 2});
      }
      cases.push_back({.op = kind.op,
                       .name = std::string(kind.name) + s.name,
                       .inputs = std::move(inputs),
                       .build = build,
                       .dtypes = floats(),
                       .grad = !large,
                       .second = s.time < 4,
                       .tolerance = 64,
                       .of_largest = true,
                       .magnitude = 2});
    }
  }
  return cases;
}

}  // namespace wafer::op_tests
