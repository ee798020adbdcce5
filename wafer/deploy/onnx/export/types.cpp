#include <algorithm>

#include "wafer/base/strings.h"
#include "wafer/deploy/onnx/export/emit.h"

namespace wafer::onnx::exporter {

namespace {
// The dtypes that an operator of ONNX takes, by the standard; operators that take all of them are
// left out.
struct Takes {
  const char* op;
  const char* dtypes;
  int64_t bf16_since = 17;  // the operator set that brought bf16
};
constexpr const char* real = "f64 f32 f16 bf16";
constexpr const char* numbers = "f64 f32 f16 bf16 i64 i32 i16 i8 u64 u32 u16 u8";
constexpr const char* wide = "f64 f32 f16 bf16 i64 i32 u64 u32";
constexpr const char* with_sign = "f64 f32 f16 bf16 i64 i32 i16 i8";
constexpr const char* extremes = "f64 f32 f16 bf16 i64 i32 i8 u64 u32 u8";
constexpr Takes types_of_operators[] = {
    {"Neg", with_sign},
    {"Relu", with_sign},
    {"Abs", numbers},
    {"Sign", numbers},
    {"Add", numbers},
    {"Sub", numbers},
    {"Mul", numbers},
    {"Div", numbers},
    {"Mod", numbers},
    {"Max", numbers},
    {"Min", numbers},
    {"Less", numbers},
    {"LessOrEqual", numbers},
    {"ArgMax", numbers},
    {"ArgMin", numbers},
    {"Exp", real},
    {"Log", real},
    {"Sqrt", real},
    {"Sin", real, 22},
    {"Cos", real, 22},
    {"Tan", real, 22},
    {"Asin", real, 22},
    {"Acos", real, 22},
    {"Atan", real, 22},
    {"Round", real, 22},
    {"Tanh", real},
    {"Erf", real},
    {"Floor", real},
    {"Ceil", real},
    {"Sigmoid", real},
    {"Gelu", real},
    {"Pow", "f64 f32 f16 bf16 i64 i32"},
    {"ReduceSum", wide},
    {"ReduceProd", wide},
    {"ReduceMax", extremes},
    {"ReduceMin", extremes},
    {"CumSum", wide},
    {"MatMul", wide},
    {"Gemm", wide},
    {"Conv", real, 22},
    {"ConvTranspose", real, 22},
    {"AveragePool", real, 22},
    {"MaxPool", "f64 f32 f16 bf16 i8 u8", 22},
    {"TopK", numbers, 24},
    {"Softmax", real},
    {"LogSoftmax", real},
    {"BatchNormalization", real},
    {"RNN", real, 22},
    {"LSTM", real, 22},
    {"GRU", real, 22},
};

// Wider dtypes, the nearest first, that hold every value of the dtype.
std::vector<DType> wider(DType dtype) {
  switch (dtype) {
    case DType::f16:
    case DType::bf16: return {DType::f32, DType::f64};
    case DType::f32: return {DType::f64};
    case DType::boolean: return {DType::u8, DType::i32, DType::i64, DType::f32};
    case DType::i8:
    case DType::u8:
    case DType::i16:
    case DType::u16: return {DType::i32, DType::i64, DType::f32};
    case DType::i32: return {DType::i64, DType::f64};
    case DType::u32: return {DType::i64, DType::f64};
    // Nothing holds the greatest of these; sums and products are the same bits.
    case DType::u64: return {DType::i64, DType::f64};
    default: return {DType::f64};
  }
}
}  // namespace

DType Emitter::computed_in(const std::string& type, DType dtype) const {
  for (const Takes& takes : types_of_operators) {
    if (type != takes.op) continue;
    std::vector<std::string> names = split(takes.dtypes, ' ');
    auto allowed = [&](DType one) {
      if (one == DType::bf16 && opset_ < takes.bf16_since) return false;
      return std::find(names.begin(), names.end(), name(one)) != names.end();
    };
    if (allowed(dtype)) return dtype;
    for (DType other : wider(dtype))
      if (allowed(other)) return other;
  }
  return dtype;
}

}  // namespace wafer::onnx::exporter
