#include "wafer/op/matmul.h"

#include <algorithm>
#include <numeric>

#include "wafer/kernel/device/gemm.h"
#include "wafer/op/op.h"

// Matrix products: a work item keeps a tile of 6 rows by two vectors of the result in registers and
// adds the products of a column of A and a row of B to it.
namespace wafer::kernel {

namespace {
// p: m, n, k, terms, inner batches, padded n, accumulate, -; from 8 on A's strides by row, column,
// term, outer, inner; from 16 on B's by row, term, outer, inner; from 24 on C's by row, outer,
// inner.
constexpr std::string_view tiled = R"(
WF_FUNCTION void store_tile(WF_GLOBAL C_T* c, WF_I64 c_row, V acc[ROWS][2], int rows, int width,
                            int add) {
  for (int i = 0; i < ROWS; ++i) {
    if (i >= rows) break;
    C_C values[2 * LANES];
    VSTORE(acc[i][0], values);
    VSTORE(acc[i][1], values + LANES);
    for (int j = 0; j < width; ++j) {
      C_C before = add ? C_LOAD(c, i * c_row + j) : (C_C)0;
      C_STORE(c, i * c_row + j, before + values[j]);
    }
  }
}
WF_KERNEL gemm(WF_BUFFER(a), WF_BUFFER(b), WF_BUFFER(c), WF_NUMBERS) {
  WF_POINTER(const A_T, a);
  WF_POINTER(const C_C, b);
  WF_POINTER(C_T, c);
  int m = (int)p[0], n = (int)p[1], k = (int)p[2], terms = (int)p[3], inner = (int)p[4];
  int padded = (int)p[5], add = (int)p[6], tiles = (int)p[7];
  WF_I64 a_row = p[8], a_column = p[9], b_row = p[16], c_row = p[24];
  int down = (m + ROWS - 1) / ROWS, across = (padded + 2 * LANES - 1) / (2 * LANES);
  WF_LOOP(t, tiles) {
    int row = t % down * ROWS, column = t / down % across * 2 * LANES, batch = t / down / across;
    int rows = min(m - row, ROWS), both = column + LANES < padded;
    V acc[ROWS][2];
#pragma unroll
    for (int i = 0; i < ROWS; ++i) acc[i][0] = acc[i][1] = SPLAT(0);
    WF_I64 a_at[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; ++i)
      a_at[i] = min(row + i, m - 1) * a_row + batch / inner * p[11] + batch % inner * p[12];
    for (int term = 0; term < terms; ++term) {
      const WF_GLOBAL A_T* a_term = a + term * p[10];
      const WF_GLOBAL C_C* b_at =
          b + term * p[17] + batch / inner * p[18] + batch % inner * p[19] + column;
      if (both) {
        for (int s = 0; s < k; ++s) {
          V b0 = VLOAD(b_at), b1 = VLOAD(b_at + LANES);
          b_at += b_row;
#pragma unroll
          for (int i = 0; i < ROWS; ++i) {
            V x = SPLAT((C_C)A_LOAD(a_term, a_at[i] + s * a_column));
            acc[i][0] = WF_VECTOR_FMA(x, b0, acc[i][0]);
            acc[i][1] = WF_VECTOR_FMA(x, b1, acc[i][1]);
          }
        }
      } else {
        for (int s = 0; s < k; ++s) {
          V b0 = VLOAD(b_at);
          b_at += b_row;
#pragma unroll
          for (int i = 0; i < ROWS; ++i) {
            V x = SPLAT((C_C)A_LOAD(a_term, a_at[i] + s * a_column));
            acc[i][0] = WF_VECTOR_FMA(x, b0, acc[i][0]);
          }
        }
      }
    }
    store_tile(c + row * c_row + batch / inner * p[25] + batch % inner * p[26] + column, c_row, acc,
               rows, min(n - column, 2 * LANES), add);
  }
}
)";

// The same without tiles, for integers.
constexpr std::string_view plain = R"(
WF_KERNEL gemm(WF_BUFFER(a), WF_BUFFER(b), WF_BUFFER(c), WF_NUMBERS) {
  WF_POINTER(const A_T, a);
  WF_POINTER(const C_C, b);
  WF_POINTER(C_T, c);
  int m = (int)p[0], n = (int)p[1], k = (int)p[2], inner = (int)p[4];
  WF_LOOP(t, (int)p[7]) {
    int column = t % n, row = t / n % m, batch = t / n / m;
    const WF_GLOBAL A_T* a_at = a + row * p[8] + batch / inner * p[11] + batch % inner * p[12];
    const WF_GLOBAL C_C* b_at = b + batch / inner * p[18] + batch % inner * p[19] + column;
    C_C sum = 0;
    for (int s = 0; s < k; ++s) sum += (C_C)A_LOAD(a_at, s * p[9]) * b_at[s * p[16]];
    C_STORE(c, row * p[24] + batch / inner * p[25] + batch % inner * p[26] + column, sum);
  }
}
)";

