#include "wafer/train/checkpoint.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "wafer/base/error.h"
#include "wafer/io/file.h"
#include "wafer/io/safetensors.h"
#include "wafer/train/tensor_file.h"

namespace wafer {

namespace {
constexpr const char* version = "2";
constexpr const char* without_checksum = "1";  // read, no longer written

std::filesystem::path file_of(const std::filesystem::path& folder, int64_t step) {
  std::string digits = std::to_string(step);
  return folder / ("step-" + std::string(digits.size() < 9 ? 9 - digits.size() : 0, '0') + digits +
                   ".safetensors");
}

std::string to_json(const Progression& p) {
  nlohmann::json json = {{"step", p.step},
                         {"epoch", p.epoch},
                         {"batch", p.batch},
                         {"epoch_correct", p.epoch_correct},
                         {"epoch_examples", p.epoch_examples},
                         {"history", p.history}};
  // As bits: a decimal number must not change what is added up.
  uint64_t bits = 0;
  std::memcpy(&bits, &p.epoch_loss, sizeof bits);
  json["epoch_loss_bits"] = bits;
  return json.dump();
}

Progression from_json(const std::string& text, const std::string& where) {
  try {
    auto json = nlohmann::json::parse(text);
    Progression p;
    p.step = json.at("step").get<int64_t>();
    p.epoch = json.at("epoch").get<int64_t>();
    p.batch = json.at("batch").get<int64_t>();
    p.epoch_correct = json.at("epoch_correct").get<int64_t>();
    p.epoch_examples = json.at("epoch_examples").get<int64_t>();
    p.history = json.at("history").get<std::string>();
    auto bits = json.at("epoch_loss_bits").get<uint64_t>();
    std::memcpy(&p.epoch_loss, &bits, sizeof bits);
    WAFER_REQUIRE(p.step >= 0 && p.epoch >= 0 && p.batch >= 0, where,
                  "a negative count in the checkpoint");
    return p;
  } catch (const nlohmann::json::exception& error) {
    throw UserError(where, str("the checkpoint's progress cannot be read: ", error.what()));
  }
}

// Of all that a run goes on from, as text: the progress and the tensors' bytes, CRC-32.
template <class BytesOf>
std::string checksum(const std::string& progress, const std::vector<NamedMemory>& tensors,
                     BytesOf&& bytes_of) {
  uLong crc = crc32_z(0, reinterpret_cast<const Bytef*>(progress.data()), progress.size());
  for (const NamedMemory& tensor : tensors) {
    io::ByteView bytes = bytes_of(tensor);
    if (!bytes.empty()) crc = crc32_z(crc, bytes.data(), bytes.size());
  }
  return std::to_string(crc);
}
}  // namespace

CheckpointFolder::CheckpointFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

std::vector<std::filesystem::path> CheckpointFolder::list() const {
  std::vector<std::filesystem::path> paths;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, ignored)) {
    std::string name = entry.path().filename().string();
    if (name.starts_with("step-") && name.ends_with(".safetensors")) paths.push_back(entry.path());
  }
  // The step is padded with zeros, so names sort as numbers do; longer ones are greater.
  std::sort(paths.begin(), paths.end(), [](const auto& a, const auto& b) {
    auto x = a.filename().string(), y = b.filename().string();
    return x.size() != y.size() ? x.size() > y.size() : x > y;
  });
  return paths;
}

void CheckpointFolder::save(const Progression& progression, const std::vector<NamedMemory>& tensors,
                            const std::map<std::string, std::string>& settings) {
  io::make_folder(folder_);
  auto metadata = settings;
  metadata["wafer.checkpoint"] = version;
  metadata["progress"] = to_json(progression);
  metadata["checksum"] =
      checksum(metadata["progress"], tensors, [](const NamedMemory& tensor) -> io::ByteView {
        return {static_cast<const uint8_t*>(tensor.data), tensor.type.bytes()};
      });
  write_tensor_file(file_of(folder_, progression.step), tensors, metadata);
  auto all = list();
  std::error_code ignored;
  for (size_t i = 2; i < all.size(); ++i) std::filesystem::remove(all[i], ignored);
}

std::optional<std::string> checkpoint_setting(const std::filesystem::path& path,
                                              const std::string& key) {
  try {
    io::SafetensorsFile file(path);
    auto found = file.metadata().find(key);
    if (found != file.metadata().end()) return found->second;
  } catch (const UserError&) {
    // A damaged file: reading it as a checkpoint says so.
  }
  return std::nullopt;
}

Progression load_checkpoint(const std::filesystem::path& path,
                            const std::vector<NamedMemory>& tensors,
                            const std::map<std::string, std::string>& settings) {
  io::SafetensorsFile file(path);
  const std::string where = path.string();
  auto text = [&](const std::string& key) -> std::string {
    auto found = file.metadata().find(key);
    WAFER_REQUIRE(found != file.metadata().end(), where, "is not a checkpoint: no '", key,
                  "' in its metadata");
    return found->second;
  };
  bool checked = text("wafer.checkpoint") != without_checksum;
  WAFER_REQUIRE(text("wafer.checkpoint") == version || !checked, where, "a checkpoint of version ",
                text("wafer.checkpoint"), "; this program reads versions ", without_checksum,
                " and ", version);
  for (const auto& [key, value] : settings) {
    if (text(key) != value) {
      throw UserError(
          where, str("the checkpoint belongs to a run with another ", key),
          {.got = value,
           .expected = text(key),
           .hint = "resume with the settings the run was started with, or start a new run"});
    }
  }
  Progression progression = from_json(text("progress"), where);
  for (const NamedMemory& tensor : tensors) {
    const auto& entry = file.at(tensor.name);
    if (entry.shape != tensor.type.shape.sizes() ||
        entry.dtype != safetensors_name(tensor.type.dtype)) {
      throw UserError(
          where, str("tensor '", tensor.name, "' does not fit the model"),
          {.got = str(entry.dtype, " ", Shape(entry.shape)), .expected = str(tensor.type)});
    }
  }
  if (checked) {
    WAFER_REQUIRE(
        text("checksum") ==
            checksum(text("progress"), tensors,
                     [&](const NamedMemory& tensor) { return file.at(tensor.name).bytes; }),
        where, "the checkpoint is damaged: its bytes differ from those that were written");
  }
  for (const NamedMemory& tensor : tensors) {
    const auto& bytes = file.at(tensor.name).bytes;
    if (!bytes.empty()) std::memcpy(tensor.data, bytes.data(), bytes.size());
  }
  return progression;
}

}  // namespace wafer
