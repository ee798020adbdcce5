#include <algorithm>
#include <charconv>
#include <map>
#include <numeric>
#include <set>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/base/threads.h"
#include "wafer/data/augment.h"
#include "wafer/data/decoders.h"
#include "wafer/io/archive.h"
#include "wafer/io/csv.h"

namespace wafer::data {

namespace fs = std::filesystem;

namespace {

constexpr size_t kTrain = 0, kValidation = 1, kTest = 2;
constexpr size_t kChunkBytes = size_t{128} << 20;

struct Place {
  size_t part = kTrain;
  bool in_part = false;    // under a folder named after a part
  std::string class_name;  // "" when the image lies directly in a part's folder
};

Place place_of(const std::string& name) {
  std::vector<std::string> folders = split(name, '/');
  folders.pop_back();
  Place place;
  static const std::map<std::string, size_t> parts = {
      {"train", kTrain},          {"training", kTrain}, {"test", kTest},
      {"testing", kTest},         {"val", kValidation}, {"valid", kValidation},
      {"validation", kValidation}};
  for (size_t i = 0; i < folders.size(); ++i) {
    auto found = parts.find(lower(folders[i]));
    if (found == parts.end()) continue;
    place.part = found->second;
    place.in_part = true;
    if (i + 1 < folders.size()) place.class_name = folders[i + 1];
    return place;
  }
  if (!folders.empty()) place.class_name = folders.back();
  return place;
}

// Rows of a train.csv or test.csv: label and group of images by path.
struct Listing {
  struct Row {
    std::string label;
    int64_t group = -1;
  };
  std::map<std::string, Row> rows;

  void read(const io::Bytes& bytes, const std::string& where) {
    io::CsvTable table = io::parse_csv({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                                       where, {.header = true, .categorical = {}});
    const io::CsvColumn *path = nullptr, *label = nullptr, *track = nullptr;
    for (const io::CsvColumn& column : table.columns) {
      std::string title = lower(column.name);
      if (title == "path" && column.categorical) path = &column;
      if (title == "class_id" || title == "class") label = &column;
      if (title == "track" && !column.categorical) track = &column;
    }
    if (path == nullptr || label == nullptr) return;  // a table about something else
    for (size_t i = 0; i < static_cast<size_t>(table.rows); ++i) {
      Row row;
      row.label = label->categorical ? label->categories[static_cast<size_t>(label->codes[i])]
                                     : str(static_cast<int64_t>(label->numbers[i]));
      if (track != nullptr) row.group = static_cast<int64_t>(track->numbers[i]);
      rows[path->categories[static_cast<size_t>(path->codes[i])]] = row;
    }
  }
};

// "00007" and "7" are one class.
std::string plain_class(const std::string& name) {
  bool digits = !name.empty() &&
                std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits || name.size() > 9) return name;
  return str(std::stoll(name));
}

class ImageReader {
 public:
  ImageReader(const fs::path& path, const LoadOptions& options)
      : path_(path), source_(only_archive(path)), options_(options) {}

  Content read() {
    if (source_.empty()) {
      read_folder();
    } else {
      read_archive();
    }
    decode_pending();
    WAFER_REQUIRE(shape_set_, path_.string(), "no images were found",
                  "; expected [train|test/]CLASS/x.jpg, .png or .pgm, in folders or an archive");
    return finish();
  }

 private:
  struct Pending {
    std::string name;
    io::Bytes bytes;
  };
  struct Part {
    std::shared_ptr<io::Bytes> pixels = std::make_shared<io::Bytes>();
    std::vector<std::string> names;
  };

  void read_archive() {
    io::for_each_entry(
        source_, [&](const std::string& name, io::Bytes bytes) { take(name, std::move(bytes)); },
        [](const std::string& name) {
          return io::is_image_name(name) || name.ends_with(".csv") ||
                 fs::path(name).filename() == "classes.txt";
        });
    std::error_code ignored;
    fs::path beside = source_.parent_path() / "classes.txt";
    if (fs::is_regular_file(beside, ignored)) take("classes.txt", io::read_file(beside));
  }

