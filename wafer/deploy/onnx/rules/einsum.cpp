#include <algorithm>
#include <map>

#include "wafer/base/strings.h"
#include "wafer/deploy/onnx/rules.h"
#include "wafer/op/matmul.h"

namespace wafer::onnx {

namespace {
// A tensor with a letter for each dimension; capital letters from '\1' on stand for those of "...".
struct Term {
  Tensor x;
  std::string labels;
};

size_t place(const std::string& labels, char label) {
  return labels.find(label);
}

// Each letter once: of a repeated one the diagonal.
Term without_repeats(Term t) {
  for (size_t i = 0; i < t.labels.size(); ++i) {
    size_t j = t.labels.find(t.labels[i], i + 1);
    if (j == std::string::npos) continue;
    auto a = static_cast<int>(i), b = static_cast<int>(j);
    Tensor same = equal(iota(t.x.shape(), a), iota(t.x.shape(), b));
    t.x = reduce_sum(where(same, t.x, zeros_like(t.x)), {b});
    t.labels.erase(j, 1);
    --i;
  }
  return t;
}

Term summed(const Term& t, const std::string& kept) {
  Axes axes;
  std::string labels;
  for (size_t i = 0; i < t.labels.size(); ++i) {
    if (kept.find(t.labels[i]) == std::string::npos)
      axes.push_back(static_cast<int64_t>(i));
    else
      labels += t.labels[i];
  }
  if (axes.empty()) return t;
  return {cast(reduce_sum(t.x, axes), t.x.dtype()), labels};
}

Tensor ordered(const Term& t, const std::string& labels) {
  Ints order;
  for (char label : labels) order.push_back(static_cast<int64_t>(place(t.labels, label)));
  return transpose(t.x, order);
}

// The product of two terms, summed over letters that neither the output nor later terms have.
Term contracted(const Context& c, const Term& a, const Term& b, const std::string& kept) {
  std::string batch, left, right, inner;
  std::map<char, int64_t> sizes;
  for (const Term* t : {&a, &b})
    for (size_t i = 0; i < t->labels.size(); ++i) {
      int64_t size = t->x.size(static_cast<int>(i));
      auto [known, fresh] = sizes.emplace(t->labels[i], size);
      c.require(fresh || known->second == size || size == 1 || known->second == 1,
                "dimensions of one letter differ");
      known->second = std::max(known->second, size);
    }
  for (char label : a.labels) {
    bool shared = place(b.labels, label) != std::string::npos;
    bool stays = kept.find(label) != std::string::npos;
    (shared ? (stays ? batch : inner) : left) += label;
  }
  for (char label : b.labels)
    if (place(a.labels, label) == std::string::npos) right += label;
  auto matrix = [&](const Term& t, const std::string& rows, const std::string& columns) {
    std::string order = batch + rows + columns;
    Ints full, flat = {1, 1, 1};
    for (size_t i = 0; i < order.size(); ++i) {
      int64_t size = sizes.at(order[i]);
      full.push_back(size);
      flat[i < batch.size() ? 0 : i < batch.size() + rows.size() ? 1 : 2] *= size;
    }
    return reshape(broadcast_to(ordered(t, order), Shape(full)), flat);
  };
  Tensor y = matmul(matrix(a, left, inner), matrix(b, inner, right));
  Ints result;
  for (char label : batch + left + right) result.push_back(sizes.at(label));
  return {reshape(y, result), batch + left + right};
}

Values einsum(Context& c) {
  std::string equation = c.text("equation"), text;
  for (char letter : equation)
    if (letter != ' ') text += letter;
  size_t arrow = text.find("->");
  auto inputs = split(text.substr(0, arrow), ',');
  c.require(inputs.size() == c.inputs(), "the equation has another number of terms");
  std::vector<Term> terms;
  size_t most = 0;  // dimensions of "..."
  std::map<char, int> seen;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Tensor& x = c.in(i);
    std::string labels = inputs[i];
    size_t dots = labels.find("...");
    if (dots != std::string::npos) {
      c.require(static_cast<size_t>(x.rank()) + 3 >= labels.size(), "too many letters");
      size_t count = static_cast<size_t>(x.rank()) + 3 - labels.size();
      most = std::max(most, count);
      std::string rest;  // the last one is '\1', counted from the right
      for (size_t k = count; k-- > 0;) rest += static_cast<char>(k + 1);
      labels.replace(dots, 3, rest);
    }
    c.require(labels.size() == static_cast<size_t>(x.rank()),
              "a term has not a letter a dimension");
    for (char label : labels) {
      c.require(
          static_cast<unsigned char>(label) < 9 || std::isalpha(static_cast<unsigned char>(label)),
          "the equation has a character that is no letter");
      ++seen[label];
    }
    terms.push_back(without_repeats({x, labels}));
  }
  std::string dots_labels, output;
  for (size_t k = most; k-- > 0;) dots_labels += static_cast<char>(k + 1);
  if (arrow != std::string::npos) {
    output = text.substr(arrow + 2);
    size_t dots = output.find("...");
    if (dots != std::string::npos) output.replace(dots, 3, dots_labels);
  } else {
    output = dots_labels;
    for (const auto& [label, count] : seen)
      if (count == 1 && static_cast<unsigned char>(label) >= 9) output += label;
  }
  for (char label : output)
    c.require(seen.count(label) || dots_labels.find(label) != std::string::npos,
              "the output has a letter that no term has");
  Term result = terms[0];
  for (size_t i = 0; i < terms.size(); ++i) {
    std::string kept = output;
    for (size_t later = i + 1; later < terms.size(); ++later) kept += terms[later].labels;
    if (i > 0) {
      std::string both = kept + result.labels;
      Term next = summed(terms[i], both);
      result = contracted(c, summed(result, kept + next.labels), next, kept);
    }
    result = summed(result, kept);
  }
  c.require(result.labels.size() == output.size(), "a letter of the output is there twice");
  return {ordered(result, output)};
}

constexpr RuleEntry einsum_table[] = {{"Einsum", einsum}};
}  // namespace

RuleList einsum_rules() {
  return einsum_table;
}

}  // namespace wafer::onnx
