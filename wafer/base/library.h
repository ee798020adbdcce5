#pragma once
#include <dlfcn.h>

#include <initializer_list>
#include <optional>
#include <string>

#include "wafer/base/error.h"

// Tables of functions out of shared libraries that are opened when somebody asks for them, so that
// nothing links against what a machine may lack.
namespace wafer {

struct LibraryFunctions {
  void* library;
  std::string missing;  // a function that the library lacks

  template <class Function>
  void get(Function& function, const char* name) {
    function = reinterpret_cast<Function>(::dlsym(library, name));
    if (!function && missing.empty()) missing = name;
  }
};

// A table of functions, or why there is none.
template <class Table>
struct LoadedTable {
  std::optional<Table> table;
  std::string why;

  const Table* get(std::string& reason) const {
    reason = why;
    return table ? &*table : nullptr;
  }
};

// What `fill` finds in the first of these libraries that opens. Names are searched where the run
// path of the caller's own library points to, too, which is why this is a header. `absent` is the
// reason where none opens; where one lacks a function the reason is that `name` is older than
// `needed`.
template <class Table>
LoadedTable<Table> load_table(std::initializer_list<const char*> files,
                              Table (*fill)(LibraryFunctions&), const std::string& absent,
                              const std::string& name, const std::string& needed) {
  LibraryFunctions functions{nullptr, ""};
  for (const char* file : files) {
    if (!functions.library) functions.library = ::dlopen(file, RTLD_NOW | RTLD_LOCAL);
  }
  if (!functions.library) return {std::nullopt, absent};
  Table table = fill(functions);
  if (functions.missing.empty()) return {table, ""};
  return {std::nullopt, str(name, " is older than ", needed, ": it has no ", functions.missing)};
}

}  // namespace wafer