  void read_folder() {
    std::vector<fs::path> files;
    std::set<fs::path> folders, filled;
    for (const auto& entry : fs::recursive_directory_iterator(path_)) {
      if (entry.is_directory()) folders.insert(entry.path());
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files) {
      if (io::is_image_name(file)) {
        for (fs::path up = file.parent_path(); filled.insert(up).second && up != path_;)
          up = up.parent_path();
      }
    }
    for (const fs::path& folder : folders) {
      WAFER_REQUIRE(filled.contains(folder) || filled.empty(), folder.string(),
                    "the class folder holds no images; put images in it or remove it");
    }
    for (const fs::path& file : files) {
      std::string name = file.lexically_relative(path_).generic_string();
      if (io::is_image_name(file) || file.extension() == ".csv" || name == "classes.txt") {
        take(name, io::read_file(file, uint64_t{1} << 30));
      }
    }
  }

  void take(const std::string& name, io::Bytes bytes) {
    if (name.ends_with(".csv")) {
      listing_.read(bytes, where(name));
    } else if (fs::path(name).filename() == "classes.txt") {
      class_lines_.clear();
      for (const std::string& line : split(std::string(bytes.begin(), bytes.end()), '\n')) {
        if (!trim(line).empty()) class_lines_.push_back(trim(line));
      }
    } else {
      pending_bytes_ += bytes.size();
      pending_.push_back({name, std::move(bytes)});
      if (pending_bytes_ > kChunkBytes) decode_pending();
    }
  }

  std::string where(const std::string& name) const {
    return (source_.empty() ? path_ : source_).string() + (source_.empty() ? "/" : ": ") + name;
  }

  io::Image decode(const Pending& item) const {
    io::Image image = io::decode_image(item.bytes, where(item.name));
    if (options_.channels != 0)
      image = convert_channels(image, static_cast<int>(options_.channels));
    if (options_.image_height != 0 && options_.image_width != 0) {
      image = resize(image, static_cast<int>(options_.image_height),
                     static_cast<int>(options_.image_width));
    }
    return image;
  }

  // Decodes what has been gathered on all threads, each image to its place.
  void decode_pending() {
    if (pending_.empty()) return;
    if (!shape_set_) {
      io::Image first = decode(pending_[0]);
      shape_ = {first.channels, first.height, first.width};
      first_name_ = pending_[0].name;
      shape_set_ = true;
    }
    size_t width = static_cast<size_t>(shape_[0] * shape_[1] * shape_[2]);
    std::vector<std::pair<size_t, size_t>> slots;  // part, position
    for (const Pending& item : pending_) {
      size_t part = place_of(item.name).part;
      slots.emplace_back(part, parts_[part].names.size());
      parts_[part].names.push_back(item.name);
    }
    for (Part& part : parts_) part.pixels->resize(part.names.size() * width);
    parallel_for(static_cast<int64_t>(pending_.size()), 16, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        std::vector<uint8_t> planes = decode_planes(pending_[i]);
        std::copy(planes.begin(), planes.end(),
                  parts_[slots[i].first].pixels->data() + slots[i].second * width);
      }
    });
    pending_.clear();
    pending_bytes_ = 0;
  }

  std::vector<uint8_t> decode_planes(const Pending& item) const {
    io::Image image = decode(item);
    if (image.channels == 1 && shape_[0] == 3) image = convert_channels(image, 3);
    if (image.channels != shape_[0] || image.height != shape_[1] || image.width != shape_[2]) {
      throw UserError(
          where(item.name), "the image differs from the first one (" + first_name_ + ")",
          {.got = str(image.channels, "x", image.height, "x", image.width),
           .expected = Shape(shape_).text(),
           .hint = image.channels != shape_[0] ? "set the number of channels for all (1 or 3)"
                                               : "give all the same size, or a size that they are "
                                                 "resized to (wafer train: --image-size)"});
    }
    return to_planes(image);
  }

  std::string label_text(const std::string& name) const {
    if (auto row = listing_.rows.find(name); row != listing_.rows.end())
      return plain_class(row->second.label);
    Place place = place_of(name);
    if (place.class_name.empty()) {
      throw UserError(
          where(name), "the image lies in no class folder",
          {.expected =
               "CLASS/x.jpg, or a train.csv and test.csv with the columns path and class_id"});
    }
    return plain_class(place.class_name);
  }

