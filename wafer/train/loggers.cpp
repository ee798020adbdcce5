#include "wafer/train/loggers.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "wafer/base/env.h"
#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/io/file.h"

namespace wafer {

namespace {
std::FILE* open_or_fail(const std::string& path, const char* mode) {
  std::FILE* file = std::fopen(path.c_str(), mode);
  if (!file) io::throw_system_error(path, "open the log for writing", errno);
  return file;
}

void write_or_fail(std::FILE* file, const std::string& path, std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), file) != text.size() || std::fflush(file) != 0) {
    io::throw_system_error(path, "write the log", errno);
  }
}

std::string csv_field(const std::string& field) {
  if (field.find_first_of(",\"\r\n") == field.npos) return field;
  std::string result = "\"";
  for (char c : field) result += c == '"' ? std::string("\"\"") : std::string(1, c);
  return result + '"';
}

// The header and the whole rows of `text` with an index of at most `last`.
std::string kept_rows(const std::string& path, const std::string& text, const std::string& header,
                      int64_t last) {
  size_t end = text.find('\n');
  if (end == text.npos) return header;
  if (text.substr(0, end + 1) != header) {
    throw UserError(path, "the log of the run to resume has other columns",
                    {.got = trim(text.substr(0, end)),
                     .expected = trim(header),
                     .hint = "move the file away to start a new log"});
  }
  std::string kept = header;
  for (size_t begin = end + 1; begin < text.size(); begin = end + 1) {
    end = text.find('\n', begin);
    if (end == text.npos) break;
    int64_t index = 0;
    auto parsed = std::from_chars(text.data() + begin, text.data() + end, index);
    if (parsed.ec != std::errc() || index > last) continue;
    kept += text.substr(begin, end + 1 - begin);
  }
  return kept;
}
}  // namespace

CsvLogger::CsvLogger(std::string path, std::string index, std::vector<std::string> columns,
                     std::optional<int64_t> resume_after)
    : path_(std::move(path)), columns_(columns.size()) {
  std::string header = csv_field(index);
  for (const auto& column : columns) header += "," + csv_field(column);
  header += "\n";
  std::string contents = header;
  if (resume_after && std::filesystem::exists(path_)) {
    contents = kept_rows(path_, io::read_text_file(path_), header, *resume_after);
  }
  io::write_file_atomic(path_, contents);
  file_ = open_or_fail(path_, "ab");
}

CsvLogger::~CsvLogger() {
  std::fclose(file_);
}

void CsvLogger::log(int64_t index, std::span<const std::optional<double>> values) {
  WAFER_CHECK(values.size() == columns_, "a row of ", values.size(), " values for ", columns_,
              " columns");
  std::string row = std::to_string(index);
  for (const auto& value : values) {
    row += ',';
    if (!value) continue;
    char text[32];
    row.append(text, std::to_chars(text, text + sizeof text, *value).ptr);
  }
  write_or_fail(file_, path_, row + "\n");
}

uint32_t crc32c(std::string_view bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> entries{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = value & 1 ? (value >> 1) ^ 0x82F63B78u : value >> 1;
      entries[i] = value;
    }
    return entries;
  }();
  uint32_t crc = ~0u;
  for (char c : bytes) crc = table[(crc ^ static_cast<uint8_t>(c)) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

namespace {
template <class Integer>
void append_little_endian(std::string& out, Integer value) {
  for (size_t i = 0; i < sizeof value; ++i) out += static_cast<char>(value >> (8 * i));
}

uint32_t masked_crc(std::string_view bytes) {
  uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

// Protocol buffer wire format: a field is (number << 3 | wire type), then its value.
void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}
void append_integer(std::string& out, uint32_t field, int64_t value) {
  append_varint(out, field << 3 | 0);
  append_varint(out, static_cast<uint64_t>(value));
}
void append_double(std::string& out, uint32_t field, double value) {
  append_varint(out, field << 3 | 1);
  append_little_endian(out, std::bit_cast<uint64_t>(value));
}
void append_bytes(std::string& out, uint32_t field, std::string_view value) {
  append_varint(out, field << 3 | 2);
  append_varint(out, value.size());
  out += value;
}
void append_float(std::string& out, uint32_t field, float value) {
  append_varint(out, field << 3 | 5);
  append_little_endian(out, std::bit_cast<uint32_t>(value));
}

// Field numbers of tensorflow.Event, .Summary, .Summary.Value and .SessionLog.
constexpr uint32_t event_wall_time = 1, event_step = 2, event_file_version = 3, event_summary = 5,
                   event_session_log = 7;
constexpr uint32_t summary_value = 1, value_tag = 1, value_simple_value = 2;
constexpr uint32_t session_log_status = 1;
constexpr int64_t session_start = 1;

std::string event_at(int64_t step) {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  std::string event;
  append_double(event, event_wall_time, std::chrono::duration<double>(now).count());
  append_integer(event, event_step, step);
  return event;
}
}  // namespace

std::string tfrecord(std::string_view data) {
  std::string record;
  append_little_endian(record, static_cast<uint64_t>(data.size()));
  append_little_endian(record, masked_crc(record));
  record += data;
  append_little_endian(record, masked_crc(data));
  return record;
}

TensorBoardLogger::TensorBoardLogger(const std::string& folder,
                                     std::optional<int64_t> resume_after) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    throw UserError(folder, "the folder for the log cannot be made", {.got = error.message()});
  }
  // TensorBoard reads the files of a folder in the order of their names.
  std::string stem = str(folder, "/events.out.tfevents.", std::time(nullptr), ".", getpid());
  path_ = stem + ".wafer";
  for (int i = 1; std::filesystem::exists(path_); ++i) path_ = str(stem, ".", i, ".wafer");
  file_ = open_or_fail(path_, "wb");
  std::string version = event_at(0);
  append_bytes(version, event_file_version, "brain.Event:2");
  write(version);
  if (resume_after) {
    std::string start, event = event_at(*resume_after + 1);
    append_integer(start, session_log_status, session_start);
    append_bytes(event, event_session_log, start);
    write(event);
  }
}

