#pragma once
#include <dlfcn.h>

#include <initializer_list>
#include <optional>
#include <string>

#include "wafer/base/error.h"

// Fills tables of functions from libraries that are opened when somebody asks for them.
namespace wafer::cuda {

struct Loader {
  void* library;
  std::string missing;  // a function that the library lacks

  template <class Function>
  void get(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(library, name));
    if (!function && missing.empty()) missing = name;
  }
};

// The first of these libraries that opens. Names are searched where the plug-in's run path points
// to, too: the toolkit that it was built with.
inline void* open_any(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (void* library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  }
  return nullptr;
}

// A table of functions, or why there is none.
template <class Table>
struct Loaded {
  std::optional<Table> table;
  std::string why;

  const Table* get(std::string& reason) const {
    reason = why;
    return table ? &*table : nullptr;
  }
};

// `name` begins the sentence that says what is older than `needed`.
template <class Table>
Loaded<Table> load(std::initializer_list<const char*> files, Table (*fill)(Loader&),
                   const std::string& absent, const std::string& name,
                   const std::string& needed = "CUDA 12") {
  Loader loader{open_any(files), ""};
  if (!loader.library) return {std::nullopt, absent};
  Table table = fill(loader);
  if (loader.missing.empty()) return {table, ""};
  return {std::nullopt, str(name, " is older than ", needed, ": it has no ", loader.missing)};
}

}  // namespace wafer::cuda