  // Class names in label order, and the label of each folder name.
  std::map<std::string, int64_t> find_classes(std::vector<std::string>& classes) const {
    std::set<std::string> names;
    for (const Part& part : parts_) {
      for (const std::string& name : part.names) names.insert(label_text(name));
    }
    std::map<std::string, int64_t> labels;
    bool numbers = std::all_of(names.begin(), names.end(), [](const std::string& n) {
      return n.find_first_not_of("0123456789") == n.npos;
    });
    if (class_lines_.empty()) {
      classes.assign(names.begin(), names.end());
      if (numbers) {
        std::sort(classes.begin(), classes.end(), [](const std::string& a, const std::string& b) {
          return a.size() != b.size() ? a.size() < b.size() : a < b;
        });
      }
    } else {
      classes = class_lines_;
    }
    for (size_t i = 0; i < classes.size(); ++i) {
      labels[numbers && !class_lines_.empty() ? str(i) : classes[i]] = static_cast<int64_t>(i);
    }
    for (const std::string& name : names) {
      WAFER_REQUIRE(labels.contains(name), path_.string(), "the class folder '", name,
                    "' is not listed in classes.txt", did_you_mean(name, classes),
                    "; add it there or rename the folder");
    }
    return labels;
  }

  Content finish() {
    Content content;
    Description& about = content.description;
    about.name = "images";
    about.where = path_.string();
    about.shape = shape_;
    std::map<std::string, int64_t> labels = find_classes(about.classes);
    content.train = finish_part(parts_[kTrain], labels);
    content.validation = finish_part(parts_[kValidation], labels);
    content.test = finish_part(parts_[kTest], labels);
    WAFER_REQUIRE(content.train.size() > 0, path_.string(), "there are no training images");
    std::vector<int64_t> counts(about.classes.size());
    for (int64_t label : content.train.labels) ++counts[static_cast<size_t>(label)];
    for (size_t i = 0; i < counts.size(); ++i) {
      WAFER_REQUIRE(counts[i] > 0, path_.string(), "the class '", about.classes[i],
                    "' has no training image; add some, or take it out of classes.txt");
    }
    return content;
  }

  // In the order of the names, so that a folder and an archive of it give the same set.
  ArrayPart finish_part(Part& part, const std::map<std::string, int64_t>& labels) const {
    std::vector<size_t> order(part.names.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(),
              [&](size_t a, size_t b) { return part.names[a] < part.names[b]; });
    size_t width = static_cast<size_t>(shape_[0] * shape_[1] * shape_[2]);
    auto sorted = std::make_shared<io::Bytes>(part.pixels->size());
    ArrayPart result;
    bool grouped = false;
    for (size_t i = 0; i < order.size(); ++i) {
      const std::string& name = part.names[order[i]];
      std::copy_n(part.pixels->data() + order[i] * width, width, sorted->data() + i * width);
      result.labels.push_back(labels.at(label_text(name)));
      result.names.push_back(name);
      auto row = listing_.rows.find(name);
      int64_t group = row == listing_.rows.end() ? -1 : row->second.group;
      // Tracks are numbered anew in each class.
      result.groups.push_back(group < 0 ? -1 : group + result.labels.back() * 1'000'000);
      grouped = grouped || group >= 0;
    }
    if (!grouped) result.groups.clear();
    part.pixels.reset();
    result.inputs = std::as_bytes(std::span(*sorted));
    result.owner = sorted;
    return result;
  }

  fs::path path_, source_;
  const LoadOptions& options_;
  std::vector<Pending> pending_;
  size_t pending_bytes_ = 0;
  Part parts_[3];
  std::vector<int64_t> shape_;
  std::string first_name_;
  bool shape_set_ = false;
  Listing listing_;
  std::vector<std::string> class_lines_;
};

}  // namespace

fs::path only_archive(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) return io::is_archive_name(path) ? path : fs::path();
  std::vector<fs::path> archives;
  if (!fs::is_directory(path, ignored)) return {};
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.is_directory()) return {};  // the data lies unpacked
    if (entry.is_regular_file() && io::is_archive_name(entry.path()))
      archives.push_back(entry.path());
  }
  if (archives.size() > 1) {
    throw UserError(
        path.string(), "the folder holds more than one archive: name the one to read",
        {.got = archives[0].filename().string() + " and " + archives[1].filename().string()});
  }
  return archives.empty() ? fs::path() : archives[0];
}

Content decode_images(const fs::path& path, const LoadOptions& options) {
  return ImageReader(path, options).read();
}

}  // namespace wafer::data
