#include "wafer/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "wafer/base/process.h"
#include "wafer/base/strings.h"
#include "wafer/base/threads.h"
#include "wafer/runtime/compile_cache.h"
#include "wafer/runtime/registry.h"
#include "wafer/train/fit_loop.h"

namespace wafer {

namespace {
Shape batched(const Shape& shape, int64_t batch) {
  auto dims = shape.dims();
  dims.insert(dims.begin(), Dim(batch));
  return Shape(std::move(dims));
}

size_t bytes_of(const std::vector<StateTensor>& state, StateTensor::Role role) {
  size_t bytes = 0;
  for (const StateTensor& tensor : state) {
    if (tensor.role == role) bytes += tensor.type.bytes();
  }
  return bytes;
}

// Of all batches that a loader keeps memory of: those made ahead and the one in use, and a smaller
// one at the end, whose memory is its own.
size_t batch_bytes(const data::Dataset& dataset, int64_t batch, int workers) {
  int64_t ahead = data::batches_ahead(dataset, {.batch_size = batch, .workers = workers});
  int64_t whole = dataset.size() / batch, rest = dataset.size() % batch;
  int64_t examples = std::min(ahead + 1, whole) * batch + rest;
  return batch_input_type(dataset, examples).bytes() + batch_target_type(dataset, examples).bytes();
}
}  // namespace

Type batch_input_type(const data::Dataset& dataset, int64_t batch) {
  return {dataset.input_dtype(), batched(dataset.input_shape(), batch)};
}
Type batch_target_type(const data::Dataset& dataset, int64_t batch) {
  return {dataset.target_dtype(), batched(dataset.target_shape(), batch)};
}

// Where the step's threads have a CPU each and no other is free, a worker takes one from them in
// the middle of a product, and all others wait: for small batches longer than it takes to make one.
int loader_workers(const FitOptions& options, const data::Dataset& train, const Device& device) {
  if (options.workers) return *options.workers;
  constexpr size_t small = 1 << 20;  // bytes that two threads copy and scale in about 50 us
  int threads = device.info().threads;
  bool crowded = threads > 1 && threads >= available_cpus();
  auto augmentation = options.augmentation.value_or(data::Augmentation{});
  bool plain = !augmentation.changes_images() && augmentation.mixup == 0;
  bool soon = plain && batch_input_type(train, options.batch_size).bytes() <= small;
  return crowded && soon ? 0 : 1;
}

StepOptions step_options_of(const FitOptions& options) {
  bool mixup = options.augmentation && options.augmentation->mixup > 0;
  return {options.clip_norm,  options.clip_value, options.ema_decay, mixup,
          options.accumulate, options.precision};
}

void check_options(const FitOptions& o, const data::Dataset* train) {
  WAFER_REQUIRE(o.epochs > 0, "epochs", "must be positive; got ", o.epochs);
  WAFER_REQUIRE(o.batch_size > 0, "batch size", "must be positive; got ", o.batch_size);
  WAFER_REQUIRE(o.accumulate > 0 && o.accumulate <= o.batch_size, "accumulate", "a batch of ",
                o.batch_size, " cannot be run in ", o.accumulate, " parts; expected 1 to ",
                o.batch_size);
  WAFER_REQUIRE(!o.clip_norm || *o.clip_norm > 0, "clip norm", "must be positive; got ",
                *o.clip_norm);
  WAFER_REQUIRE(!o.clip_value || *o.clip_value > 0, "clip value", "must be positive; got ",
                *o.clip_value);
  WAFER_REQUIRE(o.ema_decay >= 0 && o.ema_decay < 1, "ema", "the decay must be in [0, 1); got ",
                o.ema_decay);
  WAFER_REQUIRE(o.patience >= 0, "patience", "must be 0 (never) or positive; got ", o.patience);
  WAFER_REQUIRE(o.max_seconds >= 0, "time", "must be 0 (no limit) or positive; got ", o.max_seconds,
                " s");
  WAFER_REQUIRE(!o.workers || *o.workers >= 0, "workers", "must not be negative; got ", *o.workers);
  WAFER_REQUIRE(o.checkpoint_steps >= 0 && o.checkpoint_minutes >= 0, "checkpoints",
                "the time between them must not be negative");
  if (train == nullptr) return;
  WAFER_REQUIRE(!train->empty(), "fit", "the training set is empty");
  if (o.batch_size > train->size()) {
    throw UserError("batch size", "the batch is larger than the training set",
                    {.got = str("a batch of ", o.batch_size, " and ", train->size(), " examples"),
                     .hint = str("choose a batch size of at most ", train->size())});
  }
}

std::string MemoryEstimate::text() const {
  std::vector<std::string> words;
  for (const auto& [name, bytes] : parts)
    words.push_back(name + " " + human_bytes(static_cast<double>(bytes)));
  return "memory: " + human_bytes(static_cast<double>(total)) + " (" + join(words, ", ") + ")";
}

Trainer::Trainer(nn::Module& model, ForwardFunction forward, LossFunction loss,
                 std::shared_ptr<optim::Optimizer> optimizer, std::shared_ptr<Device> device)
    : objective_{&model, std::move(forward), std::move(loss), true},
      optimizer_(std::move(optimizer)),
      device_(device ? std::move(device) : default_device()) {}

Trainer::~Trainer() = default;

Objective Trainer::objective_for(const data::Dataset& dataset) const {
  Objective objective = objective_;
  objective.counts_correct = dataset.task() != data::Task::regression;
  return objective;
}

Graph Trainer::step_graph(const data::Dataset& dataset, int64_t batch_size,
                          const StepOptions& options) {
  return train_step_graph(objective_for(dataset), *optimizer_, options,
                          batch_input_type(dataset, batch_size),
                          batch_target_type(dataset, batch_size));
}

std::shared_ptr<const Artifact> Trainer::compile_step(const data::Dataset& dataset,
                                                      int64_t batch_size,
                                                      const StepOptions& options) {
  return compile_cached(*device_, step_graph(dataset, batch_size, options));
}

MemoryEstimate Trainer::plan_memory(const data::Dataset& dataset, const FitOptions& options,
                                    const data::Dataset& validation) {
  StepOptions step_options = step_options_of(options);
  int64_t batch = std::min<int64_t>(options.batch_size, std::max<int64_t>(dataset.size(), 1));
  int64_t before = resident_bytes();
  auto artifact = compile_step(dataset, batch, step_options);
  // Runs of both take turns in one arena, but a set's batches stay with its loader.
  auto working = [](const MemoryPlan& plan) { return plan.arena + plan.outputs + plan.kept; };
  size_t arena = working(artifact->memory);
  size_t batches = batch_bytes(dataset, batch, loader_workers(options, dataset, *device_));
  if (!validation.empty()) {
    auto evaluation =
        compile_evaluation(validation, evaluation_batch, false, step_options.precision);
    arena = std::max(arena, working(evaluation->memory));
    batches += batch_bytes(validation, std::min(evaluation_batch, validation.size()), 1);
  }
  // The constants of the artifacts are among it.
  auto compiled = static_cast<size_t>(std::max<int64_t>(resident_bytes() - before, 0));
  auto state = training_state(*objective_.module, *optimizer_, step_options);
  MemoryEstimate estimate;
  auto add = [&](const char* name, size_t bytes) {
    if (bytes > 0) estimate.parts.emplace_back(name, bytes);
    estimate.total += bytes;
  };
  add("parameters",
      bytes_of(state, StateTensor::Role::parameter) + bytes_of(state, StateTensor::Role::buffer));
  add("optimiser", bytes_of(state, StateTensor::Role::optimizer));
  add("average", bytes_of(state, StateTensor::Role::average));
  add("activations and workspace", arena);
  add("batches", batches);
  add("compiled program", compiled);
  return estimate;
}

std::shared_ptr<const Artifact> Trainer::compile_evaluation(const data::Dataset& dataset,
                                                            int64_t batch_size, bool keep_outputs,
                                                            Precision precision) {
  int64_t batch = std::min(batch_size, dataset.size());
  return compile_cached(
      *device_, evaluation_graph(objective_for(dataset), batch_input_type(dataset, batch),
                                 batch_target_type(dataset, batch), keep_outputs, precision));
}

// Brings parameters and buffers to the device and makes the rest of the state, unless it is there
// already.
void Trainer::start(const StepOptions& options) {
  std::vector<StateTensor> state = training_state(*objective_.module, *optimizer_, options);
  options_ = options;
  state_ = std::move(state);
  memory_.clear();
  auto parameters = objective_.module->named_parameters(),
       buffers = objective_.module->named_buffers();
  size_t parameter = 0, buffer = 0, average = 0;
  for (const StateTensor& tensor : state_) {
    auto memory = device_->allocate(tensor.type.bytes());
    const Tensor* source = nullptr;
    if (tensor.role == StateTensor::Role::parameter) source = parameters.at(parameter++).value;
    if (tensor.role == StateTensor::Role::buffer) source = buffers.at(buffer++).value;
    if (tensor.role == StateTensor::Role::average) source = parameters.at(average++).value;
    // No copies on the way: what they leave in the heap would count as well.
    if (source) {
      source->eval();
      device_->copy_from_host(wafer::on_host(source->storage())->data(), *memory,
                              tensor.type.bytes());
    } else {
      auto staging = memory->on_host() ? memory : allocate_host(tensor.type.bytes());
      visit(tensor.type.dtype, [&]<class T>(std::type_identity<T>) {
        auto* values = static_cast<T*>(staging->data());
        std::fill(values, values + tensor.type.elements(), static_cast<T>(tensor.initial));
      });
      if (staging != memory) device_->copy_from_host(staging->data(), *memory, tensor.type.bytes());
    }
    memory_.push_back(std::move(memory));
  }
}

void Trainer::store() {
  auto parameters = objective_.module->named_parameters(),
       buffers = objective_.module->named_buffers();
  bool averaged = options_.ema_decay > 0;
  size_t parameter = 0, buffer = 0;
  for (size_t i = 0; i < state_.size(); ++i) {
    auto wanted = averaged ? StateTensor::Role::average : StateTensor::Role::parameter;
    Tensor* slot = nullptr;
    if (state_[i].role == wanted) slot = parameters.at(parameter++).value;
    if (state_[i].role == StateTensor::Role::buffer) slot = buffers.at(buffer++).value;
    if (!slot) continue;
    auto copy = allocate_host(state_[i].type.bytes());
    device_->copy_to_host(*memory_[i], copy->data(), state_[i].type.bytes());
    *slot = Tensor::from_storage(state_[i].type, std::move(copy));
  }
}

// What evaluation reads: the averaged parameters where they are kept, then the buffers.
std::vector<std::shared_ptr<Storage>> Trainer::weights() const {
  std::vector<std::shared_ptr<Storage>> parameters, buffers;
  auto wanted = options_.ema_decay > 0 ? StateTensor::Role::average : StateTensor::Role::parameter;
  for (size_t i = 0; i < state_.size(); ++i) {
    if (state_[i].role == wanted) parameters.push_back(memory_[i]);
    if (state_[i].role == StateTensor::Role::buffer) buffers.push_back(memory_[i]);
  }
  parameters.insert(parameters.end(), buffers.begin(), buffers.end());
  return parameters;
}

EvaluationSums Trainer::run_evaluation(const data::Dataset& dataset, int64_t batch_size,
                                       bool keep_outputs) {
  if (memory_.empty()) start(options_);
  EvaluationSums sums;
  bool counts_correct = objective_for(dataset).counts_correct;
  data::Loader loader(
      dataset, {.batch_size = std::min<int64_t>(batch_size, std::max<int64_t>(dataset.size(), 1))});
  loader.start_epoch(0);
  std::shared_ptr<const Artifact> artifact;
  int64_t compiled_for = -1;
  while (auto batch = loader.next()) {
    if (batch->size() != compiled_for) {
      artifact = compile_evaluation(dataset, batch->size(), keep_outputs, options_.precision);
      compiled_for = batch->size();
    }
    auto inputs = weights();
    inputs.push_back(batch->inputs.storage());
    inputs.push_back(batch->targets.storage());
    auto outputs = execute(*device_, *artifact, inputs);
    device_->synchronize();
    float loss = 0;
    int64_t correct = 0;
    device_->copy_to_host(*outputs[0], &loss, sizeof loss);
    device_->copy_to_host(*outputs[1], &correct, sizeof correct);
    sums.loss += static_cast<double>(loss) * static_cast<double>(batch->size());
    sums.correct += correct;
    sums.examples += batch->size();
    sums.predictions += counts_correct ? batch->targets.elements() : 0;
    if (keep_outputs) {
      const Type& type = artifact->outputs[2];
      std::vector<std::byte> bytes(type.bytes());
      device_->copy_to_host(*outputs[2], bytes.data(), bytes.size());
      sums.outputs_per_example = type.elements() / std::max<int64_t>(batch->size(), 1);
      visit(type.dtype, [&]<class T>(std::type_identity<T>) {
        auto* values = reinterpret_cast<const T*>(bytes.data());
        for (int64_t i = 0; i < type.elements(); ++i)
          sums.outputs.push_back(static_cast<double>(values[i]));
      });
    }
  }
  return sums;
}

FitResult Trainer::fit(const data::Dataset& train, const data::Dataset& validation,
                       const FitOptions& options) {
  FitLoop loop(*this, train, validation, options);
  try {
    last_fit_ = loop.run();
  } catch (...) {
    if (!memory_.empty()) store();
    throw;
  }
  store();
  return *last_fit_;
}

eval::Report Trainer::evaluate(const data::Dataset& dataset, const std::string& part,
                               int64_t batch_size) {
  WAFER_REQUIRE(!dataset.empty(), part, "there are no examples to evaluate on");
  bool tokens = dataset.task() == data::Task::next_token;
  EvaluationSums sums = run_evaluation(dataset, batch_size, !tokens);
  eval::Report report;
  report.model = objective_.module->name();
  report.data = dataset.description().name;
  report.device = device_->info().name + ": " + device_->info().description;
  report.precision = name(options_.precision);
  report.parameters = objective_.module->parameter_count();
  report.class_names = tokens ? std::vector<std::string>{} : dataset.class_names();
  report.evaluated_split = part;
  eval::SplitResult split{part, sums.examples, sums.mean_loss(), std::nullopt};
  if (sums.predictions > 0) split.accuracy = sums.accuracy();
  if (last_fit_) describe_fit(*last_fit_, report);
  if (dataset.task() == data::Task::classification) {
    std::vector<double> probabilities =
        eval::softmax(eval::Scores(sums.outputs, sums.outputs_per_example));
    std::vector<int64_t> labels = dataset.labels();
    eval::Scores scores(probabilities, sums.outputs_per_example);
    report.classification = eval::classification(scores, labels);
    report.worst = eval::worst_examples(scores, labels, 24);
  } else if (dataset.task() == data::Task::regression) {
    std::vector<double> targets;
    for (int64_t i = 0; i < dataset.size(); ++i)
      targets.push_back(static_cast<double>(dataset.value(i)));
    report.regression = eval::regression(sums.outputs, targets);
    for (size_t i = 0; i < targets.size() && i < 2000; ++i)
      report.scatter.emplace_back(targets[i], sums.outputs[i]);
  }
  report.splits.push_back(split);
  return report;
}

eval::Profile Trainer::profile(const data::Dataset& dataset, int64_t batch_size, int64_t steps) {
  if (memory_.empty()) start(options_);
  auto artifact = compile_step(dataset, batch_size, options_);
  // On copies: a profile leaves the trained state alone.
  std::vector<std::shared_ptr<Storage>> inputs;
  for (size_t i = 0; i < memory_.size(); ++i) {
    std::vector<std::byte> bytes(state_[i].type.bytes());
    device_->copy_to_host(*memory_[i], bytes.data(), bytes.size());
    inputs.push_back(device_->allocate(bytes.size()));
    device_->copy_from_host(bytes.data(), *inputs.back(), bytes.size());
  }
  auto scalar = [&](auto value, size_t count) {
    std::vector<decltype(value)> values(count, value);
    inputs.push_back(device_->allocate(count * sizeof value));
    device_->copy_from_host(values.data(), *inputs.back(), count * sizeof value);
  };
  scalar(uint64_t{1}, 2);
  scalar(static_cast<float>(std::max<int64_t>(steps_done_, 1)), 1);
  scalar(static_cast<float>(optimizer_->learning_rate()), 1);
  data::Loader loader(dataset, {.batch_size = batch_size});
  loader.start_epoch(0);
  auto batch = loader.next();
  inputs.insert(inputs.end(), {batch->inputs.storage(), batch->targets.storage()});
  if (options_.mixup) {
    inputs.push_back(batch->targets.storage());
    scalar(1.0f, 1);
  }

  eval::Profile result = eval::start_profile(*artifact, *device_);
  execute(*device_, *artifact, inputs);
  device_->synchronize();
  RunObserver observer = [&](const StepResult& step) {
    eval::ProfileNode& node = result.nodes[step.step];
    node.calls += 1;
    node.seconds += step.seconds;
  };
  for (int64_t i = 0; i < steps; ++i) {
    auto started = std::chrono::steady_clock::now();
    execute(*device_, *artifact, inputs, &observer);
    device_->synchronize();
    result.wall_seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    result.steps += 1;
  }
  eval::multiply_costs_by_calls(result);
  return result;
}

}  // namespace wafer
