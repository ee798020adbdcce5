#pragma once
#include <string>

#include "wafer/runtime/registry.h"

namespace wafer {

// A backend in a library of its own, libwafer_<name>.so beside libwafer, so that wafer starts
// without what it needs. The library has one C function, `wafer_plugin`, which gives this.
struct PluginEntry {
  uint32_t version;           // plugin_version of the headers that it was built with
  const char* wafer_version;  // of the wafer that it was built with: they share C++ objects
  Backend (*find)();
};
inline constexpr uint32_t plugin_version = 1;
using PluginFunction = const PluginEntry* (*)();

// What the plug-in of that name finds, or why there is none: no such library, one that does not
// load, or one of another wafer. `folder`: where to look; empty: beside libwafer.
Backend load_plugin(const std::string& name, const std::string& folder = "");

}  // namespace wafer
