# The files of backend/cpu/simd are compiled once per instruction set, each time into a namespace of
# its own (WAFER_ISA); the dispatcher picks one by the CPU's feature bits at run time.
file(GLOB simd_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/wafer/backend/cpu/simd/*.cpp")
set(isa_list "portable")
set(isa_flags_portable "")
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND isa_list avx2 avx512)
  # prefetchw does nothing where a CPU does not know it.
  set(isa_flags_avx2 -mavx2 -mfma -mf16c -mprfchw)
  set(isa_flags_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mf16c -mprfchw
    -mprefer-vector-width=512)
  target_compile_definitions(wafer PRIVATE WAFER_X86)
endif()
if(simd_sources)
  foreach(isa ${isa_list})
    add_library(wafer_simd_${isa} OBJECT ${simd_sources})
    target_include_directories(wafer_simd_${isa} PRIVATE "${CMAKE_SOURCE_DIR}")
    target_compile_definitions(wafer_simd_${isa} PRIVATE WAFER_ISA=${isa})
    target_compile_options(wafer_simd_${isa} PRIVATE -O3 -fno-math-errno -fno-trapping-math
      ${isa_flags_${isa}})
    target_link_libraries(wafer_simd_${isa} PRIVATE wafer_warnings)
    if(WAFER_OPENMP)
      target_compile_definitions(wafer_simd_${isa} PRIVATE WAFER_OPENMP)
    endif()
    target_sources(wafer PRIVATE $<TARGET_OBJECTS:wafer_simd_${isa}>)
  endforeach()
endif()
