#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/io/helpers.h"

namespace wafer::testing {

// How the wafer program ended and what it wrote.
struct Ran {
  int code = -1;   // exit status; -1 when a signal ended it
  int signal = 0;  // that signal
  std::string out, err;
  double seconds = 0;

  // The last line of standard output.
  nlohmann::json json() const {
    std::string text = out.substr(0, out.find_last_not_of('\n') + 1);
    return nlohmann::json::parse(text.substr(text.find_last_of('\n') + 1));
  }
};

// A run of the wafer program in a folder, with its output in files there.
class Program {
 public:
  Program(const std::filesystem::path& folder, std::vector<std::string> arguments,
          const std::map<std::string, std::string>& environment = {},
          const std::function<void()>& in_child = {})
      : folder_(folder), started_(std::chrono::steady_clock::now()) {
    static int number = 0;
    std::string name = ".output-" + std::to_string(::getpid()) + "-" + std::to_string(++number);
    out_ = folder / (name + ".out");
    err_ = folder / (name + ".err");
    process_ = ::fork();
    if (process_ != 0) return;
    ::unsetenv("WAFER_DATA");  // a test says where its data lie
    for (const auto& [key, value] : environment) ::setenv(key.c_str(), value.c_str(), 1);
    if (in_child) in_child();
    ::setenv("WAFER_CACHE", (folder / "cache").c_str(), 1);
    if (::chdir(folder.c_str()) != 0) ::_exit(126);
    ::dup2(::open("/dev/null", O_RDONLY), 0);
    ::dup2(::open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), 1);
    ::dup2(::open(err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), 2);
    std::string program = WAFER_PROGRAM;
    std::vector<char*> argv{program.data()};
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    ::execv(WAFER_PROGRAM, argv.data());
    ::_exit(127);
  }
  ~Program() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      wait();
    }
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  pid_t id() const { return process_; }
  void signal(int number) { ::kill(process_, number); }
  std::string err() const { return read(err_); }
  // Waits until standard error holds the text; false when the program ended before.
  bool wait_for(const std::string& text) {
    for (int i = 0; i < 6000; ++i) {
      if (err().find(text) != std::string::npos) return true;
      siginfo_t info{};
      ::waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED | WNOHANG | WNOWAIT);
      if (info.si_pid != 0) return err().find(text) != std::string::npos;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  Ran wait() {
    int status = 0;
    ::waitpid(process_, &status, 0);
    process_ = 0;
    Ran ran;
    ran.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    if (WIFEXITED(status)) ran.code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) ran.signal = WTERMSIG(status);
    ran.out = read(out_);
    ran.err = read(err_);
    return ran;
  }

 private:
  static std::string read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::filesystem::path folder_, out_, err_;
  std::chrono::steady_clock::time_point started_;
  pid_t process_ = 0;
};

inline Ran run_wafer(const std::filesystem::path& folder, std::vector<std::string> arguments,
                     const std::map<std::string, std::string>& environment = {}) {
  return Program(folder, std::move(arguments), environment).wait();
}

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

// A table of two numbers and the class that their sum decides.
inline std::string small_table(int rows) {
  std::string text = "x,y,class\n";
  unsigned state = 1;
  auto next = [&] {
    return static_cast<double>((state = state * 1664525u + 1013904223u) >> 16) / 65536.0;
  };
  for (int i = 0; i < rows; ++i) {
    double x = next(), y = next();
    text +=
        std::to_string(x) + "," + std::to_string(y) + "," + (x + y > 1 ? "above" : "below") + "\n";
  }
  return text;
}

}  // namespace wafer::testing
