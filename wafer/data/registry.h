#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace wafer::data {

struct KnownSet {
  std::string name, kind, what;  // kind: "images", "table", "text", "audio", "drawn"
  std::string how_to_get;        // what to put where
};

const std::vector<KnownSet>& known_sets();
// Null when there is no such set.
const KnownSet* find_known_set(const std::string& name);

// Where a known set would be looked for, best first: WAFER_DATA, data/ and ../shared/data, each
// with the set's name as a folder.
std::vector<std::filesystem::path> search_paths(const std::string& name);
// The first of these that is there.
std::optional<std::filesystem::path> find(const std::string& name);

}  // namespace wafer::data
