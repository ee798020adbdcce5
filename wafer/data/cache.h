#pragma once
#include <filesystem>
#include <functional>
#include <string>

#include "wafer/data/decoders.h"

namespace wafer::data {

// WAFER_CACHE, or ~/.cache/wafer; empty when there is neither.
std::filesystem::path cache_folder();

// What `decode` makes of the file or folder `source`, decoded once: kept in cache_folder() under a
// key of the source's path, sizes and times of change, `options_text` and the format's version. A
// cached file is checked whole (checksum) and memory-mapped; a damaged one is decoded again with a
// warning, as is one that cannot be written.
Content cached(const std::string& name, const std::filesystem::path& source,
               const std::string& options_text, const std::function<Content()>& decode);

// The two halves, for tests.
void save_content(const std::filesystem::path& file, const std::string& key,
                  const Content& content);
Content load_content(const std::filesystem::path& file, const std::string& key);

}  // namespace wafer::data
