#include "wafer/data/load.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "wafer/base/error.h"
#include "wafer/base/philox.h"
#include "wafer/base/strings.h"
#include "wafer/data/cache.h"
#include "wafer/data/decoders.h"
#include "wafer/data/registry.h"
#include "wafer/io/archive.h"

namespace wafer::data {

namespace fs = std::filesystem;

namespace {

bool has_extension(const fs::path& path, std::initializer_list<const char*> endings) {
  std::string name = lower(path.filename().string());
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  return std::any_of(endings.begin(), endings.end(),
                     [&](const char* ending) { return name.ends_with(ending); });
}

// The kind of data that a folder or file looks like, as a name that load() takes.
std::string guess(const fs::path& path) {
  std::error_code ignored;
  if (has_cifar_batches(path)) return "cifar10";
  if (has_idx_files(path)) return "mnist";
  if (const KnownSet* set = find_known_set(path.filename().string())) return set->name;
  if (const KnownSet* set = find_known_set(path.parent_path().filename().string());
      set != nullptr && io::is_archive_name(path)) {
    return set->name;
  }
  if (fs::is_regular_file(path, ignored)) {
    if (has_extension(path, {".csv", ".tsv", ".data"})) return "table";
    if (has_extension(path, {".txt"})) return "text";
    return "images";
  }
  bool table = false, text = false, sound = false;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.is_directory() || io::is_archive_name(entry.path())) return "images";
    table = table || has_extension(entry.path(), {".csv", ".tsv", ".data"});
    text = text || has_extension(entry.path(), {".txt"});
    sound = sound || has_extension(entry.path(), {".wav"});
  }
  if (sound) return "fsdd";
  if (table) return "table";
  if (text) return "text";
  return "images";
}

std::string options_text(const LoadOptions& options) {
  const AudioFormat& audio = options.audio;
  return str(options.image_height, ' ', options.image_width, ' ', options.channels, ' ',
             audio.sample_rate, ' ', audio.samples, ' ', audio.window, ' ', audio.hop, ' ',
             audio.mels, ' ', options.leave_out);
}

Content decode_cached(const std::string& name, const fs::path& path, const LoadOptions& options,
                      Content (*decode)(const fs::path&, const LoadOptions&)) {
  // A folder with one archive: only the archive counts, so that a note beside it changes nothing.
  fs::path archive = only_archive(path);
  Content content = options.cache
                        ? cached(name, archive.empty() ? path : archive, options_text(options),
                                 [&] { return decode(path, options); })
                        : decode(path, options);
  content.description.where = path.string();
  content.description.name = name;
  return content;
}

Splits load_kind(const std::string& name, const fs::path& path, LoadOptions options) {
  if (name == "table" || name == "credit_default" || name == "german_credit") {
    if (name == "credit_default") {
      if (options.target.empty()) options.target = "Y";
      if (options.drop.empty()) options.drop = {"ID"};
      if (options.categorical.empty()) options.categorical = {"X2", "X3", "X4"};
    }
    return load_table(path, options, name);
  }
  if (name == "text" || name == "tiny_shakespeare") return load_text(path, options, name);
  if (name == "mnist") return make_splits(decode_idx(path));
  if (name == "fsdd") return make_splits(decode_cached(name, path, options, decode_spoken_digits));
  if (name == "cifar10" && has_cifar_batches(path)) {
    if (only_archive(path).empty()) return make_splits(decode_cifar_batches(path));
    return make_splits(decode_cached(
        name, path, options,
        [](const fs::path& source, const LoadOptions&) { return decode_cifar_batches(source); }));
  }
  return make_splits(decode_cached(name, path, options, decode_images));
}

[[noreturn]] void not_found(const KnownSet& set) {
  std::vector<std::string> places;
  for (const fs::path& path : search_paths(set.name)) places.push_back(path.string());
  throw UserError(
      set.name, "the data set was not found; looked in " + join(places, ", "),
      {.hint = "get " + set.how_to_get + "; put it in one of these folders or give its path"});
}

// The chosen examples (true) of a share of the set: the same share of each class, whole groups
// together.
std::vector<bool> choose(const Dataset& set, double share, uint64_t seed, uint64_t purpose) {
  auto count = static_cast<size_t>(set.size());
  bool classes = set.task() == Task::classification;
  // Units that stay together, by class: a group, or an example of no group.
  std::map<int64_t, std::vector<std::vector<size_t>>> units;
  std::map<std::pair<int64_t, int64_t>, size_t> group_unit;
  for (size_t i = 0; i < count; ++i) {
    auto index = static_cast<int64_t>(i);
    int64_t label = classes ? set.label(index) : 0, group = set.group(index);
    auto& list = units[label];
    if (group >= 0) {
      auto [place, added] = group_unit.emplace(std::pair{label, group}, list.size());
      if (!added) {
        list[place->second].push_back(i);
        continue;
      }
    }
    list.push_back({i});
  }
  std::vector<bool> chosen(count, false);
  for (auto& [label, list] : units) {
    RandomStream random(seed, purpose << 48 | static_cast<uint64_t>(label));
    random.shuffle(list);
    size_t members = 0;
    for (const auto& unit : list) members += unit.size();
    auto wanted = static_cast<size_t>(std::llround(share * static_cast<double>(members)));
    size_t taken = 0;
    for (size_t u = 0; u + 1 < list.size() && taken < wanted; ++u) {  // the last unit always stays
      for (size_t i : list[u]) chosen[i] = true;
      taken += list[u].size();
    }
  }
  return chosen;
}

