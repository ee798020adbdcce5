#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wafer::io {

using Bytes = std::vector<uint8_t>;
using ByteView = std::span<const uint8_t>;

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// A UserError for a failed system call: "[path] cannot <action>: <text of error_number>; <how to
// mend it>".
[[noreturn]] void throw_system_error(const std::filesystem::path& path, const std::string& action,
                                     int error_number);

// Makes a folder and those above it; nothing where it is there already. UserError when it cannot be
// made.
void make_folder(const std::filesystem::path& path);

// Keeps other processes from locking the same folder, until it ends or the process does. UserError
// where another process has it. Nothing is written.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

// A whole file. UserError when it cannot be read or is longer than `limit` bytes.
Bytes read_file(const std::filesystem::path& path,
                uint64_t limit = std::numeric_limits<uint64_t>::max());
std::string read_text_file(const std::filesystem::path& path,
                           uint64_t limit = std::numeric_limits<uint64_t>::max());

// A read-only view of a whole file; pages are read when touched. UserError when it cannot be
// opened.
class MemoryMap {
 public:
  MemoryMap() = default;
  explicit MemoryMap(const std::filesystem::path& path);
  MemoryMap(MemoryMap&& other) noexcept;
  MemoryMap& operator=(MemoryMap&& other) noexcept;
  ~MemoryMap();

  ByteView bytes() const { return {data_, size_}; }

 private:
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// A file that appears whole or not at all: bytes go to a temporary file in the same folder;
// commit() writes them out (fsync), renames over `path` and makes the folder durable. Without
// commit() the temporary file is removed and `path` is as before. Temporary files that killed
// processes left for the same path are removed. A link is followed: what it leads to is replaced.
// Bytes for a device or a pipe go there at once.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(ByteView bytes);
  void write(std::string_view text) { write(as_bytes(text)); }
  void commit();

 private:
  void discard() noexcept;

  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
};

void write_file_atomic(const std::filesystem::path& path, ByteView bytes);
void write_file_atomic(const std::filesystem::path& path, std::string_view text);

}  // namespace wafer::io
