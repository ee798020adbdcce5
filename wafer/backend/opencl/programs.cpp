// Compiling sources, and keeping what was compiled: in this process while it is used, and in the
// cache folder by device, driver, options and source.
#include <cstdio>
#include <cstring>

#include "wafer/backend/opencl/context.h"
#include "wafer/base/cache_folder.h"
#include "wafer/base/error.h"
#include "wafer/base/log.h"
#include "wafer/io/file.h"

namespace wafer::opencl {

namespace {
namespace fs = std::filesystem;

// FNV-1a, 64 bits. The file holds the whole key, so that a collision is only a miss.
uint64_t hash_of(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3u;
  return hash;
}

fs::path file_of(const std::string& key) {
  fs::path folder = cache_folder();
  if (folder.empty()) return {};
  char name[17];
  std::snprintf(name, sizeof name, "%016llx", static_cast<unsigned long long>(hash_of(key)));
  return folder / "opencl" / (std::string(name) + ".bin");
}
}  // namespace

std::string ClContext::cache_key(const std::string& source) const {
  return str(capabilities_.name, '\n', capabilities_.driver, '\n', capabilities_.platform, '\n',
             options_, '\n', source);
}

namespace {
// What a file begins with: the lengths of key and binary, which follow, and a hash of the binary,
// since drivers do not look twice at what they are given.
struct Head {
  uint64_t key, binary, hash;
};
}  // namespace

cl_program ClContext::load(const std::string& key) const {
  fs::path file = file_of(key);
  std::error_code ignored;
  if (file.empty() || !fs::exists(file, ignored)) return nullptr;
  try {
    io::Bytes bytes = io::read_file(file, uint64_t{1} << 28);
    Head head{};
    if (bytes.size() < sizeof head) return nullptr;
    std::memcpy(&head, bytes.data(), sizeof head);
    std::string_view rest(reinterpret_cast<const char*>(bytes.data()) + sizeof head,
                          bytes.size() - sizeof head);
    if (head.key != key.size() || rest.substr(0, key.size()) != key) return nullptr;
    rest.remove_prefix(key.size());
    if (head.binary != rest.size() || head.hash != hash_of(rest)) return nullptr;
    auto* binary = reinterpret_cast<const unsigned char*>(rest.data());
    size_t length = rest.size();
    cl_int of_binary, status;
    cl_program program = api_.create_program_from_binary(context_, 1, &device_, &length, &binary,
                                                         &of_binary, &status);
    if (status != CL_SUCCESS) return nullptr;
    if (api_.build_program(program, 1, &device_, options_.c_str(), nullptr, nullptr) == CL_SUCCESS)
      return program;
    api_.release_program(program);
  } catch (const Error& error) {
    log("debug", str("opencl: ", error.what()));
  }
  return nullptr;
}

void ClContext::save(const std::string& key, cl_program program) const {
  fs::path file = file_of(key);
  size_t length = 0;
  if (file.empty() || api_.get_program_info(program, CL_PROGRAM_BINARY_SIZES, sizeof length,
                                            &length, nullptr) != CL_SUCCESS)
    return;
  std::string binary(length, '\0');
  auto* to = reinterpret_cast<unsigned char*>(binary.data());
  if (length == 0 ||
      api_.get_program_info(program, CL_PROGRAM_BINARIES, sizeof to, &to, nullptr) != CL_SUCCESS)
    return;
  Head head{key.size(), length, hash_of(binary)};
  std::string text(reinterpret_cast<const char*>(&head), sizeof head);
  try {
    io::make_folder(file.parent_path());
    io::write_file_atomic(file, text + key + binary);
  } catch (const Error& error) {
    log("debug", str("opencl: compiled kernels are not kept: ", error.what()));
  }
}

cl_program ClContext::compile(const std::string& source) const {
  const char* text = source.c_str();
  cl_int status;
  cl_program program = api_.create_program(context_, 1, &text, nullptr, &status);
  check(status, "taking a kernel's source");
  status = api_.build_program(program, 1, &device_, options_.c_str(), nullptr, nullptr);
  if (status == CL_SUCCESS) return program;
  std::string report(100000, '\0');
  size_t size = 0;
  api_.get_build_info(program, device_, CL_PROGRAM_BUILD_LOG, report.size(), report.data(), &size);
  api_.release_program(program);
  throw InternalError(str("OpenCL: a kernel does not compile on ", capabilities_.name, ", driver ",
                          capabilities_.driver, ":\n", report.c_str(), "\n", source));
}

std::shared_ptr<ClProgram> ClContext::program(const std::string& source, bool keep) const {
  std::lock_guard lock(programs_mutex_);
  auto& known = programs_[source];
  if (auto program = known.lock()) return program;
  std::string key = cache_key(source);
  cl_program handle = load(key);
  if (!handle) {
    handle = compile(source);
    save(key, handle);
  }
  auto program = std::make_shared<ClProgram>(api_, handle);
  known = program;
  if (keep) kept_.push_back(program);
  return program;
}

}  // namespace wafer::opencl
