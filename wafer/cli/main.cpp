#include <csignal>
#include <cstdio>
#include <filesystem>
#include <new>

#include "wafer/base/error.h"
#include "wafer/cli/command.h"

namespace wafer::cli {

namespace {
std::atomic<bool> interrupt_requested = false;

extern "C" void on_interrupt(int signal) {
  if (interrupt_requested.exchange(true)) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

int run(int argc, char** argv) {
  CommandLine line;
  add_devices(line);
  add_select(line);
  add_models(line);
  add_check(line);
  add_train(line);
  add_import(line);
  add_infer(line);
  add_eval(line);
  add_bench(line);
  add_export(line);
  add_data(line);
  add_doctor(line);
  add_demo(line);
  return line.run(argc, argv);
}
}  // namespace

const std::atomic<bool>& catch_interrupts() {
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
  return interrupt_requested;
}

}  // namespace wafer::cli

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is an error of the write
  try {
    return wafer::cli::run(argc, argv);
  } catch (const wafer::UserError& error) {
    std::fprintf(stderr, "wafer: %s\n", error.what());
    return 2;
  } catch (const std::filesystem::filesystem_error& error) {
    std::fprintf(stderr, "wafer: [%s] %s; check the path and the right to it\n",
                 error.path1().c_str(), error.code().message().c_str());
    return 2;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "wafer: not enough memory; use a smaller batch or model\n");
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "wafer: %s\n", error.what());
    return 1;
  }
}