// p: batches x rows, rows, columns, padded; strides of the source by batch, row, column.
constexpr std::string_view packing = R"(
WF_KERNEL pack(WF_BUFFER(x), WF_BUFFER(y), WF_NUMBERS) {
  WF_POINTER(const X_T, x);
  WF_POINTER(Y_T, y);
  int rows = (int)p[1], columns = (int)p[2], padded = (int)p[3];
  WF_I64 stride = p[6];
  WF_LOOP(t, (int)p[0]) {
    const WF_GLOBAL X_T* from = x + t / rows * p[4] + t % rows * p[5];
    WF_GLOBAL Y_T* to = y + (WF_I64)t * padded;
    for (int j = 0; j < columns; ++j) to[j] = (Y_C)X_LOAD(from, j * stride);
    for (int j = columns; j < padded; ++j) to[j] = 0;
  }
}
)";
constexpr int64_t tile_rows = 6;

// A Gemm in the words of a library; nothing where it adds up several terms, or steps from batch to
// batch in two ways.
std::optional<ProductProblem> library_problem(const Gemm& g) {
  if (g.terms != 1 || g.accumulate || g.a != g.c || computed_in(g.c) != g.c) return std::nullopt;
  if (g.outer > 1 && g.inner > 1) return std::nullopt;
  bool transposed = g.a_column != 1;
  if (transposed && g.a_row != 1) return std::nullopt;
  bool outer = g.outer > 1;
  // Convolutions begin at any of their images.
  auto bytes = static_cast<int64_t>(byte_size(g.c, 1));
  int64_t alignment = std::gcd(std::gcd(int64_t{16}, g.a_outer * bytes),
                               std::gcd(g.b_outer * bytes, g.c_outer * bytes));
  return ProductProblem{.dtype = g.c,
                        .m = g.m,
                        .n = g.n,
                        .k = g.k,
                        .batches = g.outer * g.inner,
                        .transpose_a = transposed,
                        .a_row = transposed ? g.a_column : g.a_row,
                        .b_row = g.b_row,
                        .y_row = g.c_row,
                        .a_batch = outer ? g.a_outer : g.a_inner,
                        .b_batch = outer ? g.b_outer : g.b_inner,
                        .y_batch = outer ? g.c_outer : g.c_inner,
                        .alignment = alignment};
}
}  // namespace

std::optional<ProductProblem> product_problem(const Node& matmul) {
  auto [transpose_a, transpose_b] = matmul.attr<MatmulAttrs>();
  const Type &a = matmul.inputs[0].type(), &b = matmul.inputs[1].type(), &y = matmul.outputs[0];
  if (a.dtype != y.dtype || b.dtype != y.dtype) return std::nullopt;
  int64_t m = y.shape.size(-2), n = y.shape.size(-1);
  int64_t k = a.shape.size(transpose_a ? -2 : -1);
  return ProductProblem{.dtype = y.dtype,
                        .m = m,
                        .n = n,
                        .k = k,
                        .batches = m * n == 0 ? 0 : y.elements() / (m * n),
                        .transpose_a = transpose_a,
                        .transpose_b = transpose_b,
                        .a_row = transpose_a ? m : k,
                        .b_row = transpose_b ? k : n,
                        .y_row = n,
                        .a_batch = m * k,
                        .b_batch = k * n,
                        .y_batch = m * n};
}

std::optional<Launch> make_library_product(const Node& node, KernelContext& context,
                                           const ProductProblem& problem) {
  const Queue& queue = session_of(context).queue();
  if (!is_floating(problem.dtype) || problem.m * problem.n * problem.k * problem.batches == 0)
    return std::nullopt;
  auto product = queue.library_product(problem);
  if (!product) return std::nullopt;
  context.kept_bytes = std::max(context.kept_bytes, product->workspace_bytes());
  Launch launch;
  launch.product = std::move(product);
  launch.queue = &queue;
  launch.what = describe(node);
  return launch;
}

