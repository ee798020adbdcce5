#include "wafer/base/log.h"

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <vector>

#include "wafer/base/env.h"
#include "wafer/base/strings.h"

namespace wafer {

namespace {
constexpr const char* level_names[] = {"error", "warn", "info", "debug"};

struct Settings {
  LogLevel level = LogLevel::warn;
  std::vector<std::string> topics;
};

const Settings& settings() {
  static const Settings parsed = [] {
    Settings result;
    for (const auto& word : split(environment("WAFER_LOG").value_or(""), ',')) {
      bool is_level = false;
      for (int level = 0; level < 4; ++level) {
        if (word != level_names[level]) continue;
        result.level = static_cast<LogLevel>(level);
        is_level = true;
      }
      if (!is_level && !word.empty()) result.topics.push_back(word);
    }
    return result;
  }();
  return parsed;
}

void write_line(const char* prefix, const std::string& text) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  std::fprintf(stderr, "wafer %s: %s\n", prefix, text.c_str());
}
}  // namespace

bool log_enabled(LogLevel level) {
  return level <= settings().level;
}

bool log_enabled(const char* topic) {
  const auto& topics = settings().topics;
  return std::find(topics.begin(), topics.end(), topic) != topics.end();
}

void log(LogLevel level, const std::string& text) {
  if (log_enabled(level)) write_line(level_names[static_cast<int>(level)], text);
}

void log(const char* topic, const std::string& text) {
  if (log_enabled(topic)) write_line(topic, text);
}

}  // namespace wafer
