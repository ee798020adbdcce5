#include <algorithm>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/data/decoders.h"
#include "wafer/io/archive.h"

namespace wafer::data {

namespace fs = std::filesystem;

namespace {

constexpr size_t kPixels = 3 * 32 * 32, kRecord = 1 + kPixels;  // a label, then R, G and B planes

bool is_batch_name(const std::string& name) {
  return (name.starts_with("data_batch_") || name == "test_batch.bin") && name.ends_with(".bin");
}

struct Builder {
  std::shared_ptr<io::Bytes> pixels = std::make_shared<io::Bytes>();
  ArrayPart part;

  void add(const io::Bytes& batch, const std::string& where) {
    if (batch.empty() || batch.size() % kRecord != 0) {
      throw UserError(
          where,
          "the CIFAR-10 batch is cut short or damaged: its size is no whole number of records",
          {.got = str(batch.size(), " bytes"),
           .expected = str("a multiple of ", kRecord),
           .hint = "fetch or unpack the file again"});
    }
    for (size_t at = 0; at < batch.size(); at += kRecord) {
      if (batch[at] > 9) {
        throw UserError(
            where, str("the label of record ", at / kRecord, " (offset ", at, ") is out of range"),
            {.got = str(int{batch[at]}),
             .expected = "0 to 9",
             .hint = "fetch or unpack the file again"});
      }
      part.labels.push_back(batch[at]);
      pixels->insert(pixels->end(), batch.begin() + static_cast<ptrdiff_t>(at + 1),
                     batch.begin() + static_cast<ptrdiff_t>(at + kRecord));
    }
  }

  ArrayPart finish() {
    part.inputs = std::as_bytes(std::span(*pixels));
    part.owner = pixels;
    return std::move(part);
  }
};

// The batches by file name, from a folder or an archive.
std::vector<std::pair<std::string, io::Bytes>> read_batches(const fs::path& path) {
  std::vector<std::pair<std::string, io::Bytes>> batches;
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) {
    for (const auto& entry : fs::directory_iterator(path)) {
      std::string name = entry.path().filename().string();
      if (is_batch_name(name))
        batches.emplace_back(name, io::read_file(entry.path(), uint64_t{1} << 32));
    }
  } else {
    io::for_each_entry(
        path,
        [&](const std::string& name, io::Bytes bytes) {
          batches.emplace_back(fs::path(name).filename().string(), std::move(bytes));
        },
        [](const std::string& name) { return is_batch_name(fs::path(name).filename().string()); });
  }
  std::sort(batches.begin(), batches.end());
  return batches;
}

fs::path batches_folder(const fs::path& path) {
  std::error_code ignored;
  for (const fs::path& folder : {path, path / "cifar-10-batches-bin"}) {
    if (fs::is_regular_file(folder / "test_batch.bin", ignored) ||
        fs::is_regular_file(folder / "data_batch_1.bin", ignored)) {
      return folder;
    }
  }
  fs::path archive = only_archive(path);
  if (archive.filename().string().starts_with("cifar-10-binary")) return archive;
  return {};
}

// Training on less than the whole set would look like a worse model.
void check_complete(const std::vector<std::pair<std::string, io::Bytes>>& batches,
                    const fs::path& source) {
  for (const char* name : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                           "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"}) {
    bool found = std::any_of(batches.begin(), batches.end(),
                             [&](const auto& batch) { return batch.first == name; });
    if (!found) {
      throw UserError(source.string(), str("the file ", name, " is missing"),
                      {.expected = "data_batch_1.bin to data_batch_5.bin and test_batch.bin",
                       .hint = "unpack the whole archive, "
                               "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"});
    }
  }
}

}  // namespace

bool has_cifar_batches(const fs::path& path) {
  return !batches_folder(path).empty();
}

Content decode_cifar_batches(const fs::path& path) {
  fs::path source = batches_folder(path);
  Builder train, test;
  auto batches = read_batches(source);
  check_complete(batches, source);
  for (const auto& [name, bytes] : batches) {
    (name == "test_batch.bin" ? test : train).add(bytes, (source / name).string());
  }
  Content content;
  content.description = {.name = "cifar10",
                         .where = path.string(),
                         .kind = InputKind::image,
                         .task = Task::classification,
                         .stored = DType::u8,
                         .shape = {3, 32, 32},
                         .classes = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog",
                                     "horse", "ship", "truck"}};
  content.train = train.finish();
  content.test = test.finish();
  return content;
}

}  // namespace wafer::data
