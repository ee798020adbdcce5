#include <dlfcn.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "wafer/base/cache_folder.h"
#include "wafer/base/error.h"
#include "wafer/base/log.h"
#include "wafer/base/threads.h"
#include "wafer/io/file.h"
#include "wafer/select/calibration.h"
#include "wafer/select/calibration_graphs.h"
#include "wafer/select/gauge.h"

namespace wafer::select {

namespace {
namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int format = 5;

// Other code is calibrated anew: where this library lies, its size and time of change.
std::string build_stamp() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&save_calibration), &info) == 0 || !info.dli_fname)
    return "static";
  std::error_code ignored;
  fs::path library = info.dli_fname;
  return str(fs::file_size(library, ignored), " ",
             fs::last_write_time(library, ignored).time_since_epoch().count());
}

fs::path file_for(const std::string& device, int threads) {
  fs::path folder = cache_folder();
  if (folder.empty()) return {};
  std::string key = str(device, '\n', threads, '\n', format, '\n', build_stamp());
  return folder / str("calibration-", std::hash<std::string>()(key), ".json");
}

// Rates must be positive numbers: a file that was edited or damaged must not lead to nonsense.
double positive(const Json& value, bool zero_too = false) {
  auto number = value.get<double>();
  if (!(number > 0 || (zero_too && number == 0)) || !(number < 1e30))
    throw std::out_of_range("a rate that is not a positive number");
  return number;
}
// Whether the machine is seen, within a second, at the speed at which it was measured.
bool still_runs_as(const Calibration& calibration, Device& device) {
  return Gauge(device, calibration.threads, calibration.gauge_seconds).await(1);
}
}  // namespace

void save_calibration(const Calibration& c, const fs::path& path) {
  Json json{{"format", format},
            {"device", c.device},
            {"threads", c.threads},
            {"flops_per_second", c.flops_per_second},
            {"bandwidth", c.bandwidth},
            {"element_seconds", c.element_seconds},
            {"run_seconds", c.run_seconds},
            {"step_seconds", c.step_seconds},
            {"iteration_seconds", c.iteration_seconds},
            {"gauge_seconds", c.gauge_seconds},
            {"disturbed", c.disturbed},
            {"samples", Json::array()}};
  for (const Sample& s : c.samples)
    json["samples"].push_back({{"kind", s.kind}, {"size", s.size}, {"ratio", s.ratio}});
  std::error_code ignored;
  fs::create_directories(path.parent_path(), ignored);
  io::write_file_atomic(path, json.dump());
}

Calibration load_calibration(const fs::path& path) {
  try {
    Json json = Json::parse(io::read_text_file(path, 64 << 20));
    if (json.at("format") != format) throw std::out_of_range("another format");
    Calibration c;
    c.device = json.at("device");
    c.threads = json.at("threads");
    for (const auto& [dtype, rate] : json.at("flops_per_second").items())
      c.flops_per_second[dtype] = positive(rate);
    if (!c.flops_per_second.contains("f32")) throw std::out_of_range("no rate of f32");
    for (const Json& point : json.at("bandwidth"))
      c.bandwidth.emplace_back(positive(point.at(0)), positive(point.at(1)));
    if (c.bandwidth.empty()) throw std::out_of_range("no bandwidth");
    for (const auto& [name, value] : json.at("element_seconds").items())
      c.element_seconds[name] = positive(value);
    c.run_seconds = positive(json.at("run_seconds"), true);
    c.step_seconds = positive(json.at("step_seconds"), true);
    c.iteration_seconds = positive(json.at("iteration_seconds"), true);
    for (const Json& seconds : json.at("gauge_seconds"))
      c.gauge_seconds.push_back(positive(seconds));
    if (!c.gauge_seconds.empty() && c.gauge_seconds.size() != gauge_graphs(false).size())
      throw std::out_of_range("readings of another gauge");
    c.disturbed = json.at("disturbed");
    for (const Json& sample : json.at("samples"))
      c.samples.push_back({sample.at("kind"), sample.at("size").get<std::vector<double>>(),
                           positive(sample.at("ratio"))});
    return c;
  } catch (const UserError&) {
    throw;
  } catch (const std::exception& error) {
    throw UserError(path.string(), str("not a calibration of this version: ", error.what()),
                    {.hint = "remove the file; it is measured again"});
  }
}

void keep_calibration(const Calibration& calibration) {
  fs::path path = file_for(calibration.device, calibration.threads);
  if (path.empty()) return;
  try {
    save_calibration(calibration, path);
  } catch (const UserError& error) {
    log(LogLevel::warn, str("the measured rates are not kept: ", error.what()));
  }
}

std::shared_ptr<const Calibration> calibrate(Device& device, int threads) {
  ThreadCountScope scope(threads);
  std::string name = device.info().name + ": " + device.info().description;
  fs::path path = file_for(name, threads);
  std::error_code ignored;
  if (!path.empty() && fs::exists(path, ignored)) {
    try {
      Calibration cached = load_calibration(path);
      if (cached.device == name && cached.threads == threads && !cached.disturbed &&
          still_runs_as(cached, device))
        return std::make_shared<const Calibration>(std::move(cached));
    } catch (const UserError& error) {
      log(LogLevel::warn, str("measuring again: ", error.what()));
    }
  }
  log(LogLevel::info, str("measuring ", name, " with ", threads, " threads"));
  Calibration measured = measure_calibration(device, threads);
  if (measured.disturbed) {
    log(LogLevel::warn,
        "other work runs on this machine: predictions may be off; devices are "
        "measured again next time");
  }
  keep_calibration(measured);
  return std::make_shared<const Calibration>(std::move(measured));
}

}  // namespace wafer::select
