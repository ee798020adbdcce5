#include "wafer/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/ir/attrs.h"

namespace wafer::optim {

namespace {

int64_t epoch_of(const SchedulePoint& point) {
  return point.step / std::max<int64_t>(point.steps_per_epoch, 1);
}

// From a at 0 to b at 1 along half a cosine.
double cosine_between(double a, double b, double share) {
  return b + (a - b) * 0.5 * (1 + std::cos(std::numbers::pi * std::clamp(share, 0.0, 1.0)));
}

class Step : public Schedule {
 public:
  Step(std::vector<int64_t> epochs, int64_t every, double gamma)
      : epochs_(std::move(epochs)), every_(every), gamma_(gamma) {}
  std::string text() const override {
    return str("step epochs=", attr_text(AttrValue(epochs_)), " every=", every_, " gamma=", gamma_);
  }
  double learning_rate(double base, const SchedulePoint& point) const override {
    int64_t epoch = epoch_of(point);
    auto reached =
        std::count_if(epochs_.begin(), epochs_.end(), [&](int64_t e) { return e <= epoch; });
    int64_t times = every_ > 0 ? epoch / every_ : static_cast<int64_t>(reached);
    return base * std::pow(gamma_, static_cast<double>(times));
  }

 private:
  std::vector<int64_t> epochs_;
  int64_t every_;
  double gamma_;
};

class Cosine : public Schedule {
 public:
  Cosine(double least, double warm_up) : least_(least), warm_up_(warm_up) {}
  std::string text() const override { return str("cosine least=", least_, " warm_up=", warm_up_); }
  bool spans_run() const override { return true; }
  double learning_rate(double base, const SchedulePoint& point) const override {
    double total = static_cast<double>(std::max<int64_t>(point.total_steps, 1));
    double rising = warm_up_ * total, step = static_cast<double>(point.step);
    if (step < rising) return base * (step + 1) / (rising + 1);
    return cosine_between(base, least_, (step - rising) / std::max(total - rising, 1.0));
  }

 private:
  double least_, warm_up_;
};

class OneCycle : public Schedule {
 public:
  explicit OneCycle(double rising) : rising_(rising) {}
  std::string text() const override { return str("one-cycle rising=", rising_); }
  bool spans_run() const override { return true; }
  double learning_rate(double base, const SchedulePoint& point) const override {
    double total = static_cast<double>(std::max<int64_t>(point.total_steps, 2));
    double top = rising_ * total - 1, step = static_cast<double>(point.step);
    if (step <= top) return cosine_between(base / 25, base, top > 0 ? step / top : 1);
    return cosine_between(base, base / 250000, (step - top) / (total - 1 - top));
  }

 private:
  double rising_;
};

class WarmUp : public Schedule {
 public:
  explicit WarmUp(int64_t steps) : steps_(steps) {}
  std::string text() const override { return str("warm-up steps=", steps_); }
  double learning_rate(double base, const SchedulePoint& point) const override {
    if (point.step + 1 >= steps_) return base;
    return base * static_cast<double>(point.step + 1) / static_cast<double>(steps_);
  }

 private:
  int64_t steps_;
};

class Plateau : public Schedule {
 public:
  Plateau(double factor, int64_t patience, double least)
      : factor_(factor), patience_(patience), least_(least) {}
  std::string text() const override {
    return str("plateau factor=", factor_, " patience=", patience_, " least=", least_);
  }
  double learning_rate(double base, const SchedulePoint&) const override {
    return std::max(base * scale_, least_);
  }
  void epoch_end(double loss) override {
    if (loss < best_ * (1 - 1e-4)) {
      best_ = loss;
      bad_epochs_ = 0;
    } else if (++bad_epochs_ > static_cast<double>(patience_)) {
      scale_ *= factor_;
      bad_epochs_ = 0;
    }
  }
  // An infinite best is not a number in JSON; it is left out.
  std::vector<double> state() const override {
    if (std::isinf(best_)) return {scale_, bad_epochs_};
    return {scale_, bad_epochs_, best_};
  }
  void restore(const std::vector<double>& state) override {
    WAFER_REQUIRE(state.size() == 2 || state.size() == 3, "plateau",
                  "the saved schedule is another one");
    scale_ = state[0];
    bad_epochs_ = state[1];
    if (state.size() == 3) best_ = state[2];
  }

 private:
  double factor_;
  int64_t patience_;
  double least_;
  double scale_ = 1, bad_epochs_ = 0, best_ = std::numeric_limits<double>::infinity();
};

}  // namespace

std::shared_ptr<Schedule> step_schedule(int64_t epochs, double gamma) {
  WAFER_REQUIRE(epochs > 0, "step_schedule", "the number of epochs must be positive; got ", epochs);
  return std::make_shared<Step>(std::vector<int64_t>{}, epochs, gamma);
}
std::shared_ptr<Schedule> multi_step_schedule(std::vector<int64_t> epochs, double gamma) {
  return std::make_shared<Step>(std::move(epochs), 0, gamma);
}
std::shared_ptr<Schedule> exponential_schedule(double gamma) {
  return step_schedule(1, gamma);
}
std::shared_ptr<Schedule> cosine_schedule(double least, double warm_up) {
  WAFER_REQUIRE(warm_up >= 0 && warm_up < 1, "cosine_schedule", "the share of warm-up is ", warm_up,
                "; expected one in [0, 1)");
  return std::make_shared<Cosine>(least, warm_up);
}
std::shared_ptr<Schedule> one_cycle_schedule(double rising_share) {
  WAFER_REQUIRE(rising_share > 0 && rising_share < 1, "one_cycle_schedule", "the rising share is ",
                rising_share, "; expected one in (0, 1)");
  return std::make_shared<OneCycle>(rising_share);
}
std::shared_ptr<Schedule> warm_up_schedule(int64_t steps) {
  return std::make_shared<WarmUp>(steps);
}
std::shared_ptr<Schedule> plateau_schedule(double factor, int64_t patience, double least) {
  WAFER_REQUIRE(factor > 0 && factor < 1, "plateau_schedule", "the factor is ", factor,
                "; expected one in (0, 1)");
  return std::make_shared<Plateau>(factor, patience, least);
}

std::shared_ptr<Schedule> schedule_by_name(const std::string& name) {
  if (name == "constant") return nullptr;
  if (name == "cosine") return cosine_schedule();
  if (name == "one-cycle") return one_cycle_schedule();
  if (name == "plateau") return plateau_schedule();
  throw UserError("schedule",
                  str("no schedule '", name, "'",
                      did_you_mean(name, {"constant", "cosine", "one-cycle", "plateau"})),
                  {.expected = "constant, cosine, one-cycle or plateau"});
}

}  // namespace wafer::optim
