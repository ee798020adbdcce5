#include "wafer/op/attention.h"

#include <algorithm>

#include "wafer/backend/cpu/contraction.h"
#include "wafer/backend/cpu/rows.h"
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
  DType dtype;
  ScoreRules rules;                   // but for the mask's memory
  std::vector<int64_t> mask_offsets;  // of each head, in elements; none without a mask
  size_t mask_bytes = 0;              // of one element
  int64_t block;                      // queries that are worked on together

  // `first`: the query's place among the node's inputs.
  Problem(const Node& node, size_t first) {
    const Shape &query = node.inputs[first].shape(), &value = node.inputs[first + 2].shape();
    for (int d = 0; d < query.rank() - 2; ++d) heads *= query.size(d);
    queries = query.size(-2), width = query.size(-1);
    keys = value.size(-2), value_width = value.size(-1);
    dtype = node.inputs[first].dtype();
    const auto& attrs = node.attr<AttentionAttrs>();
    rules.scale = static_cast<float>(attrs.scale);
    rules.causal = attrs.causal;
    if (node.inputs.size() > first + 3) read_mask(node.inputs[first + 3].type(), query);
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
  void read_mask(const Type& mask, const Shape& query) {
    rules.boolean = mask.dtype == DType::boolean;
    mask_bytes = byte_size(mask.dtype, 1);
    std::vector<int64_t> strides(static_cast<size_t>(query.rank()), 0);
    int64_t stride = 1;
    for (int d = 1; d <= mask.shape.rank(); ++d) {
      if (mask.shape.size(-d) > 1) strides[strides.size() - static_cast<size_t>(d)] = stride;
      stride *= mask.shape.size(-d);
    }
    rules.mask_row = strides[strides.size() - 2];
    rules.mask_column = strides.back();
    for (int64_t head = 0; head < heads; ++head) {
      int64_t left = head, offset = 0;
      for (int d = query.rank() - 3; d >= 0; --d) {
        offset += left % query.size(d) * strides[static_cast<size_t>(d)];
        left /= query.size(d);
      }
      mask_offsets.push_back(offset);
    }
  }
};

// A product of matrices that one thread computes.
class Product {
 public:
  Product() = default;
  Product(Type a, Type b, DType result, bool transpose_a, bool transpose_b,
          KernelContext& context) {
    int64_t rows = a.shape.size(transpose_a ? 1 : 0), columns = b.shape.size(transpose_b ? 0 : 1);
    MatmulProblem problem{std::move(a), std::move(b), Type{result, Shape{rows, columns}},
                          transpose_a, transpose_b};
    problem.threads = 1;
    KernelContext inner{context.target, {true}};
    step_ = make_matmul(problem, {}, inner);
    scratch_bytes_ = inner.scratch_bytes;
    context.library_bytes =
        std::max(context.library_bytes, inner.library_bytes * static_cast<size_t>(thread_count()));
    context.kernel = str("attention:", inner.kernel);
  }

  size_t scratch_bytes() const { return scratch_bytes_; }
  void operator()(const void* a, const void* b, void* y, std::byte* scratch) const {
    void* const in[] = {const_cast<void*>(a), const_cast<void*>(b)};
    void* const out[] = {y};
    step_({in, out, scratch});
  }

 private:
  Step step_;
  size_t scratch_bytes_ = 0;
};

size_t float_bytes(int64_t count) {
  return static_cast<size_t>(count) * sizeof(float);
}
float* floats_at(std::byte* memory, size_t offset) {
  return reinterpret_cast<float*>(memory + offset);
}

// Where rows of a head's matrix of queries, keys, values or results begin.
struct Matrices {
  size_t element;  // bytes

  std::byte* of(void* base, int64_t head, int64_t rows, int64_t columns, int64_t row = 0) const {
    return static_cast<std::byte*>(base) +
           static_cast<size_t>((head * rows + row) * columns) * element;
  }
};

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
// Calls work(item, memory of the part) on all items.
template <class F>
void for_items(int64_t items, int64_t parts, std::byte* memory, size_t bytes, F&& work) {
  parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      for (int64_t i = items * part / parts; i < items * (part + 1) / parts; ++i)
        work(i, memory + static_cast<size_t>(part) * bytes);
    }
  });
}

