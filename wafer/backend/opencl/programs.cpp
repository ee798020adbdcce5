// Compiling sources, and keeping what was compiled: in this process while it is used, and in the
// cache folder by device, driver, options and source.
#include "wafer/backend/opencl/context.h"
#include "wafer/base/error.h"
#include "wafer/kernel/device/binary_cache.h"

namespace wafer::opencl {

std::string ClContext::cache_key(const std::string& source) const {
  return str(capabilities_.name, '\n', capabilities_.driver, '\n', capabilities_.platform, '\n',
             options_, '\n', source);
}

cl_program ClContext::load(const std::string& key) const {
  std::optional<std::string> kept = kernel::load_binary("opencl", key);
  if (!kept) return nullptr;
  auto* binary = reinterpret_cast<const unsigned char*>(kept->data());
  size_t length = kept->size();
  cl_int of_binary, status;
  cl_program program =
      api_.create_program_from_binary(context_, 1, &device_, &length, &binary, &of_binary, &status);
  if (status != CL_SUCCESS) return nullptr;
  if (api_.build_program(program, 1, &device_, options_.c_str(), nullptr, nullptr) == CL_SUCCESS)
    return program;
  api_.release_program(program);
  return nullptr;
}

void ClContext::save(const std::string& key, cl_program program) const {
  size_t length = 0;
  if (api_.get_program_info(program, CL_PROGRAM_BINARY_SIZES, sizeof length, &length, nullptr) !=
      CL_SUCCESS)
    return;
  std::string binary(length, '\0');
  auto* to = reinterpret_cast<unsigned char*>(binary.data());
  if (length == 0 ||
      api_.get_program_info(program, CL_PROGRAM_BINARIES, sizeof to, &to, nullptr) != CL_SUCCESS)
    return;
  kernel::save_binary("opencl", key, binary);
}

cl_program ClContext::build(const std::string& source) const {
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

std::shared_ptr<const kernel::CompiledSource> ClContext::compile(const std::string& source,
                                                                 bool keep) const {
  std::lock_guard lock(programs_mutex_);
  auto& known = programs_[source];
  if (auto program = known.lock()) return program;
  std::string key = cache_key(source);
  cl_program handle = load(key);
  if (!handle) {
    handle = build(source);
    save(key, handle);
  }
  auto program = std::make_shared<ClProgram>(api_, handle);
  known = program;
  if (keep) kept_.push_back(program);
  return program;
}

}  // namespace wafer::opencl
