#include <pthread.h>

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <new>
#include <thread>

#include "wafer/base/error.h"
#include "wafer/cli/command.h"

namespace wafer::cli {

namespace {
std::atomic<bool> interrupts_caught = false, interrupt_requested = false;

sigset_t interrupts() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

void watch_interrupts() {
  sigset_t signals = interrupts();
  while (true) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) continue;
    if (interrupts_caught && !interrupt_requested.exchange(true)) continue;
    std::signal(signal, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
    std::raise(signal);
  }
}

// Interrupts go to a thread of their own, and to no other that this one starts. A handler would run
// on the stack of the thread that it finds, and products of oneDNN for AVX move the stack pointer
// into a piece of the heap: the handler would write over what lies below.
void start_watching() {
  sigset_t signals = interrupts();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread(watch_interrupts).detach();
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
  // A shell may have had them ignored.
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  interrupts_caught = true;
  return interrupt_requested;
}

}  // namespace wafer::cli

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a limit on file sizes is an error of the write
  try {
    wafer::cli::start_watching();
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
