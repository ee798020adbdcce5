#include "wafer/data/describe.h"

#include "wafer/data/decoders.h"
#include "wafer/data/log_mel.h"
#include "wafer/data/registry.h"

namespace wafer::data {

namespace {
struct ImageSet {
  const char* name;
  int64_t channels, height, width, classes;
};
constexpr ImageSet image_sets[] = {{"cifar10", 3, 32, 32, 10},    {"shapes", 3, 32, 32, 10},
                                   {"mnist", 1, 28, 28, 10},      {"gtsrb", 3, 32, 32, 43},
                                   {"orl_faces", 1, 112, 92, 40}, {"lfw_subset", 1, 250, 250, 62}};

// The known set whose files lie there, or "".
std::string known_at(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return "";
  std::filesystem::path here = path.lexically_normal();
  if (!here.has_filename()) here = here.parent_path();  // a trailing slash
  // Only names: what an archive holds is for load() to read.
  const KnownSet* set = find_known_set(here.filename().string());
  return set != nullptr && std::filesystem::is_directory(here, ignored) ? set->name : "";
}
}  // namespace

std::optional<Description> describe(const std::string& name, const std::filesystem::path& path,
                                    const LoadOptions& options) {
  std::string known = find_known_set(name) != nullptr
                          ? name
                          : known_at(path.empty() ? std::filesystem::path(name) : path);
  Description about;
  about.name = known;
  auto take_classes = [&](int64_t count) {
    for (int64_t i = 0; i < count; ++i) about.classes.push_back("class " + std::to_string(i));
  };
  for (const ImageSet& set : image_sets) {
    if (known != set.name) continue;
    bool resized = options.image_height > 0 && options.image_width > 0;
    about.shape = {options.channels > 0 ? options.channels : set.channels,
                   resized ? options.image_height : set.height,
                   resized ? options.image_width : set.width};
    take_classes(set.classes);
    return about;
  }
  if (known == "fsdd") {
    about.kind = InputKind::frames;
    about.stored = DType::f32;
    about.audio = options.audio;
    about.shape = {frame_count(options.audio), options.audio.mels};
    take_classes(10);
    return about;
  }
  return std::nullopt;
}

}  // namespace wafer::data
