#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "wafer/base/strings.h"
#include "wafer/deploy/onnx/proto/convert.h"
#include "wafer/io/descriptor.h"
#include "wafer/io/file.h"

namespace wafer::onnx {

std::string read_external(const Source& source, const std::string& location, int64_t offset,
                          int64_t length, const std::string& label) {
  auto refuse = [&](const std::string& what) {
    throw UserError(source.where, str(label, ": data in another file, '", location, "': ", what),
                    {.hint = "keep the data in a plain file in the model's folder or below it"});
  };
  if (source.folder.empty()) refuse("this model was not read from a folder");
  if (location.empty() || location[0] == '/' || location.find('\0') != std::string::npos ||
      location.find('\\') != std::string::npos)
    refuse("not a path relative to the model's folder");
  auto parts = split(location, '/');
  for (const std::string& part : parts) {
    if (part == "..") refuse("the path leaves the model's folder");
  }
  // Component by component, so that no link is followed and nothing can change in between.
  io::Descriptor at(::open(source.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (at.get() < 0) io::throw_system_error(source.folder, "open", errno);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].empty() || parts[i] == ".") continue;
    bool last = i + 1 == parts.size();
    int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (last ? 0 : O_DIRECTORY);
    int next = ::openat(at.get(), parts[i].c_str(), flags);
    if (next < 0) {
      if (errno == ELOOP || errno == ENOTDIR) refuse("the path goes through a link");
      io::throw_system_error(source.folder / location, "open", errno);
    }
    at.reset(next);
  }
  struct stat status {};
  if (::fstat(at.get(), &status) != 0) io::throw_system_error(location, "read", errno);
  if (!S_ISREG(status.st_mode)) refuse("not a plain file");
  if (status.st_nlink != 1) refuse("a file with several names (hard links)");
  auto size = static_cast<int64_t>(status.st_size);
  if (length < 0) length = size - offset;
  if (offset < 0 || length < 0 || offset > size || length > size - offset)
    refuse(str("bytes ", offset, " to ", offset + length, " of a file of ", size));
  int64_t& read = (*source.read)[{status.st_dev, status.st_ino}];
  if (length > 2 * size - read)
    refuse("the model's tensors take more than twice the bytes that it holds");
  read += length;
  std::string bytes(static_cast<size_t>(length), '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    ssize_t got = ::pread(at.get(), bytes.data() + done, bytes.size() - done,
                          static_cast<off_t>(offset) + static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) io::throw_system_error(location, "read", errno);
    if (got == 0) refuse("it became shorter while it was read");
    done += static_cast<size_t>(got);
  }
  return bytes;
}

}  // namespace wafer::onnx
