#include "wafer/deploy/onnx/regex.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "wafer/base/error.h"

namespace wafer::onnx {

namespace {
constexpr size_t most_bytes = 1000, most_states = 10000;
constexpr int64_t most_steps = 50'000'000;
constexpr int most_depth = 100, most_repeats = 1000, unbounded = -1;

using Set = Regex::Set;
using Instruction = Regex::Instruction;
using Kind = Regex::Instruction::Kind;

[[noreturn]] void refuse(const std::string& pattern, const std::string& why) {
  throw UserError("regular expression", "'" + pattern + "': " + why);
}

std::u32string code_points(std::string_view text) {
  std::u32string out;
  for (size_t i = 0; i < text.size();) {
    auto lead = static_cast<unsigned char>(text[i]);
    size_t more = lead >= 0xF0 && lead < 0xF8 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
    char32_t c = more ? lead & (0x3Fu >> more) : lead;
    bool whole = lead < 0x80 || (more && lead < 0xF8 && i + more < text.size());
    for (size_t k = 1; whole && k <= more; ++k) {
      auto byte = static_cast<unsigned char>(text[i + k]);
      whole = (byte & 0xC0) == 0x80;
      c = c << 6 | (byte & 0x3Fu);
    }
    out.push_back(whole ? c : 0x110000u + lead);  // beyond Unicode: a byte of no code point
    i += whole ? more + 1 : 1;
  }
  return out;
}

// Whether a word of \w begins or ends at a place.
bool at_edge(const std::u32string& text, size_t at) {
  auto word = [&](size_t i) {
    char32_t c = text[i];
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  };
  return (at > 0 && word(at - 1)) != (at < text.size() && word(at));
}

struct Part {
  enum class Kind { empty, characters, begin, end, edge, no_edge, sequence, alternatives, repeat };
  Kind kind = Kind::empty;
  size_t set = 0;
  int least = 0, most = 0;
  std::vector<Part> parts;
};

class Parser {
 public:
  Parser(const std::string& pattern, std::vector<Set>& sets)
      : pattern_(pattern), text_(code_points(pattern)), sets_(sets) {}

  Part whole() {
    Part part = alternatives(0);
    if (!done()) refuse(pattern_, "a ')' without its '('");
    return part;
  }

 private:
  bool done() const { return at_ == text_.size(); }
  bool next_is(char32_t c) const { return !done() && text_[at_] == c; }
  bool take(char32_t c) {
    if (!next_is(c)) return false;
    ++at_;
    return true;
  }
  char32_t take_any(const char* what) {
    if (done()) refuse(pattern_, std::string("it ends within ") + what);
    return text_[at_++];
  }

  Part characters(Set set) {
    sets_.push_back(std::move(set));
    Part part;
    part.kind = Part::Kind::characters;
    part.set = sets_.size() - 1;
    return part;
  }

  Part alternatives(int depth) {
    if (depth > most_depth) refuse(pattern_, "groups nested too deeply");
    Part part;
    part.kind = Part::Kind::alternatives;
    do part.parts.push_back(sequence(depth));
    while (take('|'));
    return part;
  }

  Part sequence(int depth) {
    Part part;
    part.kind = Part::Kind::sequence;
    while (!done() && !next_is('|') && !next_is(')')) part.parts.push_back(repeated(depth));
    return part;
  }

  Part repeated(int depth) {
    Part part = atom(depth);
    int least = 0, most = 0;
    if (!bounds(least, most)) return part;
    take('?');  // the least or the most that fits: the whole text fits or does not
    int again = 0;
    if (bounds(again, again)) refuse(pattern_, "a repetition of a repetition; group it");
    Part out;
    out.kind = Part::Kind::repeat;
    out.least = least, out.most = most;
    out.parts.push_back(std::move(part));
    return out;
  }

  bool bounds(int& least, int& most) {
    if (take('*')) return least = 0, most = unbounded, true;
    if (take('+')) return least = 1, most = unbounded, true;
    if (take('?')) return least = 0, most = 1, true;
    if (!take('{')) return false;
    least = most = count();
    if (take(',')) most = next_is('}') ? unbounded : count();
    if (!take('}') || (most != unbounded && most < least)) refuse(pattern_, "no {m,n} after a '{'");
    return true;
  }

  int count() {
    int value = 0;
    size_t start = at_;
    for (; !done() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      value = value * 10 + static_cast<int>(text_[at_] - '0');
      if (value > most_repeats) refuse(pattern_, str("more than ", most_repeats, " repetitions"));
    }
    if (at_ == start) refuse(pattern_, "no number after a '{'; write \\{ for the character");
    return value;
  }

