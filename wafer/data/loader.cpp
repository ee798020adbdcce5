#include "wafer/data/loader.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>

#include "wafer/base/error.h"
#include "wafer/base/log.h"
#include "wafer/base/threads.h"
#include "wafer/data/convert.h"

namespace wafer::data {

namespace {

// Streams of one seed: the top bits keep the purposes apart.
constexpr uint64_t kOrderStream = uint64_t{1} << 63, kMixStream = uint64_t{1} << 62;

uint64_t example_stream(int64_t epoch, int64_t index) {
  return (static_cast<uint64_t>(epoch) & 0x3fffff) << 40 |
         (static_cast<uint64_t>(index) & 0xffffffffff);
}

// Buffers of tensors, handed out again when the last tensor over one is gone.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  std::shared_ptr<Storage> get(size_t bytes) {
    std::shared_ptr<Storage> buffer = reuse(bytes);
    if (!buffer) buffer = allocate_host(bytes);
    // The pointer handed out keeps the buffer in its deleter, which gives it back.
    Storage* raw = buffer.get();
    return {raw, [pool = weak_from_this(), buffer = std::move(buffer)](Storage*) mutable {
              if (auto alive = pool.lock()) alive->put(std::move(buffer));
            }};
  }

 private:
  // Only of the very size: a smaller tensor over a larger buffer would misstate its bytes.
  std::shared_ptr<Storage> reuse(size_t bytes) {
    std::lock_guard lock(mutex_);
    for (size_t i = 0; i < free_.size(); ++i) {
      if (free_[i]->bytes() != bytes) continue;
      std::swap(free_[i], free_.back());
      auto buffer = std::move(free_.back());
      free_.pop_back();
      return buffer;
    }
    return nullptr;
  }

  void put(std::shared_ptr<Storage> buffer) {
    std::lock_guard lock(mutex_);
    if (free_.size() < 32) free_.push_back(std::move(buffer));
  }

  std::mutex mutex_;
  std::vector<std::shared_ptr<Storage>> free_;
};

// Adds the time that it was alive to `seconds`.
class Stopwatch {
 public:
  explicit Stopwatch(double& seconds) : seconds_(seconds) {}
  ~Stopwatch() { seconds_ += std::chrono::duration<double>(Clock::now() - begin_).count(); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  double& seconds_;
  Clock::time_point begin_ = Clock::now();
};

Shape with_batch(int64_t count, const Shape& shape) {
  std::vector<Dim> dims = {Dim(count)};
  dims.insert(dims.end(), shape.dims().begin(), shape.dims().end());
  return Shape(std::move(dims));
}

}  // namespace

int64_t batches_ahead(const Dataset& dataset, const LoaderOptions& options) {
  if (options.workers == 0) return 0;
  constexpr int64_t enough = 32 << 20;
  auto example = static_cast<int64_t>(Type{dataset.input_dtype(), dataset.input_shape()}.bytes() +
                                      Type{dataset.target_dtype(), dataset.target_shape()}.bytes());
  int64_t fit = enough / std::max<int64_t>(example * options.batch_size, 1);
  int64_t least = std::min(options.prefetch, std::max(options.workers, 2));
  return std::clamp<int64_t>(fit, least, options.prefetch);
}

std::vector<int64_t> epoch_order(int64_t size, bool shuffle, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), int64_t{0});
  if (shuffle) {
    RandomStream random(seed, kOrderStream | static_cast<uint64_t>(epoch));
    random.shuffle(order);
  }
  return order;
}

class Loader::State {
 public:
  State(Dataset dataset, LoaderOptions options)
      : dataset_(std::move(dataset)),
        options_(std::move(options)),
        pool_(std::make_shared<BufferPool>()) {
    const std::string& where = dataset_.description().name;
    WAFER_REQUIRE(!dataset_.empty(), where, "the set has no examples; load or split it otherwise");
    WAFER_REQUIRE(options_.batch_size > 0, where, "the batch size must be positive; got ",
                  options_.batch_size);
    WAFER_REQUIRE(options_.workers >= 0 && options_.workers <= 256, where,
                  "expected 0 to 256 workers; got ", options_.workers);
    WAFER_REQUIRE(options_.prefetch > 0, where, "prefetch must be positive; got ",
                  options_.prefetch);
    if (options_.augmentation) check(*options_.augmentation);
    if (options_.batch_size > dataset_.size()) {
      std::string text = str("the batch size ", options_.batch_size, " is larger than the set of ",
                             dataset_.size(), " examples");
      if (options_.drop_last) {
        throw UserError(where, text, {.hint = "choose a smaller batch, or keep the last one"});
      }
      log(LogLevel::warn, "[" + where + "] " + text + ": each epoch is one batch");
    }
  }