// What is done with one block of `rows` queries.
struct Forward {
  int64_t rows = 0;
  Product scores, result;

  Forward(const Problem& p, int64_t count, KernelContext& context)
      : rows(count),
        scores({p.dtype, Shape{rows, p.width}}, {p.dtype, Shape{p.keys, p.width}}, DType::f32,
               false, true, context),
        result({p.dtype, Shape{rows, p.keys}}, {p.dtype, Shape{p.keys, p.value_width}}, p.dtype,
               false, false, context) {}
  size_t scratch_bytes() const { return std::max(scores.scratch_bytes(), result.scratch_bytes()); }
};

struct Backward {
  int64_t rows = 0;
  Product scores, by_weights, by_query, by_key, by_value;

  // Gradients by keys and values are f32: they are sums over blocks.
  Backward(const Problem& p, int64_t count, KernelContext& context)
      : rows(count),
        scores({p.dtype, Shape{rows, p.width}}, {p.dtype, Shape{p.keys, p.width}}, DType::f32,
               false, true, context),
        by_weights({p.dtype, Shape{rows, p.value_width}}, {p.dtype, Shape{p.keys, p.value_width}},
                   DType::f32, false, true, context),
        by_query({p.dtype, Shape{rows, p.keys}}, {p.dtype, Shape{p.keys, p.width}}, p.dtype, false,
                 false, context),
        by_key({p.dtype, Shape{rows, p.keys}}, {p.dtype, Shape{rows, p.width}}, DType::f32, true,
               false, context),
        by_value({p.dtype, Shape{rows, p.keys}}, {p.dtype, Shape{rows, p.value_width}}, DType::f32,
                 true, false, context) {}
  size_t scratch_bytes() const {
    size_t most = 0;
    for (const Product* product : {&scores, &by_weights, &by_query, &by_key, &by_value})
      most = std::max(most, product->scratch_bytes());
    return most;
  }
};

// The work on a whole block, and on what is left at the end of the queries.
template <class Work>
std::pair<Work, std::optional<Work>> works(const Problem& p, KernelContext& context) {
  std::pair<Work, std::optional<Work>> result{Work(p, p.block, context), std::nullopt};
  if (p.rest() > 0) result.second.emplace(p, p.rest(), context);
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
  auto work = works<Forward>(p, context);
  Scratch memory_of_part;
  size_t scores_at = memory_of_part.reserve(float_bytes(p.block * p.keys));
  size_t weights_at =
      memory_of_part.reserve(byte_size(p.dtype, static_cast<size_t>(p.block * p.keys)));
  size_t scratch_at = memory_of_part.reserve(scratch_of(work));
  size_t bytes = memory_of_part.total();
  int64_t blocks = p.blocks(), parts = parts_for(p.heads * blocks);
  context.scratch_bytes = bytes * static_cast<size_t>(parts);
  auto* make_weights = score_rows_kernel();
  return [=, floats = Floats(p.dtype)](const StepArgs& args) {
    Matrices at{byte_size(p.dtype, 1)};
    for_items(p.heads * blocks, parts, args.scratch, bytes, [&](int64_t item, std::byte* memory) {
      int64_t head = item / blocks, first = item % blocks * p.block;
      const Forward& on = first + p.block <= p.queries ? work.first : *work.second;
      float* scores = floats_at(memory, scores_at);
      std::byte* scratch = memory + scratch_at;
      on.scores(at.of(args.in[0], head, p.queries, p.width, first),
                at.of(args.in[1], head, p.keys, p.width), scores, scratch);
      make_weights(scores, on.rows, p.keys, first,
                   p.rules_of(head, p.mask_bytes ? args.in[3] : nullptr));
      on.result(as_factor(floats, scores, on.rows * p.keys, memory + weights_at),
                at.of(args.in[2], head, p.keys, p.value_width),
                at.of(args.out[0], head, p.queries, p.value_width, first), scratch);
    });
  };
}

