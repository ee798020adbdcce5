#include "wafer/data/registry.h"

#include "wafer/base/env.h"

namespace wafer::data {

const std::vector<KnownSet>& known_sets() {
  static const std::vector<KnownSet> sets = {
      {"cifar10", "images", "60,000 colour images 32x32, 10 classes",
       "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz, packed or unpacked; or images as "
       "train/CLASS/x.jpg and test/CLASS/x.jpg, also in a .tar, .tar.xz or .zip"},
      {"mnist", "images", "70,000 grey images 28x28 of handwritten digits, 10 classes",
       "the four IDX files (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-...), plain or "
       ".gz"},
      {"fsdd", "audio", "3,000 recordings of spoken digits by 6 speakers, 10 classes",
       "the recordings folder of github.com/Jakobovski/free-spoken-digit-dataset, plain or in a "
       ".tar.xz"},
      {"gtsrb", "images", "German traffic signs 32x32, 43 classes",
       "an archive with train/CLASS/x.jpg, test/x.jpg and test.csv (path, class_id), and "
       "classes.txt"},
      {"orl_faces", "images", "400 grey images 92x112 of 40 persons",
       "an archive or folder with orl_faces/sP/I.pgm (AT&T Laboratories Cambridge)"},
      {"lfw_subset", "images", "992 grey images 250x250 of 62 persons",
       "an archive or folder with PERSON/x.jpg from Labeled Faces in the Wild"},
      {"tiny_shakespeare", "text", "1.1 million characters of plays",
       "input.txt of github.com/karpathy/char-rnn, data/tinyshakespeare"},
      {"credit_default", "table", "30,000 credit card clients, 23 columns, 2 classes",
       "UCI 'default of credit card clients' as .csv or .csv.gz with the columns ID, X1..X23, Y"},
      {"german_credit", "table", "1,000 loan applicants, 20 columns, 2 classes",
       "german.data of UCI 'Statlog (German Credit Data)'"},
      {"shapes", "drawn", "drawn shapes 32x32 in colour with noise, 10 classes",
       "nothing to get: the images are drawn from a seed"}};
  return sets;
}

const KnownSet* find_known_set(const std::string& name) {
  for (const KnownSet& set : known_sets()) {
    if (set.name == name) return &set;
  }
  return nullptr;
}

std::vector<std::filesystem::path> search_paths(const std::string& name) {
  std::vector<std::filesystem::path> paths;
  if (auto folder = environment("WAFER_DATA"))
    paths.push_back(std::filesystem::path(*folder) / name);
  paths.push_back(std::filesystem::path("data") / name);
  paths.push_back(std::filesystem::path("..") / "shared" / "data" / name);
  return paths;
}

std::optional<std::filesystem::path> find(const std::string& name) {
  for (const std::filesystem::path& path : search_paths(name)) {
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored) && !std::filesystem::is_empty(path, ignored))
      return path;
  }
  return std::nullopt;
}

}  // namespace wafer::data
