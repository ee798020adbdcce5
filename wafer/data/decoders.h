#pragma once
#include <filesystem>
#include <string>

#include "wafer/data/load.h"

// One function per kind of data; load() chooses between them.
namespace wafer::data {

// What a decoder reads before it becomes sets. A part without examples is one that the data does
// not have.
struct Content {
  Description description;
  ArrayPart train, validation, test;
};

Splits make_splits(Content content);

// CIFAR-10's binary batches, in a folder or an archive; false when there are none at `path`.
bool has_cifar_batches(const std::filesystem::path& path);
Content decode_cifar_batches(const std::filesystem::path& path);

// IDX pairs (MNIST's names) in a folder.
bool has_idx_files(const std::filesystem::path& path);
Content decode_idx(const std::filesystem::path& path);

// Images in folders named after classes, [train|validation|test/]CLASS/x.jpg, in a folder or an
// archive.
Content decode_images(const std::filesystem::path& path, const LoadOptions& options);

// Recordings named DIGIT_SPEAKER_INDEX.wav, in a folder or an archive.
Content decode_spoken_digits(const std::filesystem::path& path, const LoadOptions& options);

Splits load_text(const std::filesystem::path& path, const LoadOptions& options,
                 const std::string& name);
Splits load_table(const std::filesystem::path& path, const LoadOptions& options,
                  const std::string& name);

// Ten classes of shapes drawn from the seed.
Splits draw_shapes(const LoadOptions& options);

// The one archive in a folder, or `path` itself when it is one; empty when there is none.
std::filesystem::path only_archive(const std::filesystem::path& path);

}  // namespace wafer::data
