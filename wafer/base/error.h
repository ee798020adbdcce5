#pragma once
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace wafer {

// Joins the arguments as text, each as `<<` prints it.
template <class... Args>
std::string str(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

// The base of everything this library throws on purpose. what() is text for a person:
// `[where] what; got ...; expected ...; hint (at module.path)`.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The parts of a message besides where and what; empty parts are left out of the text.
struct ErrorDetail {
  std::string got, expected, hint;
};

// The user's input is wrong: exit code 2 on the command line.
class UserError : public Error {
 public:
  explicit UserError(const std::string& text) : Error(text) {}
  // where: the op, file or option at fault, printed in brackets.
  UserError(const std::string& where, const std::string& what, const ErrorDetail& detail = {});
};

// A defect of this library: exit code 1, and the text says what to report.
class InternalError : public Error {
 public:
  explicit InternalError(const std::string& text);
};

namespace detail {
[[noreturn]] void throw_internal(const char* file, int line, const char* condition,
                                 const std::string& text);
}  // namespace detail

}  // namespace wafer

// An invariant of this library; the arguments after the condition are joined into the message.
#define WAFER_CHECK(condition, ...)                                                 \
  do {                                                                              \
    if (!(condition))                                                               \
      ::wafer::detail::throw_internal(__FILE__, __LINE__, #condition,               \
                                      ::wafer::str("" __VA_OPT__(, ) __VA_ARGS__)); \
  } while (false)

// A condition on the user's input; the arguments after `where` are joined into the message.
#define WAFER_REQUIRE(condition, where, ...)                                      \
  do {                                                                            \
    if (!(condition)) throw ::wafer::UserError(where, ::wafer::str(__VA_ARGS__)); \
  } while (false)