  Part atom(int depth) {
    char32_t c = take_any("a character");
    if (c == '(') return group(depth);
    if (c == '[') return characters(bracket());
    if (c == '.') return characters({{{'\n', '\n'}}, true});
    if (c == '^' || c == '$') {
      Part part;
      part.kind = c == '^' ? Part::Kind::begin : Part::Kind::end;
      return part;
    }
    if (c == '*' || c == '+' || c == '?' || c == '{') refuse(pattern_, "nothing to repeat");
    if (c == '\\' && (next_is('b') || next_is('B'))) {
      Part part;
      part.kind = take('b') ? Part::Kind::edge : Part::Kind::no_edge;
      if (part.kind == Part::Kind::no_edge) take('B');
      return part;
    }
    if (c == '\\') return characters(escaped());
    return characters({{{c, c}}, false});
  }

  Part group(int depth) {
    if (take('?') && !take(':')) refuse(pattern_, "groups of the kind (?...) but (?:...)");
    Part part = alternatives(depth + 1);
    if (!take(')')) refuse(pattern_, "a '(' without its ')'");
    return part;
  }

  // What follows a backslash.
  Set escaped() {
    char32_t c = take_any("an escape");
    switch (c) {
      case 'd': return {{{'0', '9'}}, false};
      case 'D': return {{{'0', '9'}}, true};
      case 'w': return {{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}, false};
      case 'W': return {{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}, true};
      case 's': return {{{'\t', '\r'}, {' ', ' '}}, false};
      case 'S': return {{{'\t', '\r'}, {' ', ' '}}, true};
      case 'n': return {{{'\n', '\n'}}, false};
      case 't': return {{{'\t', '\t'}}, false};
      case 'r': return {{{'\r', '\r'}}, false};
      case 'f': return {{{'\f', '\f'}}, false};
      case 'v': return {{{'\v', '\v'}}, false};
      default: break;
    }
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (letter) refuse(pattern_, str("\\", static_cast<char>(c), " is not supported"));
    return {{{c, c}}, false};
  }

  Set bracket() {
    Set set;
    set.negated = take('^');
    bool first = true;
    while (first || !next_is(']')) {
      Set item = bracket_item();
      first = false;
      bool single =
          !item.negated && item.ranges.size() == 1 && item.ranges[0].first == item.ranges[0].last;
      bool range = next_is('-') && at_ + 1 < text_.size() && text_[at_ + 1] != ']';
      if (range) {
        ++at_;
        Set last = bracket_item();
        single = single && !last.negated && last.ranges.size() == 1 &&
                 last.ranges[0].first == last.ranges[0].last &&
                 item.ranges[0].first <= last.ranges[0].first;
        if (!single) refuse(pattern_, "a range in [...] that goes from no character to another");
        item.ranges[0].last = last.ranges[0].last;
      }
      if (item.negated) item.ranges = complement(item.ranges);
      set.ranges.insert(set.ranges.end(), item.ranges.begin(), item.ranges.end());
    }
    take(']');
    return set;
  }

  Set bracket_item() {
    char32_t c = take_any("[...]");
    if (c == '[' && (next_is(':') || next_is('.') || next_is('=')))
      refuse(pattern_, "named classes, [[:...:]], are not supported");
    return c == '\\' ? escaped() : Set{{{c, c}}, false};
  }

  // Of ranges in order that do not overlap.
  static std::vector<Regex::Range> complement(const std::vector<Regex::Range>& ranges) {
    std::vector<Regex::Range> out;
    char32_t at = 0;
    for (const auto& [first, last] : ranges) {
      if (first > at) out.push_back({at, first - 1});
      at = last + 1;
    }
    out.push_back({at, 0x1FFFFF});
    return out;
  }

  const std::string& pattern_;
  std::u32string text_;
  std::vector<Set>& sets_;
  size_t at_ = 0;
};

class Emitter {
 public:
  Emitter(const std::string& pattern, std::vector<Instruction>& program)
      : pattern_(pattern), program_(program) {}

  // Each part gives one instruction or more, so that their limit bounds the time too.
  void part(const Part& p) {
    switch (p.kind) {
      case Part::Kind::empty: emit(Kind::jump); break;
      case Part::Kind::characters: program_[emit(Kind::characters)].set = p.set; break;
      case Part::Kind::begin: emit(Kind::begin); break;
      case Part::Kind::end: emit(Kind::end); break;
      case Part::Kind::edge: emit(Kind::edge); break;
      case Part::Kind::no_edge: emit(Kind::no_edge); break;
      case Part::Kind::sequence:
        if (p.parts.empty()) emit(Kind::jump);
        for (const Part& inner : p.parts) part(inner);
        break;
      case Part::Kind::alternatives: alternatives(p); break;
      case Part::Kind::repeat: repeat(p); break;
    }
  }

