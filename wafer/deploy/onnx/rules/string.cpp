#include <re2/re2.h>

#include <algorithm>
#include <map>
#include <set>

#include "wafer/deploy/onnx/rules.h"
#include "wafer/deploy/onnx/walk.h"

// Strings stay on the host.
namespace wafer::onnx {

namespace {
constexpr int64_t most_pattern_bytes = int64_t{1} << 20;  // of a compiled regular expression
// Instructions of one for all characters that it is matched with: what matching takes at worst,
// about a quarter of a second.
constexpr int64_t most_match_steps = 50'000'000;

void check_bytes(const Context& c, size_t bytes) {
  int64_t most = c.walk().limits().host_bytes;
  c.require(bytes <= static_cast<size_t>(most), str("strings of more than ", most >> 20, " MiB"));
}

Values string_concat(Context& c) {
  std::vector<std::string> out;
  size_t bytes = 0;
  Shape shape = visit_broadcast(c, c.strings(0), c.strings(1),
                                [&](const std::string& left, const std::string& right) {
                                  bytes += sizeof left + left.size() + right.size();
                                  check_bytes(c, bytes);
                                  out.push_back(left + right);
                                });
  return {Value::of_strings(shape.sizes(), std::move(out))};
}

// As Python's split: without a delimiter at runs of blanks.
std::vector<std::string> split_text(const std::string& text, const std::string& delimiter,
                                    int64_t most) {
  std::vector<std::string> parts;
  auto full = [&] { return most >= 0 && static_cast<int64_t>(parts.size()) >= most; };
  size_t at = 0;
  if (!delimiter.empty()) {
    for (size_t next; !full() && (next = text.find(delimiter, at)) != text.npos;) {
      parts.push_back(text.substr(at, next - at));
      at = next + delimiter.size();
    }
    parts.push_back(text.substr(at));
    return parts;
  }
  const char* blanks = " \t\n\v\f\r";
  while ((at = text.find_first_not_of(blanks, at)) != text.npos) {
    if (full()) {
      parts.push_back(text.substr(at, text.find_last_not_of(blanks) + 1 - at));
      break;
    }
    size_t end = std::min(text.find_first_of(blanks, at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end;
  }
  return parts;
}

Values string_split(Context& c) {
  const StringTensor& x = c.strings(0);
  std::string delimiter = c.text("delimiter", "");
  int64_t most = c.integer("maxsplit", -1);
  std::vector<std::vector<std::string>> lists;
  size_t longest = 0;
  Ints counts;
  for (const std::string& text : x.values) {
    lists.push_back(split_text(text, delimiter, most));
    longest = std::max(longest, lists.back().size());
    counts.push_back(static_cast<int64_t>(lists.back().size()));
  }
  check_bytes(c, longest * lists.size() * sizeof(std::string));
  std::vector<std::string> out;
  for (auto& list : lists) {
    list.resize(longest);
    out.insert(out.end(), list.begin(), list.end());
  }
  Ints dims = x.dims;
  dims.push_back(static_cast<int64_t>(longest));
  return {Value::of_strings(dims, std::move(out)), Tensor::from_values(counts, Shape(x.dims))};
}

Values regex_full_match(Context& c) {
  const StringTensor& x = c.strings(0);
  std::string pattern = c.text("pattern", "");
  re2::RE2::Options options(re2::RE2::Quiet);
  options.set_max_mem(most_pattern_bytes);
  re2::RE2 regex(pattern, options);
  c.require(regex.ok(), str("pattern '", pattern, "': ", regex.error()));
  std::vector<bool> matches;
  int64_t steps = 0;
  for (const std::string& text : x.values) {
    steps += regex.ProgramSize() * static_cast<int64_t>(text.size());
    c.require(steps <= most_match_steps,
              str("pattern '", pattern, "' takes more than ", most_match_steps,
                  " steps for its texts; expected a simpler pattern or shorter texts"));
    matches.push_back(re2::RE2::FullMatch(text, regex));
  }
  return {Tensor::from_values(matches, Shape(x.dims))};
}

// ASCII letters; others stay, since locales differ between machines.
std::string changed_case(std::string text, const std::string& action) {
  for (char& letter : text) {
    if (action == "LOWER" && letter >= 'A' && letter <= 'Z')
      letter = static_cast<char>(letter + 32);
    if (action == "UPPER" && letter >= 'a' && letter <= 'z')
      letter = static_cast<char>(letter - 32);
  }
  return text;
}

Values string_normalizer(Context& c) {
  const StringTensor& x = c.strings(0);
  std::string action = c.text("case_change_action", "NONE");
  c.require(action == "NONE" || action == "LOWER" || action == "UPPER",
            "case_change_action '" + action + "'");
  bool sensitive = c.flag("is_case_sensitive");
  std::set<std::string> stops;
  for (const std::string& word : c.texts("stopwords"))
    stops.insert(sensitive ? word : changed_case(word, "LOWER"));
  c.require(x.dims.size() == 1 || (x.dims.size() == 2 && x.dims[0] == 1),
            "expected [words] or [1, words]");
  std::vector<std::string> out;
  for (const std::string& word : x.values) {
    if (stops.count(sensitive ? word : changed_case(word, "LOWER"))) continue;
    out.push_back(changed_case(word, action));
  }
  if (out.empty()) out.emplace_back();
  Ints dims = x.dims;
  dims.back() = static_cast<int64_t>(out.size());
  return {Value::of_strings(dims, std::move(out))};
}

// Counts of the pool's word groups in each row, words of a group up to `skip` apart.
Values tfidf_vectorizer(Context& c) {
  std::string mode = c.text("mode");
  Ints starts = c.integers("ngram_counts"), places = c.integers("ngram_indexes");
  int64_t shortest = c.integer("min_gram_length"), longest = c.integer("max_gram_length");
  int64_t skips = c.integer("max_skip_count");
  auto weights = c.numbers("weights");
  std::vector<std::string> pool = c.texts("pool_strings"), words;
  for (int64_t number : c.integers("pool_int64s")) pool.push_back(std::to_string(number));
  Ints dims = dims_of(c.value(0));
  if (c.value(0).strings)
    words = c.strings(0).values;
  else
    for (int64_t number : c.integers_of(0)) words.push_back(std::to_string(number));
  c.require(dims.size() == 1 || dims.size() == 2, "expected [words] or [batch, words]");
  c.require(shortest >= 1 && longest >= shortest && longest < 100 && skips >= 0 && skips < 1000,
            "lengths out of range");
  std::map<std::vector<std::string>, size_t> groups;  // to the place in ngram_indexes
  size_t next = 0;
  for (size_t n = 1; n <= starts.size(); ++n) {
    auto end = n < starts.size() ? starts[n] : static_cast<int64_t>(pool.size());
    for (int64_t at = starts[n - 1]; at + static_cast<int64_t>(n) <= end;
         at += static_cast<int64_t>(n)) {
      c.require(at >= 0 && end <= static_cast<int64_t>(pool.size()), "ngram_counts out of range");
      groups.emplace(std::vector<std::string>(pool.begin() + at,
                                              pool.begin() + at + static_cast<std::ptrdiff_t>(n)),
                     next++);
    }
  }
  c.require(next <= places.size() && !places.empty(), "ngram_indexes is too short");
  int64_t width = *std::max_element(places.begin(), places.end()) + 1;
  int64_t rows = dims.size() == 2 ? dims[0] : 1, length = dims.back();
  c.require(*std::min_element(places.begin(), places.end()) >= 0 && width < int64_t{1} << 28,
            "ngram_indexes out of range");
  c.require(width <= Walk::most_host_elements && rows <= Walk::most_host_elements / width,
            str("a result of ", rows, "x", width, " numbers; expected at most ",
                Walk::most_host_elements));
  std::vector<float> counts(static_cast<size_t>(rows * width));
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t n = shortest; n <= longest; ++n)
      for (int64_t skip = 0; skip <= (n == 1 ? 0 : skips); ++skip)
        for (int64_t first = 0; first + (n - 1) * (skip + 1) < length; ++first) {
          std::vector<std::string> group;
          for (int64_t k = 0; k < n; ++k)
            group.push_back(words[static_cast<size_t>(row * length + first + k * (skip + 1))]);
          auto found = groups.find(group);
          if (found != groups.end())
            ++counts[static_cast<size_t>(row * width + places[found->second])];
        }
  std::vector<float> weight(static_cast<size_t>(width), 1);
  for (size_t i = 0; i < weights.size() && i < places.size(); ++i)
    weight[static_cast<size_t>(places[i])] = static_cast<float>(weights[i]);
  for (size_t i = 0; i < counts.size(); ++i) {
    if (mode == "IDF") counts[i] = counts[i] > 0 ? 1 : 0;
    if (mode != "TF") counts[i] *= weight[i % weight.size()];
  }
  Ints out = dims;
  out.back() = width;
  return {Tensor::from_values(counts, Shape(out))};
}

constexpr RuleEntry string_table[] = {
    {"RegexFullMatch", regex_full_match},    {"StringConcat", string_concat},
    {"StringNormalizer", string_normalizer}, {"StringSplit", string_split},
    {"TfIdfVectorizer", tfidf_vectorizer},
};
}  // namespace

RuleList string_rules() {
  return string_table;
}

}  // namespace wafer::onnx
