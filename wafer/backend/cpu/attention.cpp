#include "wafer/op/attention.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "wafer/backend/cpu/contraction.h"
#include "wafer/backend/cpu/isa.h"
#include "wafer/backend/cpu/rows.h"
#include "wafer/backend/cpu/simd/gemm.h"
#include "wafer/backend/cpu/simd/rows.h"
#include "wafer/base/threads.h"
#include "wafer/op/op.h"
#include "wafer/runtime/kernel.h"

// Attention by blocks of queries: the scores of a block with all keys, its weights and what is made
// of them stay in a thread's cache, so that no matrix of all scores is ever in memory. The gradient
// computes them again.
namespace wafer::cpu {

namespace {
// Scores of a block: half a megabyte, which a core's second-level cache holds beside the rest.
constexpr int64_t block_scores = 131072;

struct Problem {
  int64_t heads = 1;  // of all batches
  int64_t queries, keys, width, value_width;
  int64_t inside = 1;  // heads of a batch whose rows for one position lie side by side
  DType dtype;
  ScoreRules rules;                   // but for the mask's memory
  std::vector<int64_t> mask_offsets;  // of each head, in elements; none without a mask
  size_t mask_bytes = 0;              // of one element
  int64_t block;                      // queries that are worked on together
  // Own products read rows that are apart where they lie. Where oneDNN has kernels for these small
  // ones (AVX-512) those are faster.
  bool own_products;

  // `first`: the query's place among the node's inputs.
  Problem(const Node& node, size_t first) {
    const auto& attrs = node.attr<AttentionAttrs>();
    AttentionShape query(node.inputs[first].shape(), attrs.heads_inside),
        value(node.inputs[first + 2].shape(), attrs.heads_inside);
    heads = query.leading.elements();
    if (attrs.heads_inside) inside = query.leading.size(-1);
    queries = query.positions.value(), width = query.width.value();
    keys = value.positions.value(), value_width = value.width.value();
    dtype = node.inputs[first].dtype();
    own_products = dtype == DType::f32 && isa() == Isa::avx2 && keys * width * value_width > 0;
    rules.scale = static_cast<float>(attrs.scale);
    rules.causal = attrs.causal;
    if (node.inputs.size() > first + 3) read_mask(node.inputs[first + 3].type(), query.leading);
    block = std::min(std::max<int64_t>(block_scores / keys / 16 * 16, 16), queries);
  }

  int64_t blocks() const { return (queries + block - 1) / block; }
  int64_t rest() const { return queries % block; }

  // The rules for one head.
  ScoreRules rules_of(int64_t head, const void* mask) const {
    ScoreRules result = rules;
    if (!mask_offsets.empty()) {
      int64_t offset = mask_offsets[static_cast<size_t>(head)];
      result.mask = static_cast<const std::byte*>(mask) + static_cast<size_t>(offset) * mask_bytes;
    }
    return result;
  }

