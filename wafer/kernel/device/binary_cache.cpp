#include "wafer/kernel/device/binary_cache.h"

#include <cstdio>
#include <cstring>

#include "wafer/base/cache_folder.h"
#include "wafer/base/error.h"
#include "wafer/base/log.h"
#include "wafer/io/file.h"

namespace wafer::kernel {

namespace {
namespace fs = std::filesystem;

// FNV-1a, 64 bits. The file holds the whole key, so that a collision is only a miss.
uint64_t hash_of(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3u;
  return hash;
}

fs::path file_of(const std::string& backend, const std::string& key) {
  fs::path folder = cache_folder();
  if (folder.empty()) return {};
  char name[17];
  std::snprintf(name, sizeof name, "%016llx", static_cast<unsigned long long>(hash_of(key)));
  return folder / backend / (std::string(name) + ".bin");
}

// What a file begins with: the lengths of key and binary, which follow, and a hash of the binary,
// since drivers do not look twice at what they are given.
struct Head {
  uint64_t key, binary, hash;
};
}  // namespace

std::optional<std::string> load_binary(const std::string& backend, const std::string& key) {
  fs::path file = file_of(backend, key);
  std::error_code ignored;
  if (file.empty() || !fs::exists(file, ignored)) return std::nullopt;
  try {
    io::Bytes bytes = io::read_file(file, uint64_t{1} << 28);
    Head head{};
    if (bytes.size() < sizeof head) return std::nullopt;
    std::memcpy(&head, bytes.data(), sizeof head);
    std::string_view rest(reinterpret_cast<const char*>(bytes.data()) + sizeof head,
                          bytes.size() - sizeof head);
    if (head.key != key.size() || rest.substr(0, key.size()) != key) return std::nullopt;
    rest.remove_prefix(key.size());
    if (head.binary != rest.size() || head.hash != hash_of(rest)) return std::nullopt;
    return std::string(rest);
  } catch (const Error& error) {
    log("debug", str(backend, ": ", error.what()));
  }
  return std::nullopt;
}

void save_binary(const std::string& backend, const std::string& key, const std::string& binary) {
  fs::path file = file_of(backend, key);
  if (file.empty() || binary.empty()) return;
  Head head{key.size(), binary.size(), hash_of(binary)};
  std::string text(reinterpret_cast<const char*>(&head), sizeof head);
  try {
    io::make_folder(file.parent_path());
    io::write_file_atomic(file, text + key + binary);
  } catch (const Error& error) {
    log("debug", str(backend, ": compiled kernels are not kept: ", error.what()));
  }
}

}  // namespace wafer::kernel
