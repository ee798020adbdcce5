#include "wafer/io/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "wafer/base/error.h"
#include "wafer/io/descriptor.h"

namespace wafer::io {

namespace {

const char* mend(int error_number) {
  switch (error_number) {
    case ENOENT: return "check the spelling of the path, and that its folder exists";
    case EACCES:
    case EPERM: return "give this user the right to it, or choose another folder";
    case EROFS: return "the disk is mounted read-only: choose another folder";
    case ENOSPC: return "the disk is full: free some space, or choose another folder";
    case EDQUOT: return "the disk quota is used up: free some space, or choose another folder";
    case EFBIG:
      return "the file is larger than the disk or the limit of this process allows (ulimit -f)";
    case EMFILE:
    case ENFILE: return "too many files are open: raise the limit (ulimit -n)";
    case ENOTDIR: return "a part of the path is a file, not a folder";
    case EISDIR: return "this is a folder: name a file";
    case EIO: return "the disk reports a fault: check it, or choose another folder";
    case ENAMETOOLONG: return "choose a shorter name";
    default: return "check the path and the disk";
  }
}

// Opens for reading; a folder is refused here because its read() error would name no mend.
int open_for_reading(const std::filesystem::path& path, struct stat& status) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw_system_error(path, "open", errno);
  int failure = 0;
  if (::fstat(descriptor, &status) != 0) failure = errno;
  if (failure == 0 && S_ISDIR(status.st_mode)) failure = EISDIR;
  if (failure != 0) {
    ::close(descriptor);
    throw_system_error(path, "read", failure);
  }
  return descriptor;
}

template <class Container>
Container read_whole(const std::filesystem::path& path, uint64_t limit) {
  struct stat status;
  Descriptor file(open_for_reading(path, status));
  // The size is only a first guess: pipes have none and files may grow while they are read. The
  // buffer has one byte more, to see the end of the file.
  uint64_t most = limit == std::numeric_limits<uint64_t>::max() ? limit : limit + 1;
  uint64_t guess = S_ISREG(status.st_mode) ? static_cast<uint64_t>(status.st_size) + 1 : 4096;
  Container bytes;
  size_t used = 0;
  while (true) {
    if (used == bytes.size()) bytes.resize(std::min(most, std::max<uint64_t>(guess, 2 * used)));
    ssize_t count = ::read(file.get(), bytes.data() + used, bytes.size() - used);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_system_error(path, "read", errno);
    if (count == 0) break;
    used += static_cast<size_t>(count);
    if (used > limit) {
      throw UserError(
          path.string(), "the file is too large to read",
          {.got = str("more than ", limit, " bytes"), .hint = "is this the right file?"});
    }
  }
  bytes.resize(used);
  return bytes;
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// A temporary file is locked by the process that writes it, so an unlocked one has no owner any
// more.
void remove_abandoned(const std::filesystem::path& folder, const std::string& prefix) {
  std::error_code failure;
  std::filesystem::directory_iterator entries(folder, failure), end;
  if (failure) return;
  for (; entries != end; entries.increment(failure)) {
    if (failure) return;
    if (entries->path().filename().string().rfind(prefix, 0) != 0) continue;
    Descriptor file(::open(entries->path().c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() >= 0 && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
      ::unlink(entries->path().c_str());
    }
  }
}

}  // namespace

void throw_system_error(const std::filesystem::path& path, const std::string& action,
                        int error_number) {
  throw UserError(path.string(),
                  "cannot " + action + ": " + std::generic_category().message(error_number),
                  {.hint = mend(error_number)});
}

void make_folder(const std::filesystem::path& path) {
  std::error_code failed;
  std::filesystem::create_directories(path, failed);
  if (failed) throw_system_error(path, "make the folder", failed.value());
}

FolderLock::FolderLock(const std::filesystem::path& folder)
    : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (descriptor_ < 0) throw_system_error(folder, "open", errno);
  // File systems without locks (ENOLCK, EOPNOTSUPP) go without.
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(descriptor_);
  throw UserError(folder.string(), "another process is working in this folder",
                  {.hint = "wait for it, or choose another folder"});
}
FolderLock::~FolderLock() {
  ::close(descriptor_);
}

Bytes read_file(const std::filesystem::path& path, uint64_t limit) {
  return read_whole<Bytes>(path, limit);
}

std::string read_text_file(const std::filesystem::path& path, uint64_t limit) {
  return read_whole<std::string>(path, limit);
}

MemoryMap::MemoryMap(const std::filesystem::path& path) {
  struct stat status;
  Descriptor file(open_for_reading(path, status));
  if (!S_ISREG(status.st_mode)) {
    throw UserError(path.string(), "cannot map into memory: not a regular file",
                    {.hint = "name a file on a disk"});
  }
  if (status.st_size == 0) return;  // an empty mapping is an error to mmap
  size_t size = static_cast<size_t>(status.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (data == MAP_FAILED) throw_system_error(path, "map into memory", errno);
  data_ = static_cast<const uint8_t*>(data);
  size_ = size;
}

MemoryMap::MemoryMap(MemoryMap&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MemoryMap& MemoryMap::operator=(MemoryMap&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MemoryMap::~MemoryMap() {
  if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), size_);
}

namespace {
// What a link leads to, whether it is there or not; other paths as they are.
std::filesystem::path behind_links(std::filesystem::path path) {
  constexpr int most = 40;  // as Linux allows
  std::error_code failed;
  for (int i = 0; i < most && std::filesystem::is_symlink(path, failed); ++i) {
    std::filesystem::path target = std::filesystem::read_symlink(path, failed);
    if (failed) break;
    path = path.parent_path() / target;  // an absolute target stands alone
  }
  return path;
}
}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(path) {
  static std::atomic<uint64_t> counter = 0;
  if (std::error_code ignored; std::filesystem::is_directory(path_, ignored)) {
    throw_system_error(path_, "write", EISDIR);
  }
  path_ = behind_links(path_);
  if (std::error_code ignored; std::filesystem::exists(path_, ignored) &&
                               !std::filesystem::is_regular_file(path_, ignored)) {
    // A device or a pipe takes bytes; renaming a file over it would take its place.
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) throw_system_error(path_, "write", errno);
    return;
  }
  std::string prefix = "." + path_.filename().string() + ".tmp-";
  std::filesystem::path folder = folder_of(path_);
  remove_abandoned(folder, prefix);
  while (true) {
    temporary_ = folder / str(prefix, ::getpid(), "-", counter++);
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ < 0 && errno == EEXIST) continue;
    if (descriptor_ < 0) throw_system_error(path_, "write", errno);
    // Between open and lock another process may take the file for abandoned; then make another.
    struct stat status;
    bool locked = ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    if (locked && ::fstat(descriptor_, &status) == 0 && status.st_nlink > 0) return;
    ::close(std::exchange(descriptor_, -1));
  }
}

