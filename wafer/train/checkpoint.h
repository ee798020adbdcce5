#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "wafer/ir/type.h"

namespace wafer {

// Named tensors in host memory, row-major, to be written; the memory belongs to the caller.
struct NamedMemory {
  std::string name;
  Type type;
  void* data;
};

// Where a run stands between two steps, besides its tensors.
struct Progression {
  int64_t step = 0;       // steps done
  int64_t epoch = 0;      // epochs done
  int64_t batch = 0;      // batches done in the epoch under way
  double epoch_loss = 0;  // sums over the examples of the epoch under way
  int64_t epoch_correct = 0, epoch_examples = 0;
  std::string history;  // JSON of what the trainer keeps for itself
};

// Checkpoints of one run: a folder of safetensors files, each written atomically. The last two are
// kept, so that one is whole whatever happens.
class CheckpointFolder {
 public:
  explicit CheckpointFolder(std::filesystem::path folder);

  // UserError (disk full, no permission) leaves the earlier checkpoints as they were.
  void save(const Progression& progression, const std::vector<NamedMemory>& tensors,
            const std::map<std::string, std::string>& settings);

  // Paths of the checkpoints, newest first.
  std::vector<std::filesystem::path> list() const;

 private:
  std::filesystem::path folder_;
};

// One of the settings that a checkpoint was saved with; nothing where it cannot be read.
std::optional<std::string> checkpoint_setting(const std::filesystem::path& path,
                                              const std::string& key);

// Reads a checkpoint: the tensors' bytes go to `tensors`' memory by name. UserError naming the file
// and what does not fit: a missing or misshapen tensor, another version, or settings that differ
// from `settings`.
Progression load_checkpoint(const std::filesystem::path& path,
                            const std::vector<NamedMemory>& tensors,
                            const std::map<std::string, std::string>& settings);

}  // namespace wafer