Launch make_gemm(const Node& node, KernelContext& context, const Gemm& g) {
  if (auto problem = library_problem(g)) {
    if (auto launch = make_library_product(node, context, *problem)) return *launch;
  }
  bool f64 = computed_in(g.c) == DType::f64, real = is_floating(g.c);
  int64_t lanes = f64 ? 4 : gemm_lanes, padded = (g.n + lanes - 1) / lanes * lanes;
  int64_t across = (padded + 2 * lanes - 1) / (2 * lanes), down = (g.m + tile_rows - 1) / tile_rows;
  int64_t batches = g.outer * g.inner;
  int64_t items = real ? batches * down * across : batches * g.m * g.n;
  std::string definitions = words("A", g.a) + words("C", g.c);
  if (real) {
    std::string vector = f64 ? "double, 4" : "float, 8", number = std::to_string(lanes);
    definitions += str("#define V WF_VECTOR(", vector, ")\n#define SPLAT(x) WF_VECTOR_OF(", vector,
                       ", x)\n#define VLOAD(p) WF_VECTOR_LOAD(", vector,
                       ", p)\n#define VSTORE(v, p) WF_VECTOR_STORE(", number,
                       ", v, p)\n#define LANES ", lanes, "\n#define ROWS ", tile_rows, "\n");
  }
  std::string text =
      library_source(context, definitions, real ? tiled : plain, f64 || g.a == DType::f64);
  std::vector<int64_t> p = {g.m,          g.n,       g.k,      g.terms,    g.inner,  padded,
                            g.accumulate, items,     g.a_row,  g.a_column, g.a_term, g.a_outer,
                            g.a_inner,    0,         0,        0,          g.b_row,  g.b_term,
                            g.b_outer,    g.b_inner, 0,        0,          0,        0,
                            g.c_row,      g.c_outer, g.c_inner};
  int64_t work = g.k * g.terms * (real ? tile_rows * 2 * lanes : 1);
  return make_launch(node, context, text, "gemm", p, items,
                     std::max<int64_t>(8192 / std::max<int64_t>(work, 1), 1));
}

Launch make_pack(const Node& node, const KernelContext& context, const Pack& pack) {
  int64_t items = pack.batches * pack.rows;
  bool f64 = pack.from == DType::f64 || pack.to == DType::f64;
  std::string text =
      library_source(context, words("X", pack.from) + words("Y", pack.to), packing, f64);
  return make_launch(
      node, context, text, "pack",
      {items, pack.rows, pack.columns, pack.padded, pack.batch, pack.row, pack.column}, items,
      std::max<int64_t>(4096 / std::max<int64_t>(pack.padded, 1), 1));
}

WAFER_KERNEL(matmul) {
  if (auto problem = product_problem(node)) {
    if (auto product = make_library_product(node, context, *problem)) {
      context.kernel = product->product->name();
      return [product](const StepArgs& args) { (*product)({args.in[0], args.in[1], args.out[0]}); };
    }
  }
  auto [transpose_a, transpose_b] = node.attr<MatmulAttrs>();
  const Type &a = node.inputs[0].type(), &b = node.inputs[1].type(), &y = node.outputs[0];
  int64_t m = y.shape.size(-2), n = y.shape.size(-1);
  int64_t k = a.shape.size(transpose_a ? -2 : -1);
  int64_t batches = m * n == 0 ? 0 : y.elements() / (m * n);
  DType computed = computed_in(y.dtype);
  bool packed = transpose_b || b.dtype != computed || n % gemm_lanes != 0;
  int64_t columns = packed ? padded_to_lanes(n) : n;
  Gemm gemm{.a = a.dtype,
            .c = y.dtype,
            .m = m,
            .n = n,
            .k = k,
            .inner = batches,
            .a_row = transpose_a ? 1 : k,
            .a_column = transpose_a ? m : 1,
            .a_inner = m * k,
            .b_row = columns,
            .b_inner = k * columns,
            .c_row = n,
            .c_inner = m * n};
  context.kernel = "matmul";
  Launch product = make_gemm(node, context, gemm);
  if (!packed) {
    return [product](const StepArgs& args) { product({args.in[0], args.in[1], args.out[0]}); };
  }
  Launch pack = make_pack(node, context,
                          {.from = b.dtype,
                           .to = computed,
                           .rows = k,
                           .columns = n,
                           .padded = columns,
                           .batches = batches,
                           .row = transpose_b ? 1 : n,
                           .column = transpose_b ? k : 1,
                           .batch = k * n});
  context.scratch_bytes = byte_size(computed, batches * k * columns);
  return [product, pack](const StepArgs& args) {
    pack({args.in[1], args.scratch});
    product({args.in[0], args.scratch, args.out[0]});
  };
}

}  // namespace wafer::kernel