TensorBoardLogger::~TensorBoardLogger() {
  std::fclose(file_);
}

void TensorBoardLogger::log(int64_t step, std::span<const Scalar> scalars) {
  std::string summary;
  for (const auto& [tag, number] : scalars) {
    std::string value;
    append_bytes(value, value_tag, tag);
    append_float(value, value_simple_value, static_cast<float>(number));
    append_bytes(summary, summary_value, value);
  }
  std::string event = event_at(step);
  append_bytes(event, event_summary, summary);
  write(event);
}

void TensorBoardLogger::write(std::string_view event) {
  write_or_fail(file_, path_, tfrecord(event));
}

namespace {
std::string format(const char* pattern, double value) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

double steady_seconds() {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now).count();
}

bool can_redraw(std::FILE* out) {
  return !environment("NO_COLOR") && isatty(fileno(out)) == 1;
}

size_t terminal_width(std::FILE* out, int configured) {
  if (configured > 0) return static_cast<size_t>(configured);
  winsize size{};
  if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}
}  // namespace

std::string progress_text(const Progress& progress) {
  std::vector<std::string> parts;
  parts.push_back(str("epoch ", progress.epoch, "/", progress.epochs));
  parts.push_back(str("step ", progress.step, "/", progress.steps));
  if (progress.loss) parts.push_back("loss " + format("%.4f", *progress.loss));
  if (progress.accuracy) parts.push_back("accuracy " + format("%.2f %%", *progress.accuracy * 100));
  if (progress.samples_per_second) {
    auto rate = std::llround(*progress.samples_per_second);
    parts.push_back(human_count(rate) + " samples/s");
  }
  if (progress.seconds_left) parts.push_back("left " + human_seconds(*progress.seconds_left));
  if (progress.resident_bytes) {
    parts.push_back(human_bytes(static_cast<double>(*progress.resident_bytes)));
  }
  if (progress.data_wait_percent) {
    parts.push_back("data wait " + format("%.1f %%", *progress.data_wait_percent));
  }
  return join(parts, "  ");
}

ProgressLine::ProgressLine() : ProgressLine(Options{}) {}

ProgressLine::ProgressLine(Options options) : options_(std::move(options)) {
  terminal_ = options_.terminal.value_or(can_redraw(options_.out));
  if (!options_.clock) options_.clock = steady_seconds;
}

ProgressLine::~ProgressLine() {
  finish();
}

void ProgressLine::update(const Progress& progress) {
  double now = options_.clock();
  double interval = terminal_ ? options_.terminal_interval : options_.plain_interval;
  bool last_step = progress.step == progress.steps;
  if (last_ && now - *last_ < interval && !last_step) return;
  last_ = now;
  std::string text = progress_text(progress);
  if (!terminal_) {
    std::fprintf(options_.out, "%s\n", text.c_str());
  } else {
    // One column stays free: some terminals wrap when the last is written.
    size_t width = terminal_width(options_.out, options_.width);
    if (text.size() + 1 > width) text.resize(width - 1);
    std::fprintf(options_.out, "\r%s\x1b[K", text.c_str());
    drawn_ = true;
  }
  std::fflush(options_.out);
}

void ProgressLine::print(const std::string& line) {
  std::fprintf(options_.out, drawn_ ? "\r\x1b[K%s\n" : "%s\n", line.c_str());
  std::fflush(options_.out);
  drawn_ = false;
}

void ProgressLine::finish() {
  if (drawn_) std::fputc('\n', options_.out);
  std::fflush(options_.out);
  drawn_ = false;
}

std::optional<int64_t> resident_memory() {
  std::ifstream in("/proc/self/statm");
  int64_t total = 0, resident = 0;
  if (!(in >> total >> resident)) return std::nullopt;
  return resident * sysconf(_SC_PAGESIZE);
}

}  // namespace wafer
