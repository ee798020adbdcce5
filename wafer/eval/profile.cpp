#include "wafer/eval/profile.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "wafer/base/strings.h"
#include "wafer/runtime/peak.h"

namespace wafer::eval {

namespace {
bool works_on_bf16(const StepInfo& step) {
  return step.node && !step.node->inputs.empty() && step.node->inputs[0].dtype() == DType::bf16;
}
}  // namespace

Profile start_profile(const Artifact& artifact, Device& device) {
  Profile profile;
  profile.device = device.info().name + ": " + device.info().description;
  if (auto peaks = measured_peaks(device)) {
    profile.peak_gflops = peaks->f32_flops * 1e-9;
    if (peaks->bf16_flops > 0) profile.peak_bf16_gflops = peaks->bf16_flops * 1e-9;
    profile.peak_gbytes = peaks->memory_bytes * 1e-9;
  }
  for (size_t i = 0; i < artifact.steps.size(); ++i) {
    const StepInfo& step = artifact.steps[i];
    profile.nodes.push_back({.name = str(step.op, "#", i),
                             .module = step.path,
                             .op = step.op,
                             .kernel = step.kernel,
                             .flops = step.cost.flops,
                             .bytes = step.cost.bytes,
                             .bf16 = works_on_bf16(step)});
  }
  return profile;
}

void multiply_costs_by_calls(Profile& profile) {
  for (ProfileNode& node : profile.nodes) {
    node.flops *= static_cast<double>(node.calls);
    node.bytes *= static_cast<double>(node.calls);
  }
}

std::optional<double> roofline_seconds(const Profile& profile, double flops, double bytes,
                                       bool bf16) {
  double least = 0;
  auto peak = bf16 && profile.peak_bf16_gflops ? profile.peak_bf16_gflops : profile.peak_gflops;
  if (peak && *peak > 0) least = std::max(least, flops / (*peak * 1e9));
  if (profile.peak_gbytes && *profile.peak_gbytes > 0) {
    least = std::max(least, bytes / (*profile.peak_gbytes * 1e9));
  }
  if (least == 0) return std::nullopt;
  return least;
}

namespace {
template <class NameOf>
std::vector<ProfileRow> grouped(const Profile& profile, NameOf name_of) {
  std::vector<ProfileRow> rows;
  std::map<std::string, size_t> index;
  double total = 0;
  for (const auto& node : profile.nodes) {
    auto [at, added] = index.try_emplace(name_of(node), rows.size());
    if (added) rows.push_back({.name = at->first});
    ProfileRow& row = rows[at->second];
    row.calls += node.calls;
    row.seconds += node.seconds;
    row.flops += node.flops;
    row.bytes += node.bytes;
    if (auto least = roofline_seconds(profile, node.flops, node.bytes, node.bf16)) {
      row.roofline = row.roofline.value_or(0) + *least;
    }
    total += node.seconds;
  }
  for (auto& row : rows) {
    if (total > 0) row.share = row.seconds / total;
    if (row.seconds <= 0) row.roofline.reset();
    if (row.roofline) *row.roofline /= row.seconds;
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  return rows;
}

std::string format(const char* pattern, double value) {
  char text[48];
  std::snprintf(text, sizeof text, pattern, value);
  return text;
}

void append_cell(std::string& line, const std::string& text, size_t width, bool left) {
  std::string blank(width > text.size() ? width - text.size() : 0, ' ');
  line += left ? text + blank : "  " + blank + text;
}

std::string table(const std::string& title, const std::vector<ProfileRow>& rows, int64_t steps) {
  std::vector<std::vector<std::string>> cells = {
      {title, "calls", "ms/step", "share", "GFLOP/s", "GB/s", "roofline"}};
  double divisor = static_cast<double>(std::max<int64_t>(steps, 1));
  auto rate = [](double amount, double seconds) {
    return seconds > 0 && amount > 0 ? format("%.1f", amount / seconds / 1e9) : "-";
  };
  for (const auto& row : rows) {
    cells.push_back({row.name, std::to_string(row.calls),
                     format("%.3f", row.seconds / divisor * 1e3),
                     format("%.1f %%", row.share * 100), rate(row.flops, row.seconds),
                     rate(row.bytes, row.seconds),
                     row.roofline ? format("%.0f %%", *row.roofline * 100) : "-"});
  }
  std::vector<size_t> widths(cells[0].size());
  for (const auto& row : cells) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : cells) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) append_cell(line, row[i], widths[i], i == 0);
    text += line + "\n";
  }
  return text;
}
}  // namespace

std::vector<ProfileRow> by_layer(const Profile& profile) {
  return grouped(profile, [](const ProfileNode& node) {
    return node.module.empty() ? "(" + node.op + ")" : node.module;
  });
}

std::vector<ProfileRow> by_kernel(const Profile& profile) {
  return grouped(profile, [](const ProfileNode& node) {
    return node.kernel.empty() ? "(" + node.op + ")" : node.kernel;
  });
}

std::string peaks_text(const Profile& profile) {
  std::string text;
  if (profile.peak_gflops) text += format("%.0f GFLOP/s", *profile.peak_gflops);
  if (profile.peak_bf16_gflops) text += format(" (%.0f in bf16)", *profile.peak_bf16_gflops);
  if (profile.peak_gbytes)
    text += (text.empty() ? "" : " and ") + format("%.1f GB/s", *profile.peak_gbytes);
  return text;
}

std::string profile_text(const Profile& profile) {
  std::string text = "Device " + profile.device, peaks = peaks_text(profile);
  if (!peaks.empty()) text += ", measured peaks " + peaks;
  text += "; " + human_count(profile.steps) + (profile.steps == 1 ? " step\n\n" : " steps\n\n");
  text += table("layer", by_layer(profile), profile.steps) + "\n";
  text += table("kernel", by_kernel(profile), profile.steps);
  if (profile.wall_seconds > 0) {
    double busy = 0;
    for (const auto& node : profile.nodes) busy += node.seconds;
    double share = std::max(0.0, 1 - busy / profile.wall_seconds);
    text += format("\nOutside of nodes: %.1f %% of the wall time\n", share * 100);
  }
  return text;
}

std::string chrome_trace(std::span<const TraceEvent> events, const std::string& process_name,
                         std::span<const std::pair<int64_t, std::string>> thread_names) {
  using nlohmann::json;
  json list = json::array();
  auto metadata = [&](const char* what, int64_t thread, const std::string& name) {
    list.push_back(
        {{"name", what}, {"ph", "M"}, {"pid", 1}, {"tid", thread}, {"args", {{"name", name}}}});
  };
  metadata("process_name", 0, process_name);
  for (const auto& [thread, name] : thread_names) metadata("thread_name", thread, name);
  for (const auto& event : events) {
    json entry = {{"name", event.name},
                  {"cat", event.category},
                  {"ph", "X"},
                  {"pid", 1},
                  {"tid", event.thread},
                  {"ts", event.start_seconds * 1e6},
                  {"dur", event.seconds * 1e6}};
    for (const auto& [key, value] : event.arguments) entry["args"][key] = value;
    list.push_back(std::move(entry));
  }
  json trace = {{"traceEvents", std::move(list)}, {"displayTimeUnit", "ms"}};
  return trace.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace wafer::eval
