#include <algorithm>

#include "wafer/backend/cpu/contraction.h"
#include "wafer/backend/cpu/convert.h"
#include "wafer/backend/cpu/gemm.h"
#include "wafer/backend/cpu/memory.h"
#include "wafer/backend/cpu/own_epilogue.h"
#include "wafer/base/threads.h"
#include "wafer/ir/storage.h"

namespace wafer::cpu::own {

namespace {
// Sizes and element strides of a batch of products.
struct Extents {
  int64_t batch, m, n, k;
  int64_t a_row, a_column, b_row, b_column;

  explicit Extents(const MatmulProblem& p) {
    m = p.y.shape.size(-2);
    n = p.y.shape.size(-1);
    k = p.a.shape.size(p.transpose_a ? -2 : -1);
    batch = 1;
    for (int i = 0; i < p.y.shape.rank() - 2; ++i) batch *= p.y.shape.size(i);
    a_row = p.transpose_a ? 1 : k;
    a_column = p.transpose_a ? m : 1;
    b_row = p.transpose_b ? 1 : n;
    b_column = p.transpose_b ? k : 1;
  }
};

// f32, or f16 and bf16 by way of f32 in scratch.
Step make_blocked(const MatmulProblem& p, const Epilogue& epilogue, KernelContext& context) {
  Extents e(p);
  bool convert = p.a.dtype != DType::f32;
  int parts = p.threads > 0 ? p.threads : thread_count();
  // A b that is known is packed once, when the step is made, one that lasts before many runs.
  bool packs_once = !convert && e.batch == 1;
  bool known_b = packs_once && p.b_values != nullptr;
  bool lasting_b = packs_once && !known_b && p.b_lasts;
  // Small products of a large batch go one to a thread each, large ones are cut up.
  bool over_batch = e.batch >= parts && !known_b && !lasting_b;
  bool packs = !over_batch && !known_b && !lasting_b;
  auto product = [=](const float* a, const float* b, float* c, int64_t i) {
    return GemmArgs{.m = e.m,
                    .n = e.n,
                    .k = e.k,
                    .a = a + i * e.m * e.k,
                    .a_row = e.a_row,
                    .a_column = e.a_column,
                    .b = b + i * e.k * e.n,
                    .b_row = e.b_row,
                    .b_column = e.b_column,
                    .c = c + i * e.m * e.n,
                    .c_row = e.n};
  };
  Gemm gemm(product(nullptr, nullptr, nullptr, 0), parts,
            packs ? Gemm::Columns::not_packed : Gemm::Columns::packed,
            /*finishes=*/!convert && !epilogue.empty());
  Scratch scratch;
  auto floats = [&](int64_t count) {
    return scratch.reserve(static_cast<size_t>(count) * sizeof(float));
  };
  int64_t a_size = e.batch * e.m * e.k, b_size = e.batch * e.k * e.n, c_size = e.batch * e.m * e.n;
  size_t a_at = convert ? floats(a_size) : 0, b_at = convert ? floats(b_size) : 0;
  size_t c_at = convert ? floats(c_size) : 0;
  std::shared_ptr<Storage> packed;
  if (known_b) {
    packed = allocate_host(static_cast<size_t>(gemm.packed_floats()) * sizeof(float));
    GemmArgs known = product(nullptr, static_cast<const float*>(p.b_values), nullptr, 0);
    gemm.pack(known, static_cast<float*>(packed->data()));
    context.constant_bytes = packed->bytes();
  }
  if (lasting_b) {
    context.preparation = {static_cast<size_t>(gemm.packed_floats()) * sizeof(float),
                           [=](const StepArgs& args) {
                             GemmArgs g = product(nullptr, args.input<float>(1), nullptr, 0);
                             gemm.pack(g, reinterpret_cast<float*>(args.prepared));
                           }};
  }
  context.scratch_bytes = scratch.total();
  context.kept_bytes = over_batch ? static_cast<size_t>(parts * gemm_workspace) * sizeof(float)
                                  : gemm.thread_bytes();
  context.kernel = str("own:", name(isa()));
  return [=, multiply = gemm_block_kernel()](const StepArgs& args) {
    auto at = [&](size_t offset) { return reinterpret_cast<float*>(args.scratch + offset); };
    const float *a = args.input<float>(0), *b = args.input<float>(1);
    float* c = args.output<float>(0);
    Finish finish = convert ? Finish{} : finish_of(epilogue, args);
    if (convert) {
      convert_from(p.a.dtype, args.in[0], at(a_at), a_size);
      convert_from(p.b.dtype, args.in[1], at(b_at), b_size);
      a = at(a_at);
      b = at(b_at);
      if (p.y.dtype != DType::f32) c = at(c_at);
    }
    auto finished = [&](int64_t i) {
      GemmArgs g = product(a, b, c, i);
      g.finish = finish;
      if (g.finish.residual != nullptr) g.finish.residual += i * e.m * e.n;
      return g;
    };
    if (over_batch) {
      parallel_for(parts, 1, [&](int64_t begin, int64_t end) {
        for (int64_t part = begin; part < end; ++part) {
          for (int64_t i = e.batch * part / parts; i < e.batch * (part + 1) / parts; ++i) {
            multiply(finished(i), thread_memory(gemm_workspace));
          }
        }
      });
    } else {
      for (int64_t i = 0; i < e.batch; ++i) {
        GemmArgs g = finished(i);
        if (packs) {
          gemm.run_packing(g);
        } else {
          gemm.run(g, known_b ? static_cast<const float*>(packed->data())
                              : reinterpret_cast<const float*>(args.prepared));
        }
      }
    }
    if (!convert) return;
    if (p.y.dtype != DType::f32) convert_to(p.y.dtype, c, args.out[0], c_size);
    apply_epilogue(epilogue, p.y, p.y.shape.rank() - 1, args);
  };
}

// What sums of T are made in: whole numbers wrap, which only unsigned arithmetic defines; f16 and
// bf16 add up in f32.
template <class T>
constexpr auto sum_type() {
  if constexpr (std::is_same_v<T, double>) {
    return std::type_identity<double>{};
  } else if constexpr (std::is_integral_v<T>) {
    return std::type_identity<std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>>{};
  } else {
    return std::type_identity<float>{};
  }
}

// Plain loops: f64, whole numbers and empty products.
template <class T>
Step make_plain(const MatmulProblem& p, const Epilogue& epilogue) {
  using Wide = typename decltype(sum_type<T>())::type;
  Extents e(p);
  return [=](const StepArgs& args) {
    const T *a = args.input<T>(0), *b = args.input<T>(1);
    T* c = args.output<T>(0);
    parallel_for(
        e.batch * e.m, std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, e.n * e.k)),
        [&](int64_t begin, int64_t end) {
          std::vector<Wide> sums(static_cast<size_t>(e.n));
          for (int64_t row = begin; row < end; ++row) {
            int64_t i = row / e.m, r = row % e.m;
            std::fill(sums.begin(), sums.end(), Wide(0));
            for (int64_t k = 0; k < e.k; ++k) {
              auto factor = static_cast<Wide>(a[i * e.m * e.k + r * e.a_row + k * e.a_column]);
              const T* line = b + i * e.k * e.n + k * e.b_row;
              for (int64_t j = 0; j < e.n; ++j) {
                sums[static_cast<size_t>(j)] += factor * static_cast<Wide>(line[j * e.b_column]);
              }
            }
            for (int64_t j = 0; j < e.n; ++j) {
              c[row * e.n + j] = static_cast<T>(sums[static_cast<size_t>(j)]);
            }
          }
        });
    apply_epilogue(epilogue, p.y, p.y.shape.rank() - 1, args);
  };
}
}  // namespace

