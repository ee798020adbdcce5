#include <filesystem>
#include <fstream>
#include <iostream>

#include "wafer/base/cache_folder.h"
#include "wafer/base/env.h"
#include "wafer/base/process.h"
#include "wafer/base/strings.h"
#include "wafer/base/threads.h"
#include "wafer/cli/command.h"
#include "wafer/data/registry.h"
#include "wafer/io/file.h"
#include "wafer/op/matmul.h"
#include "wafer/runtime/registry.h"
#include "wafer/select/calibration.h"
#include "wafer/tensor/eval.h"

#ifndef WAFER_VERSION
#define WAFER_VERSION "unknown"
#endif

namespace wafer::cli {

namespace {
namespace fs = std::filesystem;

enum class Status { ok, warn, fail };

struct Check {
  std::string name;
  Status status = Status::ok;
  std::string text;
  std::string mend;  // what to do about it
};

Check check_build() {
  Check check{"build", Status::ok, str("wafer ", WAFER_VERSION), ""};
#if defined(__clang__)
  check.text += str(", Clang ", __VERSION__);
#elif defined(__GNUC__)
  check.text += str(", GCC ", __VERSION__);
#endif
#ifdef WAFER_ONEDNN_VERSION
  check.text += str(", oneDNN ", WAFER_ONEDNN_VERSION);
#else
  check.status = Status::warn;
  check.text += ", without oneDNN";
  check.mend =
      "convolutions and products run on this library's own kernels; run scripts/setup.sh and build "
      "again";
#endif
#ifndef __OPTIMIZE__
  check.status = Status::warn;
  check.text += ", not optimised";
  check.mend = "it runs slower; build with the preset `release`";
#endif
  return check;
}

Check check_device() {
  for (const Backend& backend : backends()) {
    if (backend.name != "cpu") continue;
    if (backend.devices.empty())
      return {"cpu", Status::fail, "absent: " + backend.absent_reason, "build again"};
    Check check{"cpu", Status::ok, backend.devices[0]->info().description, ""};
    if (auto isa = environment("WAFER_ISA")) {
      check.status = Status::warn;
      check.text += ", capped by WAFER_ISA=" + *isa;
      check.mend = "unset WAFER_ISA to use every instruction set of this CPU";
    }
    return check;
  }
  return {"cpu", Status::fail, "this build has no cpu device", "build with backend/cpu"};
}

// A small product on the default device against the reference.
Check check_arithmetic() {
  constexpr int64_t size = 64;
  std::vector<float> values(size * size);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 31 % 17) - 8;
  auto product = [&](const std::string& name) {
    Tensor a = Tensor::from_values(values, Shape{size, size}), y = matmul(a, a, false, true);
    evaluate({y}, device(name));
    return y.data<float>();
  };
  std::string name = default_device()->info().name;
  bool same = product(name) == product("reference");
  if (same)
    return {"arithmetic", Status::ok, str("a product of whole numbers on ", name, " is exact"), ""};
  return {"arithmetic", Status::fail, str("a product of whole numbers on ", name, " is wrong"),
          "please report this with the output of this command"};
}

Check check_threads() {
  int cpus = available_cpus(), threads = thread_count();
  Check check{"threads", Status::ok, str(threads, " of ", cpus, " CPUs that this process may use"),
              ""};
  if (threads > cpus) {
    check.status = Status::warn;
    check.mend = str("more threads than CPUs run slower; set WAFER_THREADS=", cpus);
  } else if (threads < cpus) {
    check.text += environment("WAFER_THREADS") ? " (WAFER_THREADS)" : "";
  }
  return check;
}

Check check_cache() {
  fs::path folder = cache_folder();
  if (folder.empty()) {
    return {"cache", Status::warn, "no folder: neither WAFER_CACHE nor HOME is set",
            "set WAFER_CACHE; until then data is decoded and the device measured each time"};
  }
  try {
    std::error_code error;
    fs::create_directories(folder, error);
    fs::path probe = folder / "doctor";
    io::write_file_atomic(probe, std::string_view("probe"));
    fs::remove(probe, error);
    return {"cache", Status::ok, folder.string() + " can be written", ""};
  } catch (const UserError& error) {
    return {"cache", Status::warn, error.what(), "set WAFER_CACHE to a folder that can be written"};
  }
}

Check check_data() {
  std::vector<std::string> found, missing;
  for (const auto& set : data::known_sets()) {
    if (set.kind == "drawn") continue;
    (data::find(set.name) ? found : missing).push_back(set.name);
  }
  Check check{"data", Status::ok, str("found: ", found.empty() ? "none" : join(found, ", ")), ""};
  if (!missing.empty()) check.text += "; not found: " + join(missing, ", ");
  if (found.empty()) {
    check.status = Status::warn;
    check.mend = "`wafer data` says where sets are looked for and how to get them";
  }
  return check;
}

Check check_disk() {
  std::error_code error;
  auto space = fs::space(".", error);
  if (error) return {"disk", Status::warn, "free space here is not known: " + error.message(), ""};
  Check check{"disk", Status::ok, human_bytes(static_cast<double>(space.available)) + " free here",
              ""};
  if (space.available < (1ull << 30)) {
    check.status = Status::warn;
    check.mend = "checkpoints may not fit: free some space or pass --out elsewhere";
  }
  return check;
}

// A line such as "MemAvailable:  123 kB", in bytes.
double meminfo(const std::string& key) {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  double kilobytes = 0;
  while (file >> name >> kilobytes && std::getline(file, unit)) {
    if (name == key + ":") return kilobytes * 1024;
  }
  return 0;
}

Check check_memory() {
  double total = meminfo("MemTotal"), available = meminfo("MemAvailable");
  if (total == 0) return {"memory", Status::warn, "the system does not tell", ""};
  Check check{"memory", Status::ok,
              str(human_bytes(available), " of ", human_bytes(total), " available, ",
                  human_bytes(static_cast<double>(resident_bytes())), " used by this process"),
              ""};
  if (available < 1e9) {
    check.status = Status::warn;
    check.mend = "end other programs, or train with a smaller batch";
  }
  return check;
}

Outcome examine() {
  Outcome outcome;
  outcome.json["checks"] = Json::array();
  int warnings = 0, failures = 0;
  for (const Check& check : {check_build(), check_device(), check_arithmetic(), check_threads(),
                             check_cache(), check_data(), check_disk(), check_memory()}) {
    const char* status = check.status == Status::ok     ? "ok"
                         : check.status == Status::warn ? "warn"
                                                        : "FAIL";
    warnings += check.status == Status::warn;
    failures += check.status == Status::fail;
    std::cout << (check.status == Status::ok     ? "ok    "
                  : check.status == Status::warn ? "warn  "
                                                 : "FAIL  ")
              << check.name << ": " << check.text << "\n";
    if (!check.mend.empty()) std::cout << "        " << check.mend << "\n";
    outcome.json["checks"].push_back({{"name", check.name},
                                      {"status", lower(status)},
                                      {"text", check.text},
                                      {"mend", check.mend}});
  }
  std::cout << (failures   ? "something is wrong; see the lines with FAIL\n"
                : warnings ? "wafer works; see the lines with warn\n"
                           : "all is well\n");
  outcome.exit_code = failures ? 1 : 0;
  outcome.json["ok"] = failures == 0;
  return outcome;
}
}  // namespace

void add_doctor(CommandLine& line) {
  line.add("doctor", "check this build and machine, and say how to mend what is wrong",
           "wafer doctor", [](const Common&) { return examine(); });
}

}  // namespace wafer::cli
