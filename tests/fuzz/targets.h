#pragma once
#include <functional>
#include <map>
#include <string>

#include "wafer/io/file.h"

namespace wafer::testing {

// A reader of files by the name of its fuzzer: takes any bytes, and throws a UserError for those
// that it refuses. Whatever else happens is a fault.
using FuzzTarget = std::function<void(io::ByteView bytes)>;
const std::map<std::string, FuzzTarget>& fuzz_targets();

}  // namespace wafer::testing
