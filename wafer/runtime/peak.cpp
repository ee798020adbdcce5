#include "wafer/runtime/peak.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "wafer/base/cache_folder.h"
#include "wafer/base/log.h"
#include "wafer/io/file.h"

namespace wafer {

namespace {
namespace fs = std::filesystem;

// One file a key; empty where there is no folder to keep it in.
fs::path file_of(const std::string& key) {
  fs::path folder = cache_folder();
  if (folder.empty()) return {};
  std::string name = "peaks-";
  for (char c : key) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return folder / (name + ".json");
}

std::optional<Peaks> load(const std::string& key) {
  fs::path file = file_of(key);
  std::error_code status;
  if (file.empty() || !fs::exists(file, status)) return std::nullopt;
  try {
    // What does not parse was not written by this program: it is measured again.
    auto json = nlohmann::json::parse(io::read_text_file(file, 1 << 16));
    if (json.at("key") != key) return std::nullopt;
    Peaks peaks{json.at("f32_flops"), json.at("bf16_flops"), json.at("memory_bytes")};
    bool sensible = peaks.f32_flops > 0 && peaks.bf16_flops >= 0 && peaks.memory_bytes > 0;
    return sensible ? std::optional(peaks) : std::nullopt;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

void save(const std::string& key, const Peaks& peaks) {
  fs::path file = file_of(key);
  if (file.empty()) return;
  nlohmann::json json = {{"key", key},
                         {"f32_flops", peaks.f32_flops},
                         {"bf16_flops", peaks.bf16_flops},
                         {"memory_bytes", peaks.memory_bytes}};
  try {
    fs::create_directories(file.parent_path());
    io::write_file_atomic(file, json.dump(2) + "\n");
  } catch (const std::exception& error) {
    // Without the file the next process measures again: slower, not wrong.
    log(LogLevel::warn, str("measured peaks are not kept: ", error.what()));
  }
}
}  // namespace

std::optional<Peaks> measured_peaks(Device& device, bool again) {
  auto* probe = dynamic_cast<PeakProbe*>(&device);
  if (probe == nullptr) return std::nullopt;
  static std::mutex mutex;
  static std::map<std::string, Peaks> known;
  std::lock_guard lock(mutex);
  std::string key = str(device.info().name, ": ", probe->peak_key());
  auto found = known.find(key);
  if (found == known.end()) {
    if (auto kept = load(key)) found = known.emplace(key, *kept).first;
  }
  if (found != known.end() && !again) return found->second;
  Peaks peaks = probe->measure_peaks();
  if (found != known.end()) {
    peaks.f32_flops = std::max(peaks.f32_flops, found->second.f32_flops);
    peaks.bf16_flops = std::max(peaks.bf16_flops, found->second.bf16_flops);
    peaks.memory_bytes = std::max(peaks.memory_bytes, found->second.memory_bytes);
  }
  known[key] = peaks;
  save(key, peaks);
  return peaks;
}

}  // namespace wafer