  size_t emit(Kind kind) {
    if (program_.size() >= most_states)
      refuse(pattern_, str("it takes more than ", most_states, " states"));
    size_t at = program_.size();
    program_.push_back({kind, at + 1, at + 1, 0});
    return at;
  }

 private:
  void alternatives(const Part& p) {
    std::vector<size_t> ends;
    for (size_t i = 0; i < p.parts.size(); ++i) {
      bool last = i + 1 == p.parts.size();
      size_t split = last ? 0 : emit(Kind::split);
      part(p.parts[i]);
      if (last) break;
      ends.push_back(emit(Kind::jump));
      program_[split].other = program_.size();
    }
    for (size_t end : ends) program_[end].next = program_.size();
  }

  void repeat(const Part& p) {
    const Part& inner = p.parts[0];
    if (p.most == 0) emit(Kind::jump);
    for (int i = 0; i < p.least; ++i) {
      size_t start = program_.size();
      part(inner);
      if (p.most == unbounded && i + 1 == p.least) program_[emit(Kind::split)].other = start;
    }
    if (p.most == unbounded && p.least == 0) {
      size_t split = emit(Kind::split);
      part(inner);
      size_t back = emit(Kind::jump);
      program_[back].next = split;
      program_[split].other = program_.size();
    }
    std::vector<size_t> splits;
    for (int i = p.least; i < p.most; ++i) {
      splits.push_back(emit(Kind::split));
      part(inner);
    }
    for (size_t split : splits) program_[split].other = program_.size();
  }

  const std::string& pattern_;
  std::vector<Instruction>& program_;
};
}  // namespace

bool Regex::Set::has(char32_t c) const {
  bool within = std::any_of(ranges.begin(), ranges.end(),
                            [&](const Range& r) { return r.first <= c && c <= r.last; });
  return within != negated;
}

Regex::Regex(const std::string& pattern) : pattern_(pattern) {
  if (pattern.size() > most_bytes)
    throw UserError("regular expression", str("more than ", most_bytes, " bytes"));
  Part whole = Parser(pattern_, sets_).whole();
  Emitter emitter(pattern_, program_);
  emitter.part(whole);
  emitter.emit(Kind::match);
  seen_.resize(program_.size());
}

// The states that `state` leads to without a character.
void Regex::add(size_t state, const std::u32string& text, size_t at, std::vector<size_t>& list) {
  stack_.push_back(state);
  while (!stack_.empty()) {
    size_t s = stack_.back();
    stack_.pop_back();
    if (seen_[s] == turn_) continue;
    seen_[s] = turn_;
    ++steps_;
    const Instruction& i = program_[s];
    switch (i.kind) {
      case Kind::split: stack_.push_back(i.other); [[fallthrough]];
      case Kind::jump: stack_.push_back(i.next); break;
      case Kind::begin:
        if (at == 0) stack_.push_back(i.next);
        break;
      case Kind::end:
        if (at == text.size()) stack_.push_back(i.next);
        break;
      case Kind::edge:
      case Kind::no_edge:
        if (at_edge(text, at) == (i.kind == Kind::edge)) stack_.push_back(i.next);
        break;
      case Kind::characters:
      case Kind::match: list.push_back(s); break;
    }
  }
}

bool Regex::full_match(std::string_view text) {
  std::u32string characters = code_points(text);
  std::vector<size_t> now, next;
  ++turn_;
  add(0, characters, 0, now);
  for (size_t at = 0; at < characters.size() && !now.empty(); ++at) {
    ++turn_;
    next.clear();
    for (size_t s : now) {
      const Instruction& i = program_[s];
      if (i.kind != Kind::characters) continue;
      const Set& set = sets_[i.set];
      steps_ += static_cast<int64_t>(set.ranges.size());
      if (set.has(characters[at])) add(i.next, characters, at + 1, next);
    }
    if (steps_ > most_steps)
      refuse(pattern_, str("matching the texts takes more than ", most_steps, " steps"));
    std::swap(now, next);
  }
  return std::any_of(now.begin(), now.end(),
                     [&](size_t s) { return program_[s].kind == Kind::match; });
}

}  // namespace wafer::onnx
