#pragma once
#include <string>

namespace wafer {

enum class LogLevel { error, warn, info, debug };

// True when WAFER_LOG asks for this level, or for this topic by name (for example "pass").
bool log_enabled(LogLevel level);
bool log_enabled(const char* topic);

// One line on standard error, whole even when threads log at once.
void log(LogLevel level, const std::string& text);
void log(const char* topic, const std::string& text);

}  // namespace wafer
