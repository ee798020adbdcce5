#include "wafer/train/fit_loop.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "wafer/base/log.h"
#include "wafer/base/process.h"
#include "wafer/base/strings.h"
#include "wafer/io/file.h"
#include "wafer/runtime/compile_cache.h"
#include "wafer/train/history.h"

namespace wafer {

namespace {

std::string attr_list_text(const AttrList& list) {
  std::string text;
  for (const auto& [name, value] : list)
    text += (text.empty() ? "" : " ") + name + "=" + attr_text(value);
  return text;
}

double percentile(std::vector<float> values, double share) {
  if (values.empty()) return 0;
  auto at = static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return static_cast<double>(values[at]);
}

enum class Limit {
  nan_or_positive,
  any
};  // which values are looked for: NaN and infinity, of any sign

// True when some element is not finite.
bool has_not_finite(const Type& type, const void* memory, Limit limit) {
  if (!is_floating(type.dtype) || !memory) return false;
  return visit(type.dtype, [&]<class T>(std::type_identity<T>) {
    auto* values = static_cast<const T*>(memory);
    return std::any_of(values, values + type.elements(), [&](const T& value) {
      auto number = static_cast<double>(value);
      return std::isnan(number) || (std::isinf(number) && (number > 0 || limit == Limit::any));
    });
  });
}

template <class T>
void set_scalar(Device& device, Storage& storage, std::initializer_list<T> values) {
  device.copy_from_host(values.begin(), storage, values.size() * sizeof(T));
}

}  // namespace

FitLoop::FitLoop(Trainer& trainer, const data::Dataset& train, const data::Dataset& validation,
                 const FitOptions& options)
    : trainer_(trainer),
      device_(*trainer.device_),
      train_(train),
      validation_(validation),
      options_(options) {
  check_options(options, &train);
  best_validation_ = std::numeric_limits<double>::infinity();
}

void FitLoop::prepare() {
  // A wrong shape is found here, before any data is read.
  step_options_ = step_options_of(options_);
  if (options_.precision == Precision::automatic) step_options_.precision = Precision::f32;
  trainer_.step_graph(train_, options_.batch_size, step_options_);
  loader_ = std::make_unique<data::Loader>(
      train_, data::LoaderOptions{.batch_size = options_.batch_size,
                                  .shuffle = true,
                                  .seed = options_.seed,
                                  .workers = loader_workers(options_, train_, device_),
                                  .augmentation = options_.augmentation});
  key_ = device_.allocate(2 * sizeof(uint64_t));
  step_ = device_.allocate(sizeof(float));
  learning_rate_ = device_.allocate(sizeof(float));
  mix_weight_ = device_.allocate(sizeof(float));
  if (!options_.run.empty()) {
    io::make_folder(options_.run);
    lock_ = std::make_unique<io::FolderLock>(options_.run);
    checkpoints_ = std::make_unique<CheckpointFolder>(options_.run / "checkpoints");
  }
  reset_peak_resident_bytes();
  peak_before_ = peak_resident_bytes();
  choose_precision();
  if (result_.planned.total == 0)
    result_.planned = trainer_.plan_memory(train_, options_, validation_);
  trainer_.start(step_options_);
  trainer_.seed_ = options_.seed;
  if (checkpoints_ && !options_.resume && !checkpoints_->list().empty()) {
    throw UserError(options_.run.string(), "holds the checkpoints of an earlier run",
                    {.hint = "go on with that run (resume), or choose another folder"});
  }
  if (options_.resume) resume();
  if (!options_.run.empty()) {
    std::optional<int64_t> after;
    if (options_.resume) after = progression_.epoch;
    csv_ = std::make_unique<CsvLogger>(
        (options_.run / "metrics.csv").string(), "epoch",
        std::vector<std::string>{"train_loss", "train_accuracy", "validation_loss",
                                 "validation_accuracy", "learning_rate", "seconds",
                                 "samples_per_second", "data_wait_percent"},
        after);
    tensorboard_ =
        std::make_unique<TensorBoardLogger>((options_.run / "tensorboard").string(), after);
  }
  if (options_.progress) {
    progress_ = std::make_unique<ProgressLine>();
    if (!result_.precision_note.empty()) progress_->print(result_.precision_note);
    progress_->print(result_.planned.text());
  }
}

// Some steps on one batch from the initial weights; the state is made anew after it.
FitLoop::Trial FitLoop::try_precision(Precision precision, const data::Batch& batch) {
  constexpr size_t steps = 3;
  constexpr int most = 20;  // in f16: as many as halve the loss scale to 1, and these
  step_options_.precision = precision;
  compiled_for_ = -1;
  trainer_.start(step_options_);
  Trial trial;
  for (int step = 0; step < most && trial.losses.size() < steps; ++step) {
    progression_.step = static_cast<int64_t>(trial.losses.size());
    auto before = state_number("updates");
    auto started = Clock::now();
    float loss = run_step(batch).loss;
    double seconds = std::chrono::duration<double>(Clock::now() - started).count();
    if (!before || state_number("updates") != before) trial.losses.push_back(loss);
    if (step > 0) trial.seconds = step == 1 ? seconds : std::min(trial.seconds, seconds);
  }
  progression_.step = 0;
  compiled_for_ = -1;
  artifact_ = nullptr;
  return trial;
}

std::optional<float> FitLoop::state_number(const std::string& name) const {
  for (size_t i = 0; i < trainer_.state_.size(); ++i) {
    const StateTensor& tensor = trainer_.state_[i];
    if (tensor.role != StateTensor::Role::optimizer || tensor.name != name) continue;
    float value = 0;
    device_.copy_to_host(*trainer_.memory_[i], &value, sizeof value);
    return value;
  }
  return std::nullopt;
}

// A trial of both takes the memory of f32, which is more, and both programs'.
void FitLoop::plan_trial() {
  FitOptions options = options_;
  options.precision = Precision::f32;
  result_.planned = trainer_.plan_memory(train_, options, validation_);
  options.precision = narrow_precision(device_.info());
  auto [part, bytes] = trainer_.plan_memory(train_, options, validation_).parts.back();
  if (part != result_.planned.parts.back().first) return;  // compiling took nothing
  result_.planned.parts.back().second += bytes;
  result_.planned.total += bytes;
}

// The precision that the newest readable checkpoint of the run was made in.
std::optional<Precision> FitLoop::kept_precision() const {
  if (!options_.resume || !checkpoints_) return std::nullopt;
  for (const auto& path : checkpoints_->list()) {
    if (auto kept = checkpoint_setting(path, "precision")) return precision_by_name(*kept);
  }
  return std::nullopt;
}

// Makes f32 or a narrow one of `automatic`. Times are told but decide nothing: the same seed is to
// give the same bits.
void FitLoop::choose_precision() {
  auto choose = [&](Precision precision, const std::string& why) {
    options_.precision = precision;
    result_.precision_note = str("precision: ", name(precision), "; ", why);
  };
  if (options_.precision == Precision::automatic) {
    constexpr double least_flops = 2e7;  // below, casts cost what products gain
    double flops = 0;
    if (auto kept = kept_precision()) {
      choose(*kept, "as the run was started");
    } else if (narrow_precision(device_.info()) == Precision::f32) {
      choose(Precision::f32, "this device multiplies neither bf16 nor f16 in hardware");
    } else {
      for (const StepInfo& step :
           trainer_.compile_step(train_, options_.batch_size, step_options_)->steps)
        flops += step.cost.flops;
      if (flops < least_flops)
        choose(Precision::f32, str("steps of so few operations gain nothing from ",
                                   name(narrow_precision(device_.info()))));
      else
        compare_precisions(choose);
    }
  }
  step_options_.precision = result_.precision = options_.precision;
}

// The device's narrow one where its losses are those of f32.
void FitLoop::compare_precisions(const std::function<void(Precision, const std::string&)>& choose) {
  plan_trial();
  loader_->start_epoch(0, 0);
  auto batch = loader_->next();
  WAFER_CHECK(batch.has_value(), "a training set without a batch");
  Trial exact = try_precision(Precision::f32, *batch);
  Precision narrow = narrow_precision(device_.info());
  Trial rounded = try_precision(narrow, *batch);
  bool agree = rounded.losses.size() == exact.losses.size();
  if (!agree)
    return choose(Precision::f32,
                  str("gradients in ", name(narrow), " overflow at any loss scale"));
  for (size_t i = 0; i < exact.losses.size(); ++i) {
    float off = std::abs(rounded.losses[i] - exact.losses[i]);
    agree = agree && off <= 0.02f * std::abs(exact.losses[i]) + 0.002f;
  }
  choose(agree ? narrow : Precision::f32,
         str("over ", exact.losses.size(), " steps ", name(narrow),
             agree ? " agrees with f32" : " departs from f32", " (loss ", rounded.losses.back(),
             " and ", exact.losses.back(), ") and takes ", human_seconds(rounded.seconds),
             " a step instead of ", human_seconds(exact.seconds)));
  device_.trim();
}

// The newest checkpoint that can be read; older ones stand in for a damaged one, said aloud.
void FitLoop::resume() {
  WAFER_REQUIRE(checkpoints_ != nullptr, "resume", "needs the folder of the run to go on with");
  auto paths = checkpoints_->list();
  if (paths.empty()) {
    log(LogLevel::info,
        "no checkpoint in " + options_.run.string() + ": starting from the beginning");
    return;
  }
  for (size_t i = 0; i < paths.size(); ++i) {
    try {
      restore(paths[i]);
      return;
    } catch (const UserError& error) {
      if (i + 1 == paths.size()) throw;
      log(LogLevel::warn, str(error.what(), "; trying the checkpoint before it"));
    }
  }
}

void FitLoop::restore(const std::filesystem::path& path) {
  auto memory = named_memory();
  std::vector<std::vector<std::byte>> staged;
  for (NamedMemory& tensor : memory) {
    staged.emplace_back(tensor.type.bytes());
    tensor.data = staged.back().data();
  }
  progression_ = load_checkpoint(path, memory, settings());
  for (size_t i = 0; i < memory.size(); ++i) {
    device_.copy_from_host(staged[i].data(), *trainer_.memory_[i], staged[i].size());
  }
  History history = history_from_json(progression_.history, path.string());
  result_.epochs = history.epochs;
  best_validation_ = history.best_validation;
  epochs_without_gain_ = history.epochs_without_gain;
  if (options_.schedule) options_.schedule->restore(history.schedule_state);
}

std::vector<NamedMemory> FitLoop::named_memory() {
  std::vector<NamedMemory> memory;
  for (size_t i = 0; i < trainer_.state_.size(); ++i) {
    const StateTensor& tensor = trainer_.state_[i];
    const char* kind = tensor.role == StateTensor::Role::optimizer ? "optimizer."
                       : tensor.role == StateTensor::Role::average ? "average."
                                                                   : "model.";
    memory.push_back({kind + tensor.name, tensor.type, trainer_.memory_[i]->data()});
  }
  return memory;
}

// What must agree for a resumed run to be the same run.
std::map<std::string, std::string> FitLoop::settings() const {
  auto limit = [](const std::optional<double>& value) { return value ? str(*value) : "none"; };
  std::string schedule = options_.schedule ? options_.schedule->text() : "constant";
  if (options_.schedule && options_.schedule->spans_run())
    schedule += str(" over ", options_.epochs, " epochs");
  return {{"seed", std::to_string(options_.seed)},
          {"batch_size", std::to_string(options_.batch_size)},
          {"accumulate", std::to_string(options_.accumulate)},
          {"precision", std::string(name(options_.precision))},
          {"schedule", schedule},
          {"clip_norm", limit(options_.clip_norm)},
          {"clip_value", limit(options_.clip_value)},
          {"ema_decay", str(options_.ema_decay)},
          {"augmentation", data::text(options_.augmentation.value_or(data::Augmentation{}))},
          {"optimizer", trainer_.optimizer_->name() + " " +
                            attr_list_text(trainer_.optimizer_->hyper_parameters())},
          {"model", trainer_.objective_.module->name()},
          {"training_examples", std::to_string(train_.size())}};
}

void FitLoop::save_checkpoint() {
  if (!checkpoints_) return;
  History history{result_.epochs, best_validation_, epochs_without_gain_,
                  options_.schedule ? options_.schedule->state() : std::vector<double>{}};
  progression_.history = history_to_json(history);
  auto memory = named_memory();
  std::vector<std::vector<std::byte>> staged;
  for (size_t i = 0; i < memory.size(); ++i) {
    if (trainer_.memory_[i]->on_host()) continue;
    staged.emplace_back(memory[i].type.bytes());
    device_.copy_to_host(*trainer_.memory_[i], staged.back().data(), staged.back().size());
    memory[i].data = staged.back().data();
  }
  checkpoints_->save(progression_, memory, settings());
  last_checkpoint_ = Clock::now();
}

double FitLoop::learning_rate() {
  double base = trainer_.optimizer_->learning_rate();
  if (!options_.schedule) return base;
  int64_t batches = loader_->batches();
  return options_.schedule->learning_rate(base, {.step = progression_.step,
                                                 .steps_per_epoch = batches,
                                                 .total_steps = batches * options_.epochs});
}

FitLoop::BatchResult FitLoop::run_step(const data::Batch& batch, const RunObserver* observer) {
  if (batch.size() != compiled_for_) {
    artifact_ = trainer_.compile_step(train_, batch.size(), step_options_);
    compiled_for_ = batch.size();
  }
  auto number = static_cast<uint64_t>(progression_.step + 1);
  set_scalar<uint64_t>(device_, *key_, {options_.seed, number});
  set_scalar<float>(device_, *step_, {static_cast<float>(number)});
  set_scalar<float>(device_, *learning_rate_, {static_cast<float>(learning_rate())});
  std::vector<std::shared_ptr<Storage>> inputs = trainer_.memory_;
  inputs.insert(inputs.end(),
                {key_, step_, learning_rate_, batch.inputs.storage(), batch.targets.storage()});
  if (step_options_.mixup) {
    set_scalar<float>(device_, *mix_weight_, {batch.mix_weight});
    const Tensor& other = batch.mixed_targets ? batch.mixed_targets : batch.targets;
    inputs.insert(inputs.end(), {other.storage(), mix_weight_});
  }
  auto outputs = execute(device_, *artifact_, inputs, observer);
  device_.synchronize();
  BatchResult result;
  device_.copy_to_host(*outputs[outputs.size() - 3], &result.loss, sizeof result.loss);
  device_.copy_to_host(*outputs[outputs.size() - 2], &result.correct, sizeof result.correct);
  device_.copy_to_host(*outputs[outputs.size() - 1], &result.finite, sizeof result.finite);
  return result;
}

// Where a value that is not finite comes from: the batch's inputs, or the first step that makes
// one. The train step left the state as it was, so it can be run again, watched node by node.
std::string FitLoop::find_not_finite(const data::Batch& batch) {
  const Type& type = batch.inputs.type();
  auto* inputs = static_cast<const std::byte*>(batch.inputs.storage()->data());
  Type one{type.dtype, train_.input_shape()};
  for (int64_t i = 0; i < batch.size(); ++i) {
    if (!has_not_finite(one, inputs + static_cast<size_t>(i) * one.bytes(), Limit::any)) continue;
    int64_t example = batch.indices[static_cast<size_t>(i)];
    std::string name = train_.example_name(example);
    return str("the data: example ", example, " of the training set",
               name.empty() ? "" : " (" + name + ")");
  }
  if (step_options_.accumulate > 1) {  // in one piece: the nodes of a loop are not seen one by one
    step_options_.accumulate = 1;
    compiled_for_ = -1;
  }
  // Negative infinity is often meant (masks, maxima): it counts where nothing else is found.
  for (Limit limit : {Limit::nan_or_positive, Limit::any}) {
    std::string culprit;
    RunObserver observer = [&](const StepResult& step) {
      for (size_t i = 0; culprit.empty() && i < step.node.outputs.size(); ++i) {
        const Type& type = step.node.outputs[i];
        if (!is_floating(type.dtype) || !has_not_finite(type, step.output(i), limit)) continue;
        culprit = str(step.node.path.empty() ? "(no module)" : step.node.path, " (",
                      step.node.op->name, ")");
      }
    };
    run_step(batch, &observer);
    if (!culprit.empty()) return culprit;
  }
  return "";
}

void FitLoop::report_not_finite(const data::Batch& batch, float loss) {
  std::string culprit = find_not_finite(batch);
  save_checkpoint();
  throw UserError(
      "train",
      str(std::isfinite(loss) ? "a gradient is not finite" : str("the loss is ", loss), " at step ",
          progression_.step + 1, " (epoch ", progression_.epoch + 1, ")"),
      {.got = culprit.empty() ? "" : "the first value that is not finite from " + culprit,
       .hint = "lower the learning rate, clip gradients, or look for such values in the data; the "
               "weights are those of the step before"});
}

bool FitLoop::should_stop() {
  if (options_.stop && options_.stop->load()) {
    result_.interrupted = true;
    result_.stopped_by = "interrupt";
  } else if (options_.max_seconds > 0 && elapsed() >= options_.max_seconds) {
    result_.stopped_by = "time";
  }
  return !result_.stopped_by.empty();
}

void FitLoop::show_progress(int64_t batch, int64_t batches) {
  if (!progress_) return;
  double rate =
      trained_seconds_ > 0 ? static_cast<double>(trained_examples_) / trained_seconds_ : 0;
  double left = static_cast<double>((options_.epochs - progression_.epoch) * batches - batch) *
                static_cast<double>(options_.batch_size);
  Progress progress{
      .epoch = progression_.epoch + 1, .epochs = options_.epochs, .step = batch, .steps = batches};
  progress.loss = progression_.epoch_loss /
                  static_cast<double>(std::max<int64_t>(progression_.epoch_examples, 1));
  if (train_.task() != data::Task::regression) {
    double predictions =
        static_cast<double>(progression_.epoch_examples * train_.target_shape().elements());
    progress.accuracy =
        static_cast<double>(progression_.epoch_correct) / std::max(predictions, 1.0);
  }
  if (rate > 0) {
    progress.samples_per_second = rate;
    progress.seconds_left = left / rate;
  }
  progress.resident_bytes = resident_bytes();
  if (trained_seconds_ > 0) {
    progress.data_wait_percent = 100 * (total_wait_ + loader_->wait_seconds()) / trained_seconds_;
  }
  progress_->update(progress);
}

bool FitLoop::run_epoch() {
  int64_t batches = loader_->batches();
  loader_->start_epoch(progression_.epoch, progression_.batch);
  epoch_started_ = Clock::now();
  auto step_started = Clock::now();
  while (auto batch = loader_->next()) {
    BatchResult step = run_step(*batch);
    if (!step.finite) report_not_finite(*batch, step.loss);
    progression_.step += 1;
    progression_.batch += 1;
    progression_.epoch_loss += static_cast<double>(step.loss) * static_cast<double>(batch->size());
    progression_.epoch_correct += step.correct;
    progression_.epoch_examples += batch->size();
    trained_examples_ += batch->size();
    auto now = Clock::now();
    double seconds = std::chrono::duration<double>(now - step_started).count();
    trained_seconds_ += seconds;
    step_seconds_.push_back(static_cast<float>(seconds));
    step_started = now;
    if (result_.first_step_seconds == 0) result_.first_step_seconds = seconds_since_process_start();
    show_progress(progression_.batch, batches);
    bool stop = should_stop();
    bool due = options_.checkpoint_steps > 0 && progression_.step % options_.checkpoint_steps == 0;
    double since = std::chrono::duration<double>(Clock::now() - last_checkpoint_).count();
    due = due || (options_.checkpoint_minutes > 0 && since > 60 * options_.checkpoint_minutes);
    if (stop && progression_.batch < batches) {
      save_checkpoint();
      total_wait_ += loader_->wait_seconds();
      return false;
    }
    if (due && progression_.batch < batches) {
      save_checkpoint();
      step_started = Clock::now();
    }
  }
  epoch_wait_ = loader_->wait_seconds();
  total_wait_ += epoch_wait_;
  return true;
}

void FitLoop::finish_epoch() {
  if (auto scale = state_number("loss_scale"))
    log(LogLevel::info, str("loss scale ", *scale, " after ", state_number("updates").value_or(0),
                            " updates in ", progression_.step, " steps"));
  double seconds = std::chrono::duration<double>(Clock::now() - epoch_started_).count();
  eval::EpochRecord record;
  record.epoch = progression_.epoch + 1;
  record.train_loss = progression_.epoch_loss / static_cast<double>(progression_.epoch_examples);
  if (train_.task() != data::Task::regression) {
    double predictions =
        static_cast<double>(progression_.epoch_examples * train_.target_shape().elements());
    record.train_accuracy = static_cast<double>(progression_.epoch_correct) / predictions;
  }
  record.learning_rate = learning_rate();
  record.seconds = seconds;
  record.samples_per_second = static_cast<double>(progression_.epoch_examples) / seconds;
  record.data_wait_percent = 100 * epoch_wait_ / seconds;
  if (!validation_.empty()) {
    EvaluationSums sums = trainer_.run_evaluation(validation_, evaluation_batch, false);
    record.validation_loss = sums.mean_loss();
    if (sums.predictions > 0) record.validation_accuracy = sums.accuracy();
    bool better = sums.mean_loss() < best_validation_;
    epochs_without_gain_ = better ? 0 : epochs_without_gain_ + 1;
    best_validation_ = std::min(best_validation_, sums.mean_loss());
    if (options_.schedule) options_.schedule->epoch_end(sums.mean_loss());
  } else if (options_.schedule) {
    options_.schedule->epoch_end(*record.train_loss);
  }
  result_.epochs.push_back(record);
  progression_.epoch += 1;
  progression_.batch = 0;
  progression_.epoch_loss = 0;
  progression_.epoch_correct = progression_.epoch_examples = 0;
  if (!result_.measured_memory) result_.measured_memory = peak_resident_bytes() - peak_before_;
  if (progress_) progress_->print(epoch_text(record, options_.epochs));
  // Rows go first: a run that is resumed from before them drops them and writes them again.
  if (csv_) {
    std::vector<std::optional<double>> row = {record.train_loss,         record.train_accuracy,
                                              record.validation_loss,    record.validation_accuracy,
                                              record.learning_rate,      record.seconds,
                                              record.samples_per_second, record.data_wait_percent};
    csv_->log(record.epoch, row);
    std::vector<TensorBoardLogger::Scalar> scalars = {{"train/loss", *record.train_loss}};
    if (record.train_accuracy) scalars.emplace_back("train/accuracy", *record.train_accuracy);
    if (record.validation_loss) scalars.emplace_back("validation/loss", *record.validation_loss);
    if (record.validation_accuracy)
      scalars.emplace_back("validation/accuracy", *record.validation_accuracy);
    tensorboard_->log(record.epoch, scalars);
  }
  save_checkpoint();
}

FitResult FitLoop::run() {
  started_ = last_checkpoint_ = Clock::now();
  prepare();
  while (progression_.epoch < options_.epochs && result_.stopped_by.empty()) {
    if (!run_epoch()) break;
    finish_epoch();
    if (options_.patience > 0 && epochs_without_gain_ >= options_.patience)
      result_.stopped_by = "patience";
    should_stop();
  }
  if (progress_) progress_->finish();
  result_.steps = progression_.step;
  trainer_.steps_done_ = progression_.step;
  result_.seconds = elapsed();
  result_.step_seconds_p50 = percentile(step_seconds_, 0.5);
  result_.step_seconds_p90 = percentile(step_seconds_, 0.9);
  if (trained_seconds_ > 0) {
    result_.samples_per_second = static_cast<double>(trained_examples_) / trained_seconds_;
    result_.data_wait_percent = 100 * total_wait_ / trained_seconds_;
  }
  return std::move(result_);
}

void describe_fit(const FitResult& fit, eval::Report& report) {
  report.epochs = fit.epochs;
  if (!fit.precision_note.empty()) report.notes.push_back(fit.precision_note);
  report.train_seconds = fit.seconds;
  report.first_step_seconds = fit.first_step_seconds;
  report.step_seconds = fit.step_seconds_p50;
  report.step_seconds_p90 = fit.step_seconds_p90;
  report.samples_per_second = fit.samples_per_second;
  report.data_wait_percent = fit.data_wait_percent;
  eval::MemoryUse memory;
  for (const auto& [name, bytes] : fit.planned.parts)
    memory.parts.emplace_back(name, static_cast<double>(bytes));
  memory.planned_bytes = static_cast<double>(fit.planned.total);
  if (fit.measured_memory) memory.measured_bytes = static_cast<double>(*fit.measured_memory);
  report.memory = memory;
}

}  // namespace wafer
