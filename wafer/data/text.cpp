#include <map>

#include "wafer/base/error.h"
#include "wafer/data/decoders.h"
#include "wafer/data/input_spec.h"
#include "wafer/io/archive.h"

namespace wafer::data {

namespace fs = std::filesystem;

namespace {

fs::path text_file(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_directory(path, ignored)) return path;
  if (fs::is_regular_file(path / "input.txt", ignored)) return path / "input.txt";
  fs::path found;
  for (const auto& entry : fs::directory_iterator(path)) {
    if (entry.path().extension() != ".txt") continue;
    WAFER_REQUIRE(found.empty(), path.string(),
                  "the folder holds more than one .txt file; name the one to read");
    found = entry.path();
  }
  WAFER_REQUIRE(!found.empty(), path.string(), "the folder holds no .txt file");
  return found;
}

}  // namespace

Splits load_text(const fs::path& path, const LoadOptions& options, const std::string& name) {
  fs::path file = text_file(path);
  WAFER_REQUIRE(options.sequence_length > 0, file.string(),
                "the sequence length must be positive; got ", options.sequence_length);
  io::Bytes bytes = io::read_maybe_gzip(file, uint64_t{1} << 32);
  std::vector<std::string> characters =
      utf8_characters(std::string(bytes.begin(), bytes.end()), file.string());
  WAFER_REQUIRE(!characters.empty(), file.string(), "the text is empty");

  Description about;
  about.name = name;
  about.where = path.string();
  about.kind = InputKind::tokens;
  about.task = Task::next_token;
  about.shape = {options.sequence_length};
  // The sorted set of characters; bytes of UTF-8 sort as code points do.
  std::map<std::string, uint16_t> vocabulary;
  for (const std::string& character : characters) vocabulary.emplace(character, uint16_t{0});
  WAFER_REQUIRE(vocabulary.size() <= 65536, file.string(),
                "the text has too many different characters: ", vocabulary.size());
  for (auto& [character, token] : vocabulary) {
    token = static_cast<uint16_t>(about.classes.size());
    about.classes.push_back(character);
  }
  about.stored = DType::u16;
  auto tokens = std::make_shared<std::vector<uint16_t>>();
  tokens->reserve(characters.size());
  for (const std::string& character : characters)
    tokens->push_back(vocabulary.find(character)->second);

  // The usual split of a running text: the first 90 % to train, the rest to validate.
  size_t border = tokens->size() * 9 / 10;
  std::span<const uint16_t> all(*tokens);
  auto windows = [&](std::span<const uint16_t> part) {
    return Dataset(make_window_source(about, tokens, std::as_bytes(part), options.sequence_length));
  };
  Splits splits;
  splits.train = windows(all.first(border));
  splits.validation = windows(all.subspan(border));
  return splits;
}

}  // namespace wafer::data
