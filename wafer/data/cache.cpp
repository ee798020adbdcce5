#include "wafer/data/cache.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "wafer/base/env.h"
#include "wafer/base/error.h"
#include "wafer/base/log.h"
#include "wafer/base/strings.h"
#include "wafer/data/input_spec.h"
#include "wafer/io/safetensors.h"

namespace wafer::data {

namespace {

namespace fs = std::filesystem;

constexpr const char* kVersion = "2";

// Four lanes of multiply and rotate, so that it runs at the speed of memory; not for secrets.
uint64_t hash(io::ByteView bytes, uint64_t seed = 0) {
  constexpr uint64_t kPrime = 0x9E3779B97F4A7C15u;
  uint64_t lanes[4] = {seed ^ kPrime, seed + kPrime, ~seed, seed ^ (kPrime << 1)};
  size_t i = 0;
  auto mix = [](uint64_t lane, uint64_t word) {
    lane = (lane ^ word) * kPrime;
    return lane << 31 | lane >> 33;
  };
  for (; i + 32 <= bytes.size(); i += 32) {
    uint64_t words[4];
    std::memcpy(words, bytes.data() + i, 32);
    for (int j = 0; j < 4; ++j) lanes[j] = mix(lanes[j], words[j]);
  }
  uint64_t result = bytes.size();
  for (uint64_t lane : lanes) result = mix(result, lane);
  for (; i < bytes.size(); ++i) result = mix(result, bytes[i]);
  return result ^ result >> 29;
}

std::string hex(uint64_t value) {
  std::string text(16, '0');
  for (size_t i = 16; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
  return text;
}

std::string stamp(const fs::path& file) {
  std::error_code ignored;
  return str(file.generic_string(), '\n', fs::file_size(file, ignored), ' ',
             fs::last_write_time(file, ignored).time_since_epoch().count(), '\n');
}

std::string make_key(const fs::path& source, const std::string& options_text) {
  std::error_code ignored;
  fs::path whole = fs::weakly_canonical(source, ignored);
  std::string text = str("version ", kVersion, '\n', options_text, '\n');
  if (!fs::is_directory(whole, ignored))
    return text + stamp(whole) + stamp(whole.parent_path() / "classes.txt");
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(whole)) {
    if (entry.is_regular_file(ignored)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) text += stamp(file);
  return text;
}

template <class T>
io::ByteView view(const std::vector<T>& values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(T)};
}

std::string join_names(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += name + '\n';
  return text;
}

template <class T>
std::vector<T> values_of(const io::TensorEntry* entry) {
  std::vector<T> values(entry == nullptr ? 0 : entry->bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), entry->bytes.data(), values.size() * sizeof(T));
  return values;
}

ArrayPart read_part(const std::shared_ptr<const io::SafetensorsFile>& file,
                    const std::string& part) {
  ArrayPart result;
  const io::TensorEntry* inputs = file->find(part + ".inputs");
  if (inputs == nullptr) return result;
  result.owner = file;
  result.inputs = std::as_bytes(inputs->bytes);
  result.labels = values_of<int64_t>(file->find(part + ".labels"));
  result.values = values_of<float>(file->find(part + ".values"));
  result.groups = values_of<int64_t>(file->find(part + ".groups"));
  if (const io::TensorEntry* names = file->find(part + ".names")) {
    std::string text(names->bytes.begin(), names->bytes.end());
    if (!text.empty()) {
      text.pop_back();
      result.names = split(text, '\n');
    }
  }
  return result;
}

uint64_t checksum(const std::vector<io::TensorEntry>& entries) {
  uint64_t sum = 0;
  for (const io::TensorEntry& entry : entries)
    sum = hash(entry.bytes, sum ^ hash(io::as_bytes(entry.name)));
  return sum;
}

}  // namespace

fs::path cache_folder() {
  if (auto folder = environment("WAFER_CACHE")) return *folder;
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    return fs::path(home) / ".cache" / "wafer";
  }
  return {};
}

void save_content(const fs::path& file, const std::string& key, const Content& content) {
  std::vector<io::TensorEntry> entries;
  std::vector<std::string> texts;  // must outlive the entries
  texts.reserve(3);
  auto add = [&](const std::string& name, const char* dtype, size_t count, io::ByteView bytes) {
    if (!bytes.empty()) entries.push_back({name, dtype, {static_cast<int64_t>(count)}, bytes});
  };
  for (const auto& [name, part] :
       {std::pair<std::string, const ArrayPart*>{"train", &content.train},
        {"validation", &content.validation},
        {"test", &content.test}}) {
    if (part->size() == 0) continue;
    io::ByteView inputs{reinterpret_cast<const uint8_t*>(part->inputs.data()), part->inputs.size()};
    // By their own type, so that they are aligned to it in the file.
    DType stored = content.description.stored;
    const char* dtype = stored == DType::f32 ? "F32" : stored == DType::u16 ? "U16" : "U8";
    add(name + ".inputs", dtype, inputs.size() / byte_size(stored, 1), inputs);
    add(name + ".labels", "I64", part->labels.size(), view(part->labels));
    add(name + ".values", "F32", part->values.size(), view(part->values));
    add(name + ".groups", "I64", part->groups.size(), view(part->groups));
    texts.push_back(join_names(part->names));
    add(name + ".names", "U8", texts.back().size(), io::as_bytes(texts.back()));
  }
  std::sort(entries.begin(), entries.end(),
            [](const io::TensorEntry& a, const io::TensorEntry& b) { return a.name < b.name; });
  io::write_safetensors(file, entries,
                        {{"key", key},
                         {"where", content.description.where},
                         {"description", description_to_json(content.description)},
                         {"checksum", hex(checksum(entries))}});
}

Content load_content(const fs::path& path, const std::string& key) {
  auto file = std::make_shared<const io::SafetensorsFile>(path);
  auto field = [&](const char* name) {
    auto found = file->metadata().find(name);
    WAFER_REQUIRE(found != file->metadata().end(), path.string(), "the field '", name,
                  "' is missing");
    return found->second;
  };
  WAFER_REQUIRE(field("key") == key, path.string(), "the file was made from other data");
  WAFER_REQUIRE(field("checksum") == hex(checksum(file->entries())), path.string(),
                "the checksum does not fit: the file is damaged");
  Content content;
  content.description = description_from_json(field("description"), path.string());
  content.description.where = field("where");
  content.train = read_part(file, "train");
  content.validation = read_part(file, "validation");
  content.test = read_part(file, "test");
  return content;
}

Content cached(const std::string& name, const fs::path& source, const std::string& options_text,
               const std::function<Content()>& decode) {
  fs::path folder = cache_folder();
  if (folder.empty()) return decode();
  std::string key = make_key(source, options_text);
  fs::path file = folder / (name + "-" + hex(hash(io::as_bytes(key))) + ".safetensors");
  std::error_code ignored;
  if (fs::exists(file, ignored)) {
    try {
      return load_content(file, key);
    } catch (const UserError& error) {
      log(LogLevel::warn, str("decoding ", source.string(), " again: ", error.what()));
    }
  }
  Content content = decode();
  try {
    fs::create_directories(folder);
    save_content(file, key, content);
    return load_content(file, key);  // mapped, so that the decoded copy can go
  } catch (const UserError& error) {
    log(LogLevel::warn, str("the decoded data is not kept: ", error.what()));
  } catch (const fs::filesystem_error& error) {
    log(LogLevel::warn, str("the decoded data is not kept: ", error.what()));
  }
  return content;
}

}  // namespace wafer::data
