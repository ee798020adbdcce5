#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <sstream>
#include <thread>

#include "tests/kernel_languages/source_queue.h"
#include "tests/op/run.h"
#include "wafer/backend/cuda/api.h"
#include "wafer/kernel/device/target.h"

// Every kernel that the cases of tests/op make, compiled by NVRTC, which needs no GPU.
namespace wafer {
namespace {

using testing::SourceQueue;

// Kernels of programs under names of their own, many to a source: most differ in sizes alone.
std::vector<std::string> gathered(const std::set<std::string>& programs) {
  const std::string mark = "WF_KERNEL wf_";
  std::set<std::string> kernels;
  for (const std::string& source : programs) {
    for (size_t at = source.find(mark); at != std::string::npos;) {
      size_t next = source.find(mark, at + 1);
      size_t open = source.find('(', at);
      kernels.insert(source.substr(open, next == std::string::npos ? next : next - open));
      at = next;
    }
  }
  std::vector<std::string> sources;
  size_t number = 0;
  for (const std::string& kernel : kernels) {
    if (number % 100 == 0) sources.push_back(kernel::print_prelude(kernel::cuda_c, true));
    sources.back() += str("WF_KERNEL wf_", number++, kernel);
  }
  return sources;
}

// Libraries many to a source, each in a namespace of its own: a run of the compiler takes as long
// as what one library gives it to do.
std::vector<std::string> together(const std::vector<std::string>& libraries) {
  std::string prelude = kernel::print_prelude(kernel::cuda_c, true);
  std::string shorter = kernel::print_prelude(kernel::cuda_c, false);
  std::vector<std::string> sources;
  size_t number = 0;
  for (const std::string& library : libraries) {
    const std::string& first = library.starts_with(prelude) ? prelude : shorter;
    EXPECT_TRUE(library.starts_with(first)) << library;
    if (number % 16 == 0) {
      sources.push_back(prelude + "#undef WF_KERNEL\n#define WF_KERNEL __global__ void\n");
    }
    std::string text = library.substr(first.size());
    sources.back() += str("namespace library_", number++, " {\n", text, "\n}\n");
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      const std::string define = "#define ";
      if (!line.starts_with(define)) continue;
      size_t end = line.find_first_of(" (", define.size());
      sources.back() += str("#undef ", line.substr(define.size(), end - define.size()), "\n");
    }
  }
  return sources;
}

const std::vector<std::string>& sources_of_all_cases() {
  static const auto sources = [] {
    SourceQueue queue;
    kernel::QueueTarget target("cuda:0", queue);
    for (const auto& each : op_tests::all_cases()) {
      for (DType dtype : each.dtypes) {
        SCOPED_TRACE(str(each.op, " '", each.name, "' of ", dtype));
        try {
          target.compile(op_tests::graph_of(each.build, op_tests::random_inputs(each, dtype, 1)),
                         {});
        } catch (const std::exception& error) {
          ADD_FAILURE() << error.what();
        }
      }
    }
    std::vector<std::string> result = gathered(queue.programs);
    std::vector<std::string> libraries = together({queue.libraries.begin(), queue.libraries.end()});
    result.insert(result.end(), libraries.begin(), libraries.end());
    return result;
  }();
  return sources;
}

// The compiler's complaint; empty where it makes machine code. Without ptxas's optimiser, which
// takes longest: what cuda::compile_source asks for is otherwise the same.
std::string complaint_of(const cuda::Compiler& compiler, const std::string& source,
                         const std::string& architecture) {
  nvrtcProgram program = nullptr;
  if (compiler.create(&program, source.c_str(), "wafer.cu", 0, nullptr, nullptr) != NVRTC_SUCCESS)
    return "no program";
  std::string target = "--gpu-architecture=" + architecture;
  const char* options[] = {target.c_str(), "--fmad=false", "--std=c++17", "--ptxas-options=-O0"};
  nvrtcResult result = compiler.compile(program, 4, options);
  size_t size = 0;
  compiler.log_size(program, &size);
  std::string log(size, '\0');
  compiler.log(program, log.data());
  while (!log.empty() && (log.back() == '\0' || log.back() == '\n')) log.pop_back();
  if (result == NVRTC_SUCCESS &&
      (compiler.cubin_size(program, &size) != NVRTC_SUCCESS || size == 0))
    log += "no machine code";
  if (result != NVRTC_SUCCESS && log.empty()) log = compiler.error_text(result);
  compiler.destroy(&program);
  return log;
}

class Nvrtc : public ::testing::TestWithParam<const char*> {};

TEST_P(Nvrtc, CompilesEveryKernelOfTheOpCases) {
  std::string reason;
  const cuda::Compiler* compiler = cuda::load_compiler(reason);
  if (!compiler) GTEST_SKIP() << reason;
  const std::vector<std::string>& sources = sources_of_all_cases();
  ASSERT_GT(sources.size(), 50u);
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  auto work = [&] {
    for (size_t i = next++; i < sources.size(); i = next++) {
      std::string complaint = complaint_of(*compiler, sources[i], GetParam());
      if (complaint.empty()) continue;
      std::lock_guard lock(mutex);
      ADD_FAILURE() << complaint << "\n" << sources[i];
    }
  };
  std::thread other(work);
  work();
  other.join();
}

TEST(NvrtcSource, IsCompiledAsTheDeviceDoesOrSaysWhyNot) {
  std::string reason;
  const cuda::Compiler* compiler = cuda::load_compiler(reason);
  if (!compiler) GTEST_SKIP() << reason;
  std::string prelude = kernel::print_prelude(kernel::cuda_c, true);
  std::string good = prelude + "WF_KERNEL it(float* x) { WF_LOOP(i, 9) x[i] = 1; }";
  EXPECT_EQ(cuda::compile_source(*compiler, good, {"sm_90", true}).substr(1, 3), "ELF");
  EXPECT_NE(cuda::compile_source(*compiler, good, {"compute_90", false}).find(".target sm_90"),
            std::string::npos);
  try {
    cuda::compile_source(*compiler, prelude + "WF_KERNEL it(float* x) { x = y; }", {"sm_90", true});
    ADD_FAILURE() << "compiled";
  } catch (const InternalError& error) {
    EXPECT_NE(std::string(error.what()).find("identifier \"y\" is undefined"), std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(Architectures, Nvrtc, ::testing::Values("sm_80", "sm_90"),
                         [](const auto& info) { return std::string(info.param); });

TEST(NvrtcArchitecture, IsTheBestThatTheCompilerKnows) {
  cuda::Compiler compiler{};
  compiler.architecture_count = [](int* count) { return *count = 3, NVRTC_SUCCESS; };
  compiler.architectures = [](int* list) {
    return list[0] = 75, list[1] = 80, list[2] = 90, NVRTC_SUCCESS;
  };
  EXPECT_EQ(cuda::choose_architecture(compiler, 90).option, "sm_90");
  EXPECT_EQ(cuda::choose_architecture(compiler, 86).option, "sm_80");
  EXPECT_EQ(cuda::choose_architecture(compiler, 120).option, "compute_90");
  EXPECT_FALSE(cuda::choose_architecture(compiler, 120).is_machine_code);
  EXPECT_EQ(cuda::choose_architecture(compiler, 70).option, "");
}

}  // namespace
}  // namespace wafer