 private:
  // A mask broadcasts: its strides are 0 along dimensions of 1, and those that it lacks.
  void read_mask(const Type& mask, const Shape& leading) {
    rules.boolean = mask.dtype == DType::boolean;
    mask_bytes = byte_size(mask.dtype, 1);
    std::vector<int64_t> strides(static_cast<size_t>(leading.rank() + 2), 0);
    int64_t stride = 1;
    for (int d = 1; d <= mask.shape.rank(); ++d) {
      if (mask.shape.size(-d) > 1) strides[strides.size() - static_cast<size_t>(d)] = stride;
      stride *= mask.shape.size(-d);
    }
    rules.mask_row = strides[strides.size() - 2];
    rules.mask_column = strides.back();
    for (int64_t head = 0; head < heads; ++head) {
      int64_t left = head, offset = 0;
      for (int d = leading.rank() - 1; d >= 0; --d) {
        offset += left % leading.size(d) * strides[static_cast<size_t>(d)];
        left /= leading.size(d);
      }
      mask_offsets.push_back(offset);
    }
  }
};

// A matrix of a product: rows of `columns`, `pitch` elements from one to the next.
struct Operand {
  int64_t rows, columns, pitch;
  bool transposed = false;  // a factor: its columns are the matrix's rows
};

// A product y = a b of matrices that one thread computes, or y += a b where it may add.
class Product {
 public:
  // `sums`: it will be asked to add.
  Product(const Problem& p, Operand a, Operand b, int64_t y_pitch, DType result,
          KernelContext& context, bool sums = false)
      : m_(a.transposed ? a.columns : a.rows), n_(b.transposed ? b.rows : b.columns) {
    if (p.own_products) {
      args_ = {.m = m_,
               .n = n_,
               .k = a.transposed ? a.rows : a.columns,
               .a_row = a.transposed ? 1 : a.pitch,
               .a_column = a.transposed ? a.pitch : 1,
               .b_row = b.transposed ? 1 : b.pitch,
               .b_column = b.transposed ? b.pitch : 1,
               .c_row = y_pitch};
      scratch_bytes_ = static_cast<size_t>(gemm_workspace) * sizeof(float);
      context.kernel = str("attention:own:", name(isa()));
      return;
    }
    MatmulProblem problem{{p.dtype, Shape{a.rows, a.columns}},
                          {p.dtype, Shape{b.rows, b.columns}},
                          {result, Shape{m_, n_}},
                          a.transposed,
                          b.transposed};
    problem.threads = 1;
    KernelContext inner{context.target, {true}};
    step_ = make_matmul(problem, {}, inner);
    Scratch scratch;
    scratch.reserve(inner.scratch_bytes);
    sum_at_ = scratch.reserve(sums ? static_cast<size_t>(m_ * n_) * sizeof(float) : 0);
    scratch_bytes_ = scratch.total();
    context.kept_bytes =
        std::max(context.kept_bytes, inner.kept_bytes * static_cast<size_t>(thread_count()));
    context.kernel = str("attention:", inner.kernel);
  }

  size_t scratch_bytes() const { return scratch_bytes_; }
  void operator()(const void* a, const void* b, void* y, std::byte* scratch) const {
    if (!step_) return multiply(a, b, static_cast<float*>(y), scratch, false);
    void* const in[] = {const_cast<void*>(a), const_cast<void*>(b)};
    void* const out[] = {y};
    step_({in, out, scratch});
  }
  // Of an f32 result.
  void add(const void* a, const void* b, float* y, std::byte* scratch) const {
    if (!step_) return multiply(a, b, y, scratch, true);
    auto* more = reinterpret_cast<float*>(scratch + sum_at_);
    (*this)(a, b, more, scratch);
    for (int64_t i = 0; i < m_ * n_; ++i) y[i] += more[i];
  }

 private:
  void multiply(const void* a, const void* b, float* y, std::byte* scratch, bool adds) const {
    GemmArgs args = args_;
    args.a = static_cast<const float*>(a);
    args.b = static_cast<const float*>(b);
    args.c = y;
    args.accumulate = adds;
    gemm_block_kernel()(args, reinterpret_cast<float*>(scratch));
  }

  int64_t m_, n_;
  GemmArgs args_;
  Step step_;  // else our own
  size_t scratch_bytes_ = 0, sum_at_ = 0;
};

size_t float_bytes(int64_t count) {
  return static_cast<size_t>(count) * sizeof(float);
}
float* floats_at(std::byte* memory, size_t offset) {
  return reinterpret_cast<float*>(memory + offset);
}

void copy_rows(const std::byte* from, size_t from_pitch, std::byte* to, size_t to_pitch,
               int64_t rows, size_t bytes) {
  constexpr size_t piece = 64;  // of a known size, so that no copy is a call
  for (int64_t row = 0; row < rows; ++row, from += from_pitch, to += to_pitch) {
    if (bytes % piece != 0) {
      std::memcpy(to, from, bytes);
      continue;
    }
    for (size_t at = 0; at < bytes; at += piece) std::memcpy(to + at, from + at, piece);
  }
}

// A head's matrix among all of them: queries, keys, values or results, `rows` of `columns`. Where
// the rows of a batch's heads for one position lie side by side, oneDNN's products take and leave
// copies without gaps, in memory of the part.
class Matrices {
 public:
  Matrices(const Problem& p, int64_t rows, int64_t columns)
      : bytes_(byte_size(p.dtype, static_cast<size_t>(columns))),
        rows_(rows),
        columns_(columns),
        inside_(p.inside),
        copied_(p.inside > 1 && !p.own_products) {}

