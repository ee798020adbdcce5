#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "wafer/data/augment.h"
#include "wafer/data/dataset.h"
#include "wafer/ir/tensor.h"

namespace wafer::data {

struct Batch {
  Tensor inputs;   // [batch, ...]: f32, or i64 tokens
  Tensor targets;  // classification: i64 [batch]; regression: f32 [batch, 1]; next_token: i64
                   // [batch, length]
  // With mixup: inputs are weight * own + (1 - weight) * other, and the loss mixes the same way
  // over `targets` and these. Otherwise empty, and weight is 1.
  Tensor mixed_targets;
  float mix_weight = 1;
  std::vector<int64_t> indices;  // of the examples within the set
  int64_t index = 0;             // of the batch within the epoch

  int64_t size() const { return static_cast<int64_t>(indices.size()); }
};

struct LoaderOptions {
  int64_t batch_size = 64;
  bool shuffle = false;    // the order depends on seed and epoch alone
  bool drop_last = false;  // leave out a last batch that is not full
  uint64_t seed = 0;
  int workers = 1;   // threads that make batches ahead; 0: next() makes one with the caller's
  int prefetch = 4;  // batches ready or in work ahead of the consumer, at most: see batches_ahead
  std::optional<Augmentation> augmentation;  // none: examples as they are
};

// How many batches a loader keeps ready or in work: `prefetch`, but of batches so large that these
// would take more than 32 MiB no more than two, or one for each worker; none without workers.
int64_t batches_ahead(const Dataset& dataset, const LoaderOptions& options);

// The order in which an epoch visits `size` examples.
std::vector<int64_t> epoch_order(int64_t size, bool shuffle, uint64_t seed, int64_t epoch);

// Makes the batches of an epoch ahead of time in threads of its own, or each when it is asked for,
// in memory that is aligned to 64 bytes and reused once a batch's tensors are gone. Batches do not
// depend on the number of threads.
class Loader {
 public:
  // UserError when the set is empty or an option is out of range. A batch larger than the set is
  // logged as a warning (with drop_last it is an error: there would be no batch).
  Loader(Dataset dataset, LoaderOptions options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Batches of an epoch.
  int64_t batches() const;
  const Dataset& dataset() const;

  // Starts an epoch at a batch, for example where a run was interrupted; ends the one before.
  void start_epoch(int64_t epoch, int64_t first_batch = 0);
  // The next batch, or nothing at the end of the epoch. Errors of the threads are rethrown here.
  std::optional<Batch> next();

  // Time that next() has spent waiting for batches, or making them, since start_epoch.
  double wait_seconds() const;

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace wafer::data
