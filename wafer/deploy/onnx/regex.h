#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace wafer::onnx {

// A regular expression that is matched in time linear in the text, whatever it says: Thompson's
// simulation of a nondeterministic automaton ("Regular Expression Search Algorithm", 1968), since
// patterns and texts come from files. Of RE2's syntax: literals, `.` (but a new line), classes with
// ranges and negation, \d \w \s \D \W \S, \b \B, groups, alternatives, * + ? {m,n}, ^ and $ (of the
// whole text). Characters are UTF-8's code points; a byte that is none stands for itself.
class Regex {
 public:
  // UserError for what it does not know, a mistake, or more than 1000 bytes, groups 100 deep or
  // 10,000 states.
  explicit Regex(const std::string& pattern);

  // Whether the whole text fits. UserError after 50 million steps over all texts.
  bool full_match(std::string_view text);

  struct Range {
    char32_t first, last;
  };
  struct Instruction {
    enum class Kind { characters, split, jump, begin, end, edge, no_edge, match } kind;
    size_t next = 0, other = 0;  // split: both; jump: next; else the one that follows
    size_t set = 0;              // characters: in sets_
  };
  struct Set {
    std::vector<Range> ranges;
    bool negated = false;
    bool has(char32_t c) const;
  };

 private:
  void add(size_t state, const std::u32string& text, size_t at, std::vector<size_t>& list);

  std::string pattern_;
  std::vector<Instruction> program_;
  std::vector<Set> sets_;
  std::vector<uint64_t> seen_;  // the turn in which a state was last added
  std::vector<size_t> stack_;
  uint64_t turn_ = 0;
  int64_t steps_ = 0;
};

}  // namespace wafer::onnx
