#include "wafer/backend/cuda/captured_run.h"

#include "wafer/base/log.h"

namespace wafer::cuda {

namespace {
// Values whose addresses keep changing although they may not move are run step by step.
constexpr int most_captures = 16;
}  // namespace

void CapturedRun::forget() {
  if (!graph_) return;
  context_.enter_to_release();
  context_.driver().destroy_executable_graph(graph_);
  graph_ = nullptr;
}

bool CapturedRun::fits(const Addresses& now) const {
  if (!graph_ || bound_.arena != now.arena) return false;
  for (size_t i = 0; i < now.in.size(); ++i) {
    if (!places_in_[i] && bound_.in[i] != now.in[i]) return false;
  }
  for (size_t i = 0; i < now.out.size(); ++i) {
    if (!places_out_[i] && bound_.out[i] != now.out[i]) return false;
  }
  return true;
}

void CapturedRun::capture(const HostProgram& program, const Addresses& now) {
  forget();
  ++captures_;
  for (size_t i = 0; i < now.in.size(); ++i) {
    if (!places_in_[i] && !taken_over_[i] && last_.in[i] != now.in[i])
      places_in_[i] = context_.allocate(program.inputs[i].bytes());
  }
  for (size_t i = 0; i < now.out.size(); ++i) {
    if (!places_out_[i] && program.alias[i] < 0 && last_.out[i] != now.out[i])
      places_out_[i] = context_.allocate(program.outputs[i].bytes());
  }
  bound_ = now;
  for (size_t i = 0; i < now.in.size(); ++i) {
    if (places_in_[i]) bound_.in[i] = places_in_[i]->data();
  }
  for (size_t i = 0; i < now.out.size(); ++i) {
    if (places_out_[i]) bound_.out[i] = places_out_[i]->data();
  }
  graph_ =
      context_.capture([&] { program.run(bound_.in.data(), bound_.out.data(), bound_.arena); });
  if (!graph_) impossible_ = true;
}

void CapturedRun::run(const HostProgram& program, void* const* in, void* const* out,
                      std::byte* arena) {
  if (impossible_ || context_.options().check) return program.run(in, out, arena);
  Addresses now{{in, in + program.inputs.size()}, {out, out + program.outputs.size()}, arena};
  bool first = taken_over_.size() != now.in.size() || (last_.in.empty() && last_.out.empty());
  if (first) {
    taken_over_.assign(now.in.size(), false);
    for (int input : program.alias) {
      if (input >= 0) taken_over_[static_cast<size_t>(input)] = true;
    }
    places_in_.resize(now.in.size());
    places_out_.resize(now.out.size());
    last_ = std::move(now);
    return program.run(in, out, arena);
  }
  if (!fits(now)) {
    if (captures_ == most_captures) {
      log("debug", "cuda: the values of a run keep moving: it runs step by step");
      impossible_ = true;
      forget();
    } else {
      capture(program, now);
    }
  }
  last_ = now;
  if (impossible_) return program.run(in, out, arena);
  for (size_t i = 0; i < now.in.size(); ++i) {
    if (places_in_[i]) context_.copy(bound_.in[i], now.in[i], program.inputs[i].bytes());
  }
  context_.launch_graph(graph_, str("a run of ", program.steps.size(), " steps as one graph"));
  for (size_t i = 0; i < now.out.size(); ++i) {
    if (places_out_[i]) context_.copy(now.out[i], bound_.out[i], program.outputs[i].bytes());
  }
}

}  // namespace wafer::cuda
