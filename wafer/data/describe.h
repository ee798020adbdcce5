#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "wafer/data/load.h"

namespace wafer::data {

// What load() with the same arguments will give, as far as it is known without decoding examples:
// kind, task and shape; the classes' names are placeholders of the right number. Nothing where only
// reading tells (tables, text, images of any folder), and where there is no such set: load() says
// why.
std::optional<Description> describe(const std::string& name, const std::filesystem::path& path = {},
                                    const LoadOptions& options = {});

}  // namespace wafer::data