void carve(Dataset& from, Dataset& into, double share, uint64_t seed, uint64_t purpose,
           const char* part) {
  const std::string& where = from.description().name;
  WAFER_REQUIRE(share > 0 && share < 1, where, "the share of the ", part,
                " part must be between 0 and 1; got ", share);
  std::vector<bool> chosen = choose(from, share, seed, purpose);
  std::vector<int64_t> kept, taken;
  for (size_t i = 0; i < chosen.size(); ++i)
    (chosen[i] ? taken : kept).push_back(static_cast<int64_t>(i));
  WAFER_REQUIRE(!taken.empty() && !kept.empty(), where, "the ", part,
                " part would be empty: ", share, " of ", chosen.size(),
                " examples; choose a larger share or add examples");
  into = from.subset(std::move(taken));
  from = from.subset(std::move(kept));
}

// One class alone can be neither learnt nor measured.
void check_classes(const Dataset& set, const char* part) {
  if (set.empty() || set.task() != Task::classification) return;
  int64_t first = set.label(0);
  for (int64_t i = 1; i < set.size(); ++i) {
    if (set.label(i) != first) return;
  }
  const Description& about = set.description();
  throw UserError(about.where.empty() ? about.name : about.where,
                  str("the ", part, " part has one class only: all ", set.size(), " examples are '",
                      about.classes[static_cast<size_t>(first)], "'"),
                  {.hint = "add examples of another class, or split otherwise"});
}

Splits load_named(const std::string& name, const fs::path& path, const LoadOptions& options) {
  Splits splits = load_kind(name, path, options);
  if (name == "cifar10" && !has_cifar_batches(path)) {
    splits.note =
        "these are the images as JPEG, which loses detail: expect a little less accuracy than on "
        "the "
        "original CIFAR-10";
  }
  return splits;
}

}  // namespace

Splits make_splits(Content content) {
  auto make = [&](ArrayPart& part) {
    return part.size() == 0 ? Dataset()
                            : Dataset(make_array_source(content.description, std::move(part)));
  };
  Splits splits;
  splits.train = make(content.train);
  splits.validation = make(content.validation);
  splits.test = make(content.test);
  return splits;
}

Splits Splits::split(const SplitOptions& options) const {
  Splits result = *this;
  if (result.train.task() != Task::next_token) {
    double test = options.test.value_or(0.2);
    if (result.test.empty() && test != 0)
      carve(result.train, result.test, test, options.seed, 1, "test");
    if (result.validation.empty() && options.validation != 0) {
      carve(result.train, result.validation, options.validation, options.seed, 2, "validation");
    }
  }
  check_classes(result.train, "training");
  check_classes(result.validation, "validation");
  check_classes(result.test, "test");
  Normalise normalise = measure_normalise(result.train);
  for (Dataset* part : {&result.train, &result.validation, &result.test}) {
    if (!part->empty()) *part = part->with(normalise);
  }
  return result;
}

Splits load(const std::string& name, const fs::path& path, const LoadOptions& options) {
  if (name == "shapes") return draw_shapes(options);
  const KnownSet* set = find_known_set(name);
  bool kind = name == "images" || name == "table" || name == "text";
  std::error_code ignored;
  if (set == nullptr && !kind && path.empty() && fs::exists(name, ignored)) {
    fs::path here = fs::path(name).lexically_normal();
    if (!here.has_filename()) here = here.parent_path();  // a trailing slash
    return load_named(guess(here), here, options);
  }
  if (set == nullptr && !kind) {
    std::vector<std::string> names = {"images", "table", "text"};
    for (const KnownSet& known : known_sets()) names.push_back(known.name);
    throw UserError("data",
                    "unknown data set or missing path '" + name + "'" + did_you_mean(name, names),
                    {.hint = "known are " + join(names, ", ")});
  }
  fs::path place = path;
  if (place.empty()) {
    WAFER_REQUIRE(!kind, "data", "the kind '", name, "' needs the path of a folder or file");
    auto found = find(name);
    if (!found) not_found(*set);
    place = *found;
  }
  WAFER_REQUIRE(fs::exists(place, ignored), place.string(), "there is no such folder or file",
                set != nullptr ? "; get " + set->how_to_get : "");
  return load_named(name, place, options);
}

Splits load_default(const LoadOptions& options) {
  if (find("cifar10")) return load("cifar10", {}, options);
  Splits splits = draw_shapes(options);
  splits.note =
      "CIFAR-10 was not found (see `wafer data`): these are drawn shapes, not photographs";
  return splits;
}

}  // namespace wafer::data
