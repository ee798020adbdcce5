#include <iostream>

#include "wafer/base/strings.h"
#include "wafer/cli/command.h"
#include "wafer/data/load.h"
#include "wafer/data/registry.h"

namespace wafer::cli {

namespace {
Outcome list_sets() {
  Outcome outcome;
  outcome.json["sets"] = Json::array();
  for (const auto& set : data::known_sets()) {
    auto found = data::find(set.name);
    Json entry = {{"name", set.name}, {"kind", set.kind}, {"found", found ? found->string() : ""}};
    std::cout << set.name << " (" << set.kind << "): " << set.what << "\n";
    if (set.kind == "drawn") {
      std::cout << "  always there\n";
    } else if (found) {
      std::cout << "  found: " << found->string() << "\n";
    } else {
      std::cout << "  not found; looked in:\n";
      for (const auto& path : data::search_paths(set.name))
        std::cout << "    " << path.string() << "\n";
      std::cout << "  to get it: " << set.how_to_get << "\n";
    }
    outcome.json["sets"].push_back(entry);
  }
  return outcome;
}

Outcome describe_set(const std::string& name) {
  data::Splits splits = data::load(name);
  const auto& description = splits.description();
  std::cout << description.name << ": " << data::name(description.kind) << " of "
            << Shape(description.shape) << ", task " << data::name(description.task);
  if (!description.classes.empty()) std::cout << ", " << description.classes.size() << " classes";
  std::cout << "\n  from " << (description.where.empty() ? "a generator" : description.where)
            << "\n";
  Outcome outcome;
  outcome.json["name"] = description.name;
  auto part = [&](const char* label, const data::Dataset& dataset) {
    if (dataset.empty()) return;
    std::cout << "  " << label << ": " << human_count(dataset.size()) << " examples\n";
    outcome.json[label] = dataset.size();
  };
  part("train", splits.train);
  part("validation", splits.validation);
  part("test", splits.test);
  if (!splits.note.empty()) std::cout << "  note: " << splits.note << "\n";
  return outcome;
}
}  // namespace

void add_data(CommandLine& line) {
  auto name = std::make_shared<std::string>();
  Command command =
      line.add("data", "list the known data sets, or describe one", "wafer data mnist",
               [name](const Common&) { return name->empty() ? list_sets() : describe_set(*name); });
  command.option("name", *name, "a known set, or a file or folder");
}

}  // namespace wafer::cli
