#include "wafer/base/error.h"

namespace wafer {

namespace {
std::string user_text(const std::string& where, const std::string& what,
                      const ErrorDetail& detail) {
  std::string text = "[" + where + "] " + what;
  if (!detail.got.empty()) text += "; got " + detail.got;
  if (!detail.expected.empty()) text += "; expected " + detail.expected;
  if (!detail.hint.empty()) text += "; " + detail.hint;
  return text;
}
}  // namespace

UserError::UserError(const std::string& where, const std::string& what, const ErrorDetail& detail)
    : Error(user_text(where, what, detail)) {}

InternalError::InternalError(const std::string& text)
    : Error("internal error: " + text +
            " (a defect of wafer: please report this text and what you ran)") {}

namespace detail {
void throw_internal(const char* file, int line, const char* condition, const std::string& text) {
  std::string name = file;
  if (auto at = name.rfind("wafer/"); at != std::string::npos) name = name.substr(at);
  throw InternalError(str(name, ":", line, ": ", condition, text.empty() ? "" : ": ", text));
}
}  // namespace detail

}  // namespace wafer
