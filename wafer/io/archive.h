#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "wafer/io/file.h"

namespace wafer::io {

struct ArchiveLimits {
  uint64_t entry_bytes = uint64_t{1} << 30;
  uint64_t total_bytes = uint64_t{1} << 36;
  uint64_t entries = 50'000'000;
};

// True for names that end in .tar, .tar.gz, .tgz, .tar.xz, .txz, .tar.bz2, .tar.zst or .zip.
bool is_archive_name(const std::filesystem::path& path);

// Calls `visit` with the name and the bytes of every regular file of a .tar (also .gz, .xz, .bz2,
// .zst) or .zip, in the archive's order. Nothing is written to disk, so no name can do harm.
// Entries for which `wanted` (if given) is false are skipped. UserError when the archive is damaged
// or above the limits.
void for_each_entry(const std::filesystem::path& path,
                    const std::function<void(const std::string& name, Bytes bytes)>& visit,
                    const std::function<bool(const std::string& name)>& wanted = {},
                    const ArchiveLimits& limits = {});
void for_each_entry(ByteView archive, const std::string& where,
                    const std::function<void(const std::string& name, Bytes bytes)>& visit,
                    const std::function<bool(const std::string& name)>& wanted = {},
                    const ArchiveLimits& limits = {});

// Expands gzip data (all members) into memory. UserError when damaged, cut short or above `limit`
// bytes.
Bytes gunzip(ByteView compressed, const std::string& where, uint64_t limit = uint64_t{1} << 34);

// A file as it is, or expanded when it starts with gzip's magic number.
Bytes read_maybe_gzip(const std::filesystem::path& path, uint64_t limit = uint64_t{1} << 34);

}  // namespace wafer::io
