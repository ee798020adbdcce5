#pragma once
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace wafer {

// Rows of numbers in a CSV file, one row a step or epoch. Each row reaches the file before log()
// returns, so that a killed run loses none.
class CsvLogger {
 public:
  // Starts a new file with a header line: `index` (such as "step") and then `columns`. With
  // `resume_after`, keeps the rows of an existing file whose index is at most that number and
  // appends after them; rows beyond it and a row that was cut off in mid-write are dropped.
  // UserError when the path cannot be written or the file that is there has other columns.
  CsvLogger(std::string path, std::string index, std::vector<std::string> columns,
            std::optional<int64_t> resume_after = {});
  ~CsvLogger();
  CsvLogger(const CsvLogger&) = delete;
  CsvLogger& operator=(const CsvLogger&) = delete;

  // values: one per column; an absent one leaves its field empty. Numbers are written in the
  // shortest form that reads back as the same double.
  void log(int64_t index, std::span<const std::optional<double>> values);

 private:
  std::string path_;
  size_t columns_;
  std::FILE* file_ = nullptr;
};

// CRC-32C (Castagnoli, RFC 3720 appendix B.4).
uint32_t crc32c(std::string_view bytes);

// One record of a TensorBoard event file: length (u64), masked CRC of the length, data, masked CRC
// of the data, all little-endian (TFRecord).
std::string tfrecord(std::string_view data);

// Scalars for TensorBoard, in `folder`/events.out.tfevents.<seconds>.<process>.wafer. Each call is
// flushed.
class TensorBoardLogger {
 public:
  // With `resume_after`, tells TensorBoard to drop what earlier files hold beyond that step.
  explicit TensorBoardLogger(const std::string& folder, std::optional<int64_t> resume_after = {});
  ~TensorBoardLogger();
  TensorBoardLogger(const TensorBoardLogger&) = delete;
  TensorBoardLogger& operator=(const TensorBoardLogger&) = delete;

  using Scalar =
      std::pair<std::string, double>;  // tag such as "train/loss", value (stored as float)
  void log(int64_t step, std::span<const Scalar> scalars);
  const std::string& path() const { return path_; }

 private:
  void write(std::string_view event);
  std::string path_;
  std::FILE* file_ = nullptr;
};

// What the progress line shows; absent parts are left out.
struct Progress {
  int64_t epoch = 0, epochs = 0;         // epoch counts from 1
  int64_t step = 0, steps = 0;           // within the epoch, step counts from 1
  std::optional<double> loss, accuracy;  // accuracy in 0..1
  std::optional<double> samples_per_second;
  std::optional<double> seconds_left;       // of the whole run
  std::optional<int64_t> resident_bytes;    // of this process
  std::optional<double> data_wait_percent;  // share of time spent waiting for data, 0..100
};

std::string progress_text(const Progress& progress);

// Shows progress: one line redrawn in place on a terminal, plain lines elsewhere, in a dumb
// terminal and with NO_COLOR set. Updates that come sooner than the interval after the last one
// shown are dropped, but the last step of an epoch is always shown.
class ProgressLine {
 public:
  struct Options {
    std::FILE* out = stderr;
    std::optional<bool> terminal;    // default: whether `out` is a terminal that may be redrawn
    double terminal_interval = 0.1;  // seconds
    double plain_interval = 10;      // seconds
    int width = 0;                   // columns; 0 asks the terminal
    std::function<double()> clock;   // seconds; default: a steady clock
  };
  ProgressLine();
  explicit ProgressLine(Options options);
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void update(const Progress& progress);
  // A whole line above the progress line, such as the summary of an epoch.
  void print(const std::string& line);
  // Ends the redrawn line, so that what is printed next starts on its own.
  void finish();

 private:
  Options options_;
  bool terminal_;
  bool drawn_ = false;
  std::optional<double> last_;
};

// Resident memory of this process in bytes, or nothing where the system does not tell.
std::optional<int64_t> resident_memory();

}  // namespace wafer
