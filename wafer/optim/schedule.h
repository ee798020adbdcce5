#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

// The learning rate over time, as functions on the host: the rate is an input of the compiled step.
namespace wafer::optim {

// Where training stands before a step.
struct SchedulePoint {
  int64_t step = 0;  // steps done
  int64_t steps_per_epoch = 1;
  int64_t total_steps = 1;
};

class Schedule {
 public:
  virtual ~Schedule() = default;
  // Which schedule it is, with its numbers: "cosine least=0 warm_up=0.1".
  virtual std::string text() const = 0;
  // Whether the rate depends on how many steps there are in all.
  virtual bool spans_run() const { return false; }
  // The rate of the next step; base: the optimiser's own.
  virtual double learning_rate(double base, const SchedulePoint& point) const = 0;
  // Called after each epoch with the validation loss (the training loss where there is none).
  virtual void epoch_end(double loss) { (void)loss; }
  // What a resumed run needs beyond the point; restore() takes what state() gave.
  virtual std::vector<double> state() const { return {}; }
  virtual void restore(const std::vector<double>& state) { (void)state; }
};

// Multiplied by gamma every `epochs` epochs (PyTorch's StepLR).
std::shared_ptr<Schedule> step_schedule(int64_t epochs, double gamma = 0.1);
// Multiplied by gamma at each of the epochs (MultiStepLR).
std::shared_ptr<Schedule> multi_step_schedule(std::vector<int64_t> epochs, double gamma = 0.1);
// Multiplied by gamma every epoch (ExponentialLR).
std::shared_ptr<Schedule> exponential_schedule(double gamma);
// Half a cosine from base to `least` over all steps (Loshchilov and Hutter 2017), after a linear
// warm-up over the given share of the steps.
std::shared_ptr<Schedule> cosine_schedule(double least = 0, double warm_up = 0);
// Up from base / 25 to base over the first share of the steps, then down to base / 250000, both as
// half cosines (Smith and Topin 2019; PyTorch's OneCycleLR with max_lr = base).
std::shared_ptr<Schedule> one_cycle_schedule(double rising_share = 0.3);
// Linear from base / steps to base over the first steps, then constant.
std::shared_ptr<Schedule> warm_up_schedule(int64_t steps);
// Multiplied by factor after `patience` epochs without a loss lower by 1e-4 of itself
// (ReduceLROnPlateau).
std::shared_ptr<Schedule> plateau_schedule(double factor = 0.1, int64_t patience = 10,
                                           double least = 0);

// "cosine", "one-cycle", "plateau" with their defaults; null for "constant"; UserError otherwise.
std::shared_ptr<Schedule> schedule_by_name(const std::string& name);

}  // namespace wafer::optim
