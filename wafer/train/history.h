#pragma once
#include <string>
#include <vector>

#include "wafer/eval/report.h"

namespace wafer {

// What a run remembers from epoch to epoch, besides tensors.
struct History {
  std::vector<eval::EpochRecord> epochs;
  double best_validation = 0;
  int64_t epochs_without_gain = 0;
  std::vector<double> schedule_state;
};

std::string history_to_json(const History& history);
// UserError naming `where` when the text is not such a history.
History history_from_json(const std::string& text, const std::string& where);

// "epoch 3/10: loss 0.9123, accuracy 67.8 %, validation ..., 12.1 s".
std::string epoch_text(const eval::EpochRecord& record, int64_t epochs);

}  // namespace wafer