  bool apart() const { return copied_; }
  // What products work on: `count` rows, or all.
  Operand operand(int64_t count) const {
    return {count, columns_, copied_ ? columns_ : columns_ * inside_};
  }
  Operand operand() const { return operand(rows_); }
  // Bytes of a copy of so many rows; 0 where none is made.
  size_t copy_bytes(int64_t count) const {
    return apart() ? static_cast<size_t>(count) * bytes_ : 0;
  }

  std::byte* at(void* base, int64_t head, int64_t row = 0) const {
    int64_t index = (head / inside_ * rows_ + row) * inside_ + head % inside_;
    return static_cast<std::byte*>(base) + static_cast<size_t>(index) * bytes_;
  }
  // `count` rows without gaps: in place, or as a copy.
  const std::byte* read(void* base, int64_t head, int64_t row, int64_t count,
                        std::byte* copy) const {
    if (!apart()) return at(base, head, row);
    copy_rows(at(base, head, row), pitch(), copy, bytes_, count, bytes_);
    return copy;
  }
  // Where to leave rows that `write` is called for next.
  std::byte* place(void* base, int64_t head, int64_t row, std::byte* copy) const {
    return apart() ? copy : at(base, head, row);
  }
  void write(void* base, int64_t head, int64_t row, int64_t count, const std::byte* placed) const {
    if (apart()) copy_rows(placed, bytes_, at(base, head, row), pitch(), count, bytes_);
  }

 private:
  size_t pitch() const { return bytes_ * static_cast<size_t>(inside_); }

  size_t bytes_;  // of a row
  int64_t rows_, columns_, inside_;
  bool copied_;
};

Operand transposed(Operand operand) {
  operand.transposed = !operand.transposed;
  return operand;
}

// f32 as a factor of a product in the problem's dtype: as it is, or converted into `memory`.
const void* as_factor(const Floats& floats, const float* values, int64_t count, std::byte* memory) {
  if (floats.direct()) return values;
  floats.write(memory, 0, count, values);
  return memory;
}

// Parts that work on so many items is done in, each with memory of its own. Decided when a step is
// made: the thread count may be another when it runs.
int64_t parts_for(int64_t items) {
  return std::min<int64_t>(items, thread_count());
}
// Calls work(item, the part's item before it or -1, memory of the part) on all items.
template <class F>
void for_items(int64_t items, int64_t parts, std::byte* memory, size_t bytes, F&& work) {
  std::vector<int64_t> done(static_cast<size_t>(parts), -1);  // of each part, the last
  share_jobs(items, parts, [&](int64_t item, int64_t part) {
    int64_t before = std::exchange(done[static_cast<size_t>(part)], item);
    work(item, before, memory + static_cast<size_t>(part) * bytes);
  });
}

// The matrices of all heads.
struct Heads {
  Matrices queries, keys, values, results;

  explicit Heads(const Problem& p)
      : queries(p, p.queries, p.width),
        keys(p, p.keys, p.width),
        values(p, p.keys, p.value_width),
        results(p, p.queries, p.value_width) {}
};

// What is done with one block of `rows` queries.
struct Forward {
  int64_t rows = 0;
  Product scores, result;

  Forward(const Problem& p, const Heads& h, int64_t count, KernelContext& context)
      : rows(count),
        scores(p, h.queries.operand(rows), transposed(h.keys.operand()), p.keys, DType::f32,
               context),
        result(p, {rows, p.keys, p.keys}, h.values.operand(), h.results.operand().pitch, p.dtype,
               context) {}
  size_t scratch_bytes() const { return std::max(scores.scratch_bytes(), result.scratch_bytes()); }
};

struct Backward {
  int64_t rows = 0;
  Product scores, by_weights, by_query, by_key, by_value;

  // Gradients by keys and values are f32: they are sums over blocks.
  Backward(const Problem& p, const Heads& h, int64_t count, KernelContext& context)
      : rows(count),
        scores(p, h.queries.operand(rows), transposed(h.keys.operand()), p.keys, DType::f32,
               context),
        by_weights(p, h.results.operand(rows), transposed(h.values.operand()), p.keys, DType::f32,
                   context),
        by_query(p, block(p), h.keys.operand(), h.queries.operand().pitch, p.dtype, context),
        by_key(p, transposed(block(p)), h.queries.operand(rows), h.keys.operand().pitch, DType::f32,
               context, true),
        by_value(p, transposed(block(p)), h.results.operand(rows), h.values.operand().pitch,
                 DType::f32, context, true) {}
  size_t scratch_bytes() const {
    size_t most = 0;
    for (const Product* product : {&scores, &by_weights, &by_query, &by_key, &by_value})
      most = std::max(most, product->scratch_bytes());
    return most;
  }

