#include "wafer/runtime/plugin.h"

#include <dlfcn.h>

#include <filesystem>

#include "wafer/base/strings.h"

namespace wafer {

namespace {
// The folder that libwafer, which holds this function, was loaded from.
std::filesystem::path own_folder() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<void*>(&own_folder), &info) == 0 || !info.dli_fname) return {};
  return std::filesystem::path(info.dli_fname).parent_path();
}
}  // namespace

Backend load_plugin(const std::string& name, const std::string& folder) {
  Backend absent{name, {}, ""};
  std::filesystem::path file = folder.empty() ? own_folder() : std::filesystem::path(folder);
  file /= "libwafer_" + name + ".so";
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) {
    absent.absent_reason = str("its plug-in, ", file.filename().string(),
                               ", is not beside libwafer: wafer was built "
                               "where CMake found no headers for it");
    return absent;
  }
  void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* why = ::dlerror();
    absent.absent_reason = str("its plug-in does not load: ", why ? why : "no reason given");
    return absent;
  }
  auto function = reinterpret_cast<PluginFunction>(::dlsym(library, "wafer_plugin"));
  const PluginEntry* entry = function ? function() : nullptr;
  if (!entry || entry->version != plugin_version || str(entry->wafer_version) != WAFER_VERSION) {
    absent.absent_reason = str("its plug-in, ", file.string(),
                               ", was built for another version of wafer; install both "
                               "together");
    ::dlclose(library);
    return absent;
  }
  return entry->find();
}

}  // namespace wafer