  ~State() { stop(); }

  int64_t batches() const {
    int64_t full = dataset_.size() / options_.batch_size;
    bool rest = dataset_.size() % options_.batch_size != 0;
    return full + (rest && !options_.drop_last ? 1 : 0);
  }

  const Dataset& dataset() const { return dataset_; }
  double wait_seconds() const { return wait_seconds_; }

  void start(int64_t epoch, int64_t first_batch) {
    WAFER_CHECK(epoch >= 0 && first_batch >= 0 && first_batch <= batches(), "epoch ", epoch,
                ", batch ", first_batch, " of ", batches());
    stop();
    epoch_ = epoch;
    order_ = epoch_order(dataset_.size(), options_.shuffle, options_.seed, epoch);
    next_taken_ = next_made_ = first_batch;
    started_ = true;
    slots_.clear();
    slots_.resize(static_cast<size_t>(batches_ahead(dataset_, options_)));
    wait_seconds_ = 0;
    stopping_ = false;
    auto workers = std::min<int64_t>(options_.workers, batches() - first_batch);
    for (int64_t i = 0; i < workers; ++i) threads_.emplace_back([this] { work(); });
  }

  std::optional<Batch> next() {
    WAFER_CHECK(started_, "next() before start_epoch()");
    if (options_.workers == 0) return make_now();
    std::unique_lock lock(mutex_);
    if (next_taken_ == batches()) return std::nullopt;
    Slot& slot = slots_[static_cast<size_t>(next_taken_) % slots_.size()];
    if (!slot.ready) {
      Stopwatch watch(wait_seconds_);
      made_.wait(lock, [&] { return slot.ready; });
    }
    if (slot.failure) std::rethrow_exception(slot.failure);
    Batch batch = std::move(slot.batch);
    slot = Slot{};
    ++next_taken_;
    lock.unlock();
    taken_.notify_one();
    return batch;
  }

 private:
  struct Slot {
    bool ready = false;
    Batch batch;
    std::exception_ptr failure;
  };

  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    taken_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  std::optional<Batch> make_now() {
    if (next_taken_ == batches()) return std::nullopt;
    Stopwatch watch(wait_seconds_);
    Batch batch = make(next_taken_, true);
    ++next_taken_;
    return batch;
  }

  void work() {
    while (true) {
      int64_t index = 0;
      {
        std::unique_lock lock(mutex_);
        taken_.wait(lock, [&] {
          return stopping_ || next_made_ == batches() ||
                 next_made_ < next_taken_ + static_cast<int64_t>(slots_.size());
        });
        if (stopping_ || next_made_ == batches()) return;
        index = next_made_++;
      }
      Slot made;
      made.ready = true;
      try {
        made.batch = make(index, false);
      } catch (...) {
        made.failure = std::current_exception();
      }
      {
        std::lock_guard lock(mutex_);
        slots_[static_cast<size_t>(index) % slots_.size()] = std::move(made);
      }
      made_.notify_one();
    }
  }