AtomicFile::~AtomicFile() {
  discard();
}

void AtomicFile::discard() noexcept {
  if (descriptor_ < 0) return;
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
  ::close(std::exchange(descriptor_, -1));
}

void AtomicFile::write(ByteView bytes) {
  WAFER_CHECK(descriptor_ >= 0, "write to a file that is committed or has failed");
  while (!bytes.empty()) {
    ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      int failure = errno;
      discard();
      throw_system_error(path_, "write", failure);
    }
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
}

void AtomicFile::commit() {
  WAFER_CHECK(descriptor_ >= 0, "commit of a file that is committed or has failed");
  if (temporary_.empty()) {
    ::close(std::exchange(descriptor_, -1));
    return;
  }
  if (::fsync(descriptor_) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    int failure = errno;
    discard();
    throw_system_error(path_, "write", failure);
  }
  ::close(std::exchange(descriptor_, -1));
  Descriptor folder(::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems cannot sync a folder (EINVAL); the file itself is whole either way.
  if (folder.get() >= 0 && ::fsync(folder.get()) != 0 && errno != EINVAL && errno != EROFS) {
    throw_system_error(path_, "make durable", errno);
  }
}

void write_file_atomic(const std::filesystem::path& path, ByteView bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file_atomic(const std::filesystem::path& path, std::string_view text) {
  write_file_atomic(path, as_bytes(text));
}

}  // namespace wafer::io