bool is_matmul_faster(const MatmulProblem& p) {
  if (isa() != Isa::avx2 || p.a.dtype != DType::f32 || p.y.elements() == 0) return false;
  Extents e(p);
  // A b that stays need not be packed again; of few rows oneDNN computes one at a time. Panels of
  // very few columns are mostly padding.
  bool stays = p.b_values != nullptr || p.b_lasts;
  if (stays && e.batch == 1 && e.n >= 8) return true;
  // Without AVX-512 oneDNN copies operands of large products alone: elsewhere lines that lie a page
  // or a half apart, or those of a transposed, cost it up to half of its rate.
  bool copied = e.n >= 1024 && e.m >= 512;
  bool page_apart = !p.transpose_b && (e.n >= 2048 || e.n % 512 == 0) && !copied;
  if (page_apart && e.m >= 48 && e.k >= (e.m <= 64 ? 8 : 32)) return true;
  if (p.transpose_a) {
    return e.m >= 64 && e.n >= 64 && e.k >= (e.m >= 512 ? 64 : 128);
  }
  // Where neither is ahead, ours lets threads take turns.
  bool large = e.m >= 1024 && e.n >= 96 && e.k >= 64;
  bool deep = p.transpose_b && e.m >= 256 && e.n >= 128 && e.k >= 1024;
  return large || deep;
}

Step make_matmul(const MatmulProblem& problem, const Epilogue& epilogue, KernelContext& context) {
  DType dtype = problem.y.dtype;
  if (problem.y.elements() > 0 && problem.a.elements() > 0 &&
      (dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16)) {
    return make_blocked(problem, epilogue, context);
  }
  Step step;
  visit(dtype, [&]<class T>(std::type_identity<T>) { step = make_plain<T>(problem, epilogue); });
  return step;
}

}  // namespace wafer::cpu::own