// Each head is one thread's, block after block, since all its queries share the gradients by keys
// and values. With P the weights, G the gradient by the result and S' that by the scores:
// by value P^T G; by query S' K scale; by key S'^T Q scale.
WAFER_KERNEL(scaled_dot_product_attention_gradient) {
  WAFER_CHECK(why_decomposed(node).empty(), why_decomposed(node));
  Problem p(node, 1);
  auto work = works<Backward>(p, context);
  int64_t by_key_size = p.keys * p.width, by_value_size = p.keys * p.value_width;
  Scratch memory_of_part;
  size_t weights_at = memory_of_part.reserve(float_bytes(p.block * p.keys));
  size_t scores_at = memory_of_part.reserve(float_bytes(p.block * p.keys));
  size_t factor_at =
      memory_of_part.reserve(byte_size(p.dtype, static_cast<size_t>(p.block * p.keys)));
  size_t by_key_at = memory_of_part.reserve(float_bytes(by_key_size));
  size_t by_value_at = memory_of_part.reserve(float_bytes(by_value_size));
  size_t more_at = memory_of_part.reserve(float_bytes(std::max(by_key_size, by_value_size)));
  size_t scratch_at = memory_of_part.reserve(scratch_of(work));
  size_t bytes = memory_of_part.total();
  int64_t parts = parts_for(p.heads);
  context.scratch_bytes = bytes * static_cast<size_t>(parts);
  auto* make_weights = score_rows_kernel();
  auto* by_scores = score_gradient_rows_kernel();
  return [=, floats = Floats(p.dtype)](const StepArgs& args) {
    Matrices at{byte_size(p.dtype, 1)};
    for_items(p.heads, parts, args.scratch, bytes, [&](int64_t head, std::byte* memory) {
      float *weights = floats_at(memory, weights_at), *scores = floats_at(memory, scores_at);
      std::byte *factor = memory + factor_at, *scratch = memory + scratch_at;
      std::byte* key = at.of(args.in[2], head, p.keys, p.width);
      std::byte* value = at.of(args.in[3], head, p.keys, p.value_width);
      ScoreRules rules = p.rules_of(head, p.mask_bytes ? args.in[4] : nullptr);
      // Where the head's gradients by keys and values are summed; null where they are not wanted.
      auto sum_of = [&](void* output, int64_t count, size_t offset) {
        return output ? floats.place(output, head * count, floats_at(memory, offset)) : nullptr;
      };
      float* by_key = sum_of(args.out[1], by_key_size, by_key_at);
      float* by_value = sum_of(args.out[2], by_value_size, by_value_at);
      auto add = [&](const Product& product, const void* by, const void* with, float* sum,
                     int64_t count, bool first) {
        if (!sum) return;
        float* more = first ? sum : floats_at(memory, more_at);
        product(by, with, more, scratch);
        for (int64_t i = 0; !first && i < count; ++i) sum[i] += more[i];
      };
      for (int64_t first = 0; first < p.queries; first += p.block) {
        const Backward& on = first + p.block <= p.queries ? work.first : *work.second;
        std::byte* query = at.of(args.in[1], head, p.queries, p.width, first);
        std::byte* g = at.of(args.in[0], head, p.queries, p.value_width, first);
        int64_t count = on.rows * p.keys;
        on.scores(query, key, weights, scratch);
        make_weights(weights, on.rows, p.keys, first, rules);
        add(on.by_value, as_factor(floats, weights, count, factor), g, by_value, by_value_size,
            first == 0);
        on.by_weights(g, value, scores, scratch);
        by_scores(weights, scores, on.rows, p.keys, p.rules.scale);
        const void* by = as_factor(floats, scores, count, factor);
        if (args.out[0])
          on.by_query(by, key, at.of(args.out[0], head, p.queries, p.width, first), scratch);
        add(on.by_key, by, query, by_key, by_key_size, first == 0);
      }
      if (by_key) floats.write(args.out[1], head * by_key_size, by_key_size, by_key);
      if (by_value) floats.write(args.out[2], head * by_value_size, by_value_size, by_value);
    });
  };
}

}  // namespace wafer::cpu