 private:
  Operand block(const Problem& p) const { return {rows, p.keys, p.keys}; }  // of weights
};

// The work on a whole block, and on what is left at the end of the queries.
template <class Work>
std::pair<Work, std::optional<Work>> works(const Problem& p, const Heads& heads,
                                           KernelContext& context) {
  std::pair<Work, std::optional<Work>> result{Work(p, heads, p.block, context), std::nullopt};
  if (p.rest() > 0) result.second.emplace(p, heads, p.rest(), context);
  return result;
}
template <class Work>
size_t scratch_of(const std::pair<Work, std::optional<Work>>& works) {
  return std::max(works.first.scratch_bytes(), works.second ? works.second->scratch_bytes() : 0);
}
}  // namespace

WAFER_KERNEL(scaled_dot_product_attention) {
  WAFER_CHECK(why_decomposed(node).empty(), why_decomposed(node));
  Problem p(node, 0);
  Heads heads(p);
  Matrices queries = heads.queries, keys = heads.keys, values = heads.values,
           results = heads.results;
  auto work = works<Forward>(p, heads, context);
  Scratch memory_of_part;
  size_t scores_at = memory_of_part.reserve(float_bytes(p.block * p.keys));
  size_t weights_at =
      memory_of_part.reserve(byte_size(p.dtype, static_cast<size_t>(p.block * p.keys)));
  size_t query_at = memory_of_part.reserve(queries.copy_bytes(p.block));
  size_t key_at = memory_of_part.reserve(keys.copy_bytes(p.keys));
  size_t value_at = memory_of_part.reserve(values.copy_bytes(p.keys));
  size_t result_at = memory_of_part.reserve(results.copy_bytes(p.block));
  size_t scratch_at = memory_of_part.reserve(scratch_of(work));
  size_t bytes = memory_of_part.total();
  int64_t blocks = p.blocks(), parts = parts_for(p.heads * blocks);
  context.scratch_bytes = bytes * static_cast<size_t>(parts);
  auto* make_weights = score_rows_kernel();
  return [=, floats = Floats(p.dtype)](const StepArgs& args) {
    auto attend = [&](int64_t item, int64_t before, std::byte* memory) {
      int64_t head = item / blocks, first = item % blocks * p.block;
      const Forward& on = first + p.block <= p.queries ? work.first : *work.second;
      float* scores = floats_at(memory, scores_at);
      std::byte* scratch = memory + scratch_at;
      // Copies of keys and values serve all blocks of a head.
      int64_t wanted = before >= 0 && before / blocks == head ? 0 : p.keys;
      const std::byte* key = keys.read(args.in[1], head, 0, wanted, memory + key_at);
      const std::byte* value = values.read(args.in[2], head, 0, wanted, memory + value_at);
      on.scores(queries.read(args.in[0], head, first, on.rows, memory + query_at), key, scores,
                scratch);
      make_weights(scores, on.rows, p.keys, first,
                   p.rules_of(head, p.mask_bytes ? args.in[3] : nullptr));
      std::byte* result = results.place(args.out[0], head, first, memory + result_at);
      on.result(as_factor(floats, scores, on.rows * p.keys, memory + weights_at), value, result,
                scratch);
      results.write(args.out[0], head, first, on.rows, result);
    };
    for_items(p.heads * blocks, parts, args.scratch, bytes, attend);
  };
}

// Each head is one thread's, block after block, since all its queries share the gradients by keys
// and values. With P the weights, G the gradient by the result and S' that by the scores:
// by value P^T G; by query S' K scale; by key S'^T Q scale.
WAFER_KERNEL(scaled_dot_product_attention_gradient) {
  WAFER_CHECK(why_decomposed(node).empty(), why_decomposed(node));
  Problem p(node, 1);
  Heads heads(p);
  Matrices queries = heads.queries, keys = heads.keys, values = heads.values,
           results = heads.results;
  auto work = works<Backward>(p, heads, context);
  int64_t by_key_size = p.keys * p.width, by_value_size = p.keys * p.value_width;
  Scratch memory_of_part;
  size_t weights_at = memory_of_part.reserve(float_bytes(p.block * p.keys));
  size_t scores_at = memory_of_part.reserve(float_bytes(p.block * p.keys));
  size_t factor_at =
      memory_of_part.reserve(byte_size(p.dtype, static_cast<size_t>(p.block * p.keys)));
  size_t by_key_at = memory_of_part.reserve(float_bytes(by_key_size));
  size_t by_value_at = memory_of_part.reserve(float_bytes(by_value_size));
  // Queries of a block, and their gradients once the queries are not needed any more.
  size_t query_at = memory_of_part.reserve(queries.copy_bytes(p.block));
  size_t gradient_at = memory_of_part.reserve(results.copy_bytes(p.block));
  // Keys and values of a head, and their gradients after its last block.
  size_t key_at = memory_of_part.reserve(keys.copy_bytes(p.keys));
  size_t value_at = memory_of_part.reserve(values.copy_bytes(p.keys));
  size_t scratch_at = memory_of_part.reserve(scratch_of(work));
  size_t bytes = memory_of_part.total();
  int64_t parts = parts_for(p.heads);
  context.scratch_bytes = bytes * static_cast<size_t>(parts);
  auto* make_weights = score_rows_kernel();
  auto* by_scores = score_gradient_rows_kernel();
  return [=, floats = Floats(p.dtype)](const StepArgs& args) {
    for_items(p.heads, parts, args.scratch, bytes, [&](int64_t head, int64_t, std::byte* memory) {
      float *weights = floats_at(memory, weights_at), *scores = floats_at(memory, scores_at);
      std::byte *factor = memory + factor_at, *scratch = memory + scratch_at;
      const std::byte* key = keys.read(args.in[2], head, 0, p.keys, memory + key_at);
      const std::byte* value = values.read(args.in[3], head, 0, p.keys, memory + value_at);
      ScoreRules rules = p.rules_of(head, p.mask_bytes ? args.in[4] : nullptr);
      // Where the head's gradients by keys and values are summed; null where they are not wanted.
      auto sum_of = [&](const Matrices& all, void* output, size_t offset) -> float* {
        if (!output) return nullptr;
        if (all.apart() || !floats.direct()) return floats_at(memory, offset);
        return reinterpret_cast<float*>(all.at(output, head));
      };
      float* by_key = sum_of(keys, args.out[1], by_key_at);
      float* by_value = sum_of(values, args.out[2], by_value_at);
      auto add = [&](const Product& product, const void* by, const void* with, float* sum,
                     bool first) {
        if (!sum) return;
        if (first)
          product(by, with, sum, scratch);
        else
          product.add(by, with, sum, scratch);
      };
      for (int64_t first = 0; first < p.queries; first += p.block) {
        const Backward& on = first + p.block <= p.queries ? work.first : *work.second;
        const std::byte* query = queries.read(args.in[1], head, first, on.rows, memory + query_at);
        const std::byte* g = results.read(args.in[0], head, first, on.rows, memory + gradient_at);
        int64_t count = on.rows * p.keys;
        on.scores(query, key, weights, scratch);
        make_weights(weights, on.rows, p.keys, first, rules);
        add(on.by_value, as_factor(floats, weights, count, factor), g, by_value, first == 0);
        on.by_weights(g, value, scores, scratch);
        by_scores(weights, scores, on.rows, p.keys, p.rules.scale);
        const void* by = as_factor(floats, scores, count, factor);
        add(on.by_key, by, query, by_key, first == 0);
        if (args.out[0]) {
          std::byte* by_query = queries.place(args.out[0], head, first, memory + query_at);
          on.by_query(by, key, by_query, scratch);
          queries.write(args.out[0], head, first, on.rows, by_query);
        }
      }
      // From f32 into the dtype, then among the other heads' rows.
      auto leave = [&](const Matrices& all, void* output, float* sum, int64_t count,
                       size_t offset) {
        if (!sum || (floats.direct() && !all.apart())) return;
        std::byte* placed = all.place(output, head, 0, memory + offset);
        const void* from = as_factor(floats, sum, count, placed);
        all.write(output, head, 0, p.keys, static_cast<const std::byte*>(from));
      };
      leave(keys, args.out[1], by_key, by_key_size, key_at);
      leave(values, args.out[2], by_value, by_value_size, value_at);
    });
  };
}

}  // namespace wafer::cpu
