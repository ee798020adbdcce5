#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/io/helpers.h"
#include "tests/kernel_languages/cases.h"

// The host's own C++ as a kernel language: all that a further language takes is this one Dialect.
namespace wafer::testing {

const kernel::Dialect host_c = {.name = "C++ on the host",
                                .prelude = R"(
#include <cmath>
#include <cstring>
using namespace std;
#define WF_I64 long
#define WF_U64 unsigned long
#define WF_KERNEL extern "C" void
#define WF_FUNCTION [[maybe_unused]] static inline
#define WF_GLOBAL
#define WF_INDEX long
#define WF_LOOP(i, n) for (long i = 0; i < (n); ++i)
static inline float wf_f32(unsigned int bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline unsigned int wf_bits(float x) {
  unsigned int bits;
  memcpy(&bits, &x, 4);
  return bits;
}
static inline double wf_f64(unsigned long bits) { double x; memcpy(&x, &bits, 8); return x; }
static inline float wf_from_f16(unsigned short bits) { _Float16 x; memcpy(&x, &bits, 2); return x; }
static inline unsigned short wf_to_f16(float value) {
  _Float16 x = (_Float16)value;
  unsigned short bits;
  memcpy(&bits, &x, 2);
  return bits;
}
#define WF_F32(bits) wf_f32(bits)
#define WF_FROM_BITS(bits) wf_f32(bits)
#define WF_TO_BITS(x) wf_bits(x)
#define WF_INFINITY __builtin_inff()
#define WF_I64_MIN (-__LONG_MAX__ - 1)
#define WF_I64_MAX __LONG_MAX__
#define WF_U64_MAX (~0ul)
#define WF_BUFFER(n) unsigned char* n##_at
#define WF_POINTER(T, n) T* n = (T*)n##_at
template <class T, int n>
struct WfVector {
  T lanes[n];
  static WfVector of(T x) {
    WfVector v;
    for (T& lane : v.lanes) lane = x;
    return v;
  }
};
template <class V>
static inline V wf_fma(const V& a, const V& b, V c) {
  for (unsigned i = 0; i < sizeof c.lanes / sizeof c.lanes[0]; ++i)
    c.lanes[i] = fma(a.lanes[i], b.lanes[i], c.lanes[i]);
  return c;
}
#define WF_VECTOR(T, n) WfVector<T, n>
#define WF_VECTOR_OF(T, n, x) WfVector<T, n>::of(x)
#define WF_VECTOR_LOAD(T, n, p) (*(const WfVector<T, n>*)(p))
#define WF_VECTOR_STORE(n, v, p) memcpy(p, (v).lanes, sizeof (v).lanes)
#define WF_VECTOR_FMA(a, b, c) wf_fma(a, b, c)
#define WF_LOAD_F16(pointer, i) wf_from_f16((pointer)[i])
#define WF_STORE_F16(pointer, i, x) ((pointer)[i] = wf_to_f16(x))
)",
                                .f64_prelude = "#define WF_F64(bits) wf_f64(bits)\n"};

std::vector<std::vector<Bytes>> run_host_c(const std::vector<Case>& cases) {
  TemporaryFolder folder;
  auto kernels = print_all(cases);
  std::ofstream(folder.path() / "kernels.cpp") << whole_source(kernels, host_c);
  std::string library = (folder.path() / "kernels.so").string();
  std::string command = str(WAFER_CXX, " -std=c++20 -O1 -ffp-contract=off -shared -fPIC -o ",
                            library, " ", (folder.path() / "kernels.cpp").string());
  if (std::system(command.c_str()) != 0) throw InternalError("the printed C++ does not compile");
  void* handle = ::dlopen(library.c_str(), RTLD_NOW);
  if (!handle) throw InternalError(::dlerror());
  std::vector<std::vector<Bytes>> results;
  for (size_t k = 0; k < cases.size(); ++k) {
    std::vector<Bytes> outputs;
    for (const Type& type : cases[k].output_types) outputs.emplace_back(type.bytes() + 1);
    std::vector<void*> arguments;
    for (int i : kernels[k].inputs)
      arguments.push_back(const_cast<std::byte*>(cases[k].inputs[static_cast<size_t>(i)].data()));
    for (int o : kernels[k].outputs) arguments.push_back(outputs[static_cast<size_t>(o)].data());
    arguments.resize(8);
    using Function = void (*)(void*, void*, void*, void*, void*, void*, void*, void*);
    auto function = reinterpret_cast<Function>(::dlsym(handle, kernels[k].name.c_str()));
    if (!function) throw InternalError(::dlerror());
    function(arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5],
             arguments[6], arguments[7]);
    results.push_back(std::move(outputs));
  }
  ::dlclose(handle);
  return results;
}

}  // namespace wafer::testing