  Batch make(int64_t index, bool on_threads) {
    const Description& about = dataset_.description();
    int64_t begin = index * options_.batch_size;
    int64_t count = std::min(options_.batch_size, dataset_.size() - begin);
    Batch batch;
    batch.index = index;
    batch.indices.assign(order_.begin() + begin, order_.begin() + begin + count);

    Type input_type{dataset_.input_dtype(), with_batch(count, dataset_.input_shape())};
    Type target_type{dataset_.target_dtype(), with_batch(count, dataset_.target_shape())};
    auto inputs = pool_->get(input_type.bytes()), targets = pool_->get(target_type.bytes());
    auto* input = static_cast<std::byte*>(inputs->data());
    auto* target = static_cast<std::byte*>(targets->data());
    size_t input_stride = input_type.bytes() / static_cast<size_t>(count);
    size_t target_stride = target_type.bytes() / static_cast<size_t>(count);
    auto make_part = [&](int64_t first, int64_t last) {
      std::vector<std::byte> stored;
      std::vector<uint8_t> pixels, scratch;
      for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(last); ++i) {
        if (i + 2 < static_cast<size_t>(last)) dataset_.fetch_ahead(batch.indices[i + 2]);
        make_example(about, batch.indices[i], input + i * input_stride, target + i * target_stride,
                     stored, pixels, scratch);
      }
    };
    constexpr size_t least_part = 16 << 10;  // bytes that are worth a thread
    auto grain = static_cast<int64_t>(least_part / std::max<size_t>(input_stride, 1) + 1);
    parallel_for(count, on_threads ? grain : count, make_part);
    bool mix =
        options_.augmentation && options_.augmentation->mixup > 0 && input_type.dtype == DType::f32;
    if (mix) mix_examples(batch, input_type, target_type, inputs, targets);
    batch.inputs = Tensor::from_storage(input_type, std::move(inputs));
    batch.targets = Tensor::from_storage(target_type, std::move(targets));
    return batch;
  }

  void make_example(const Description& about, int64_t example, std::byte* input, std::byte* target,
                    std::vector<std::byte>& stored, std::vector<uint8_t>& pixels,
                    std::vector<uint8_t>& scratch) {
    const Augmentation* augmentation = options_.augmentation ? &*options_.augmentation : nullptr;
    RandomStream random(options_.seed, example_stream(epoch_, example));
    int64_t shift = 0;
    if (augmentation != nullptr && augmentation->shift && dataset_.shifts() > 1) {
      shift = random.below(static_cast<uint32_t>(dataset_.shifts()));
    }
    const std::byte* data = dataset_.stored_input(example, shift, stored);
    if (augmentation != nullptr && augmentation->changes_images() &&
        about.kind == InputKind::image) {
      auto* first = reinterpret_cast<const uint8_t*>(data);
      pixels.assign(first, first + about.elements());
      augment_image(*augmentation, pixels, static_cast<int>(about.shape[0]),
                    static_cast<int>(about.shape[1]), static_cast<int>(about.shape[2]), random,
                    scratch);
      data = reinterpret_cast<const std::byte*>(pixels.data());
    }
    convert_input(about, dataset_.normalise(), data, input);
    if (about.task == Task::next_token) {
      convert_next_tokens(about, data, target);
    } else {
      dataset_.read_target(example, target);
    }
  }

  // Each example with the one that many places further on in the batch.
  void mix_examples(Batch& batch, const Type& input_type, const Type& target_type,
                    std::shared_ptr<Storage>& inputs, const std::shared_ptr<Storage>& targets) {
    RandomStream random(options_.seed, kMixStream | example_stream(epoch_, batch.index));
    batch.mix_weight = draw_beta(options_.augmentation->mixup, random);
    auto count = static_cast<size_t>(batch.size());
    size_t offset = random.below(static_cast<uint32_t>(count));
    auto mixed = pool_->get(input_type.bytes()), others = pool_->get(target_type.bytes());
    auto* own = static_cast<const float*>(inputs->data());
    auto* output = static_cast<float*>(mixed->data());
    size_t width = static_cast<size_t>(input_type.elements()) / count;
    size_t target_bytes = target_type.bytes() / count;
    for (size_t i = 0; i < count; ++i) {
      size_t other = (i + offset) % count;
      for (size_t j = 0; j < width; ++j) {
        output[i * width + j] =
            batch.mix_weight * own[i * width + j] + (1 - batch.mix_weight) * own[other * width + j];
      }
      std::memcpy(static_cast<std::byte*>(others->data()) + i * target_bytes,
                  static_cast<const std::byte*>(targets->data()) + other * target_bytes,
                  target_bytes);
    }
    inputs = std::move(mixed);
    batch.mixed_targets = Tensor::from_storage(target_type, std::move(others));
  }

  Dataset dataset_;
  LoaderOptions options_;
  std::shared_ptr<BufferPool> pool_;
  std::vector<int64_t> order_;
  int64_t epoch_ = 0;

  std::mutex mutex_;
  std::condition_variable made_, taken_;
  std::vector<Slot> slots_;  // batch b lies in slot b % slots_.size()
  int64_t next_made_ = 0, next_taken_ = 0;
  bool started_ = false;
  bool stopping_ = false;
  double wait_seconds_ = 0;
  std::vector<std::thread> threads_;
};

Loader::Loader(Dataset dataset, LoaderOptions options)
    : state_(std::make_unique<State>(std::move(dataset), std::move(options))) {}
Loader::~Loader() = default;

int64_t Loader::batches() const {
  return state_->batches();
}
const Dataset& Loader::dataset() const {
  return state_->dataset();
}
void Loader::start_epoch(int64_t epoch, int64_t first_batch) {
  state_->start(epoch, first_batch);
}
std::optional<Batch> Loader::next() {
  return state_->next();
}
double Loader::wait_seconds() const {
  return state_->wait_seconds();
}

}  // namespace wafer::data
