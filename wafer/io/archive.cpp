#include "wafer/io/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include <algorithm>
#include <memory>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"

namespace wafer::io {

namespace {

struct CloseArchive {
  void operator()(archive* handle) const { archive_read_free(handle); }
};
using ArchiveHandle = std::unique_ptr<archive, CloseArchive>;

constexpr const char* kMend = "fetch or copy the file again";

[[noreturn]] void fail(const std::string& where, archive* handle, const std::string& entry) {
  const char* text = archive_error_string(handle);
  throw UserError(where,
                  "the archive is damaged" + (entry.empty() ? "" : " at entry '" + entry + "'") +
                      ": " + (text != nullptr ? text : "unknown fault"),
                  {.hint = kMend});
}

ArchiveHandle make_reader() {
  ArchiveHandle handle(archive_read_new());
  if (!handle) throw std::bad_alloc();
  archive_read_support_filter_gzip(handle.get());
  archive_read_support_filter_xz(handle.get());
  archive_read_support_filter_bzip2(handle.get());
  archive_read_support_filter_zstd(handle.get());
  archive_read_support_format_tar(handle.get());
  archive_read_support_format_zip_seekable(handle.get());
  return handle;
}

std::string entry_name(archive_entry* entry) {
  const char* name = archive_entry_pathname_utf8(entry);
  if (name == nullptr) name = archive_entry_pathname(entry);
  std::string text = name == nullptr ? "" : name;
  return text.rfind("./", 0) == 0 ? text.substr(2) : text;
}

// The stated size is not trusted: memory grows with the bytes that really come.
Bytes read_entry(archive* handle, const std::string& where, const std::string& name,
                 uint64_t limit) {
  Bytes bytes;
  while (true) {
    const void* block = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    int status = archive_read_data_block(handle, &block, &size, &offset);
    if (status == ARCHIVE_EOF) return bytes;
    if (status != ARCHIVE_OK) fail(where, handle, name);
    uint64_t begin = static_cast<uint64_t>(offset);
    if (begin < bytes.size() || begin > limit || size > limit - begin) {
      throw UserError(
          where, "entry '" + name + "' is too large",
          {.expected = str("at most ", limit, " bytes"), .hint = "is this the right archive?"});
    }
    bytes.resize(begin);  // a hole of a sparse file reads as zeros
    auto data = static_cast<const uint8_t*>(block);
    bytes.insert(bytes.end(), data, data + size);
  }
}

}  // namespace

bool is_archive_name(const std::filesystem::path& path) {
  std::string name = lower(path.filename().string());
  for (const char* ending :
       {".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tar.zst", ".zip"}) {
    if (name.ends_with(ending)) return true;
  }
  return false;
}

void for_each_entry(ByteView bytes, const std::string& where,
                    const std::function<void(const std::string&, Bytes)>& visit,
                    const std::function<bool(const std::string&)>& wanted,
                    const ArchiveLimits& limits) {
  ArchiveHandle handle = make_reader();
  if (archive_read_open_memory(handle.get(), bytes.data(), bytes.size()) != ARCHIVE_OK) {
    throw UserError(where, str("not a tar or zip archive: ", archive_error_string(handle.get())),
                    {.hint = "archives may be .tar, .tar.gz, .tar.xz, .tar.bz2, .tar.zst or .zip"});
  }
  uint64_t total = 0, count = 0;
  std::string last;
  while (true) {
    archive_entry* entry = nullptr;
    int status = archive_read_next_header(handle.get(), &entry);
    if (status == ARCHIVE_EOF) break;
    if (status != ARCHIVE_OK && status != ARCHIVE_WARN) fail(where, handle.get(), last);
    last = entry_name(entry);
    if (++count > limits.entries) {
      throw UserError(where, str("the archive has more than ", limits.entries, " entries"));
    }
    if (archive_entry_filetype(entry) != AE_IFREG || (wanted && !wanted(last))) continue;
    if (archive_entry_is_encrypted(entry)) {
      throw UserError(where, "entry '" + last + "' is encrypted",
                      {.hint = "pack it without a password"});
    }
    Bytes content = read_entry(handle.get(), where, last,
                               std::min(limits.entry_bytes, limits.total_bytes - total));
    total += content.size();
    visit(last, std::move(content));
  }
  if (count == 0) {
    throw UserError(where, "the archive is empty", {.hint = kMend});
  }
}

void for_each_entry(const std::filesystem::path& path,
                    const std::function<void(const std::string&, Bytes)>& visit,
                    const std::function<bool(const std::string&)>& wanted,
                    const ArchiveLimits& limits) {
  MemoryMap map(path);
  for_each_entry(map.bytes(), path.string(), visit, wanted, limits);
}

Bytes gunzip(ByteView compressed, const std::string& where, uint64_t limit) {
  z_stream stream{};
  // 15 window bits, + 16: gzip framing, so that checksum and length are verified.
  if (inflateInit2(&stream, 15 + 16) != Z_OK) throw std::bad_alloc();
  std::unique_ptr<z_stream, void (*)(z_stream*)> guard(&stream, [](z_stream* s) { inflateEnd(s); });
  Bytes output;
  size_t used = 0, consumed = 0;
  constexpr size_t kStep = size_t{1} << 30;  // zlib counts in 32 bits
  while (true) {
    if (output.size() == used) {
      if (used > limit) {
        throw UserError(
            where, "the expanded data is too large",
            {.expected = str("at most ", limit, " bytes"), .hint = "is this the right file?"});
      }
      output.resize(std::min<uint64_t>(
          limit + 1, std::max<uint64_t>({used * 2, compressed.size() * 4, 4096})));
    }
    size_t room = std::min(output.size() - used, kStep);
    size_t available = std::min(compressed.size() - consumed, kStep);
    stream.next_in = const_cast<Bytef*>(compressed.data() + consumed);
    stream.avail_in = static_cast<uInt>(available);
    stream.next_out = output.data() + used;
    stream.avail_out = static_cast<uInt>(room);
    int status = inflate(&stream, Z_NO_FLUSH);
    consumed += available - stream.avail_in;
    used += room - stream.avail_out;
    if (status == Z_STREAM_END) {
      bool more = compressed.size() - consumed >= 2 && compressed[consumed] == 0x1f &&
                  compressed[consumed + 1] == 0x8b;
      if (!more) break;
      inflateReset(&stream);
      continue;
    }
    if (status == Z_OK) continue;
    if (status == Z_BUF_ERROR && stream.avail_out == 0) continue;
    bool truncated = status == Z_BUF_ERROR;
    throw UserError(where,
                    str("the gzip data is ", truncated ? "cut short" : "damaged", " at offset ",
                        consumed, !truncated && stream.msg != nullptr ? str(": ", stream.msg) : ""),
                    {.hint = kMend});
  }
  if (used > limit) {
    throw UserError(where, "the expanded data is too large",
                    {.expected = str("at most ", limit, " bytes")});
  }
  output.resize(used);
  return output;
}

Bytes read_maybe_gzip(const std::filesystem::path& path, uint64_t limit) {
  Bytes bytes = read_file(path, limit);
  if (bytes.size() < 2 || bytes[0] != 0x1f || bytes[1] != 0x8b) return bytes;
  return gunzip(bytes, path.string(), limit);
}

}  // namespace wafer::io
