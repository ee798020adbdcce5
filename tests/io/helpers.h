#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "wafer/base/error.h"
#include "wafer/io/file.h"

namespace wafer::testing {

// A folder of its own for one test, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "wafer-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  size_t files() const {
    size_t count = 0;
    for (const auto& unused : std::filesystem::directory_iterator(path_)) count += unused.exists();
    return count;
  }

 private:
  std::filesystem::path path_;
};

// Runs `body`, which must throw a UserError whose text holds every one of `parts`.
inline void expect_user_error(const std::function<void()>& body,
                              const std::vector<std::string>& parts) {
  try {
    body();
  } catch (const UserError& error) {
    std::string text = error.what();
    for (const std::string& part : parts) {
      EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
    }
    return;
  }
  ADD_FAILURE() << "no UserError was thrown";
}

// The folder of public data sets, or empty when there is none.
inline std::filesystem::path shared_data() {
  if (const char* folder = std::getenv("WAFER_DATA"); folder != nullptr && *folder != '\0')
    return folder;
  std::filesystem::path path = std::filesystem::path(WAFER_SOURCE_DIR) / "../shared/data";
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored) ? path : std::filesystem::path();
}

inline io::Bytes to_bytes(const std::string& text) {
  return io::Bytes(text.begin(), text.end());
}
inline std::string to_text(const io::Bytes& bytes) {
  return std::string(bytes.begin(), bytes.end());
}

inline void append(io::Bytes& bytes, io::ByteView more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

template <class T>
void append_little(io::Bytes& bytes, T value) {
  append(bytes, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
}

inline void append_big32(io::Bytes& bytes, uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<uint8_t>(value >> shift));
}

inline uint32_t crc32(io::ByteView bytes) {
  uint32_t crc = 0xffffffffu;
  for (uint8_t byte : bytes) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1)));
  }
  return ~crc;
}

// One stored (uncompressed) deflate block.
inline io::Bytes deflate_stored(io::ByteView bytes) {
  io::Bytes out = {1};
  append_little<uint16_t>(out, static_cast<uint16_t>(bytes.size()));
  append_little<uint16_t>(out, static_cast<uint16_t>(~bytes.size()));
  append(out, bytes);
  return out;
}

inline io::Bytes gzip(io::ByteView bytes) {
  io::Bytes out = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
  append(out, deflate_stored(bytes));
  append_little<uint32_t>(out, crc32(bytes));
  append_little<uint32_t>(out, static_cast<uint32_t>(bytes.size()));
  return out;
}

using Files = std::vector<std::pair<std::string, io::Bytes>>;

inline io::Bytes tar(const Files& files) {
  io::Bytes out;
  for (const auto& [name, content] : files) {
    std::string header(512, '\0');
    header.replace(0, name.size(), name);
    auto octal = [&](size_t at, size_t width, uint64_t value) {
      for (size_t i = width - 1; i-- > 0; value /= 8)
        header[at + i] = static_cast<char>('0' + value % 8);
    };
    octal(100, 8, 0644);
    octal(108, 8, 0);
    octal(116, 8, 0);
    octal(124, 12, content.size());
    octal(136, 12, 0);
    header[156] = '0';
    header.replace(257, 8,
                   std::string("ustar\0"
                               "00",
                               8));
    header.replace(148, 8, 8, ' ');
    uint64_t sum = 0;
    for (char c : header) sum += static_cast<uint8_t>(c);
    octal(148, 7, sum);
    append(out, io::as_bytes(header));
    append(out, content);
    out.resize((out.size() + 511) / 512 * 512);
  }
  out.resize(out.size() + 1024);
  return out;
}

inline io::Bytes zip(const Files& files) {
  io::Bytes out, directory;
  for (const auto& [name, content] : files) {
    uint32_t offset = static_cast<uint32_t>(out.size());
    io::Bytes common;  // the fields that both headers share
    append_little<uint16_t>(common, 20);
    for (int i = 0; i < 3; ++i) append_little<uint16_t>(common, 0);  // flags, stored, time
    append_little<uint16_t>(common, 0x21);                           // date
    append_little<uint32_t>(common, crc32(content));
    append_little<uint32_t>(common, static_cast<uint32_t>(content.size()));
    append_little<uint32_t>(common, static_cast<uint32_t>(content.size()));
    append_little<uint16_t>(common, static_cast<uint16_t>(name.size()));
    append_little<uint16_t>(common, 0);
    append(out, io::as_bytes("PK\3\4"));
    append(out, common);
    append(out, io::as_bytes(name));
    append(out, content);
    append(directory, io::as_bytes("PK\1\2"));
    append_little<uint16_t>(directory, 20);
    append(directory, common);
    for (int i = 0; i < 3; ++i) append_little<uint16_t>(directory, 0);
    append_little<uint32_t>(directory, 0);
    append_little<uint32_t>(directory, offset);
    append(directory, io::as_bytes(name));
  }
  uint32_t start = static_cast<uint32_t>(out.size());
  append(out, directory);
  append(out, io::as_bytes("PK\5\6"));
  append_little<uint32_t>(out, 0);
  append_little<uint16_t>(out, static_cast<uint16_t>(files.size()));
  append_little<uint16_t>(out, static_cast<uint16_t>(files.size()));
  append_little<uint32_t>(out, static_cast<uint32_t>(directory.size()));
  append_little<uint32_t>(out, start);
  append_little<uint16_t>(out, 0);
  return out;
}

}  // namespace wafer::testing
