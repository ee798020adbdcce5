# Called by kernel_tables.cmake: writes `find_kernel` into OUTPUT, by the WAFER_KERNEL lines of
# SOURCES. The file changes only when its content does, so that editing a kernel's body rebuilds
# that kernel alone.
set(ops "")
foreach(source ${SOURCES})
  file(STRINGS "${source}" lines REGEX "^WAFER_KERNEL\\(")
  foreach(line ${lines})
    string(REGEX MATCH "^WAFER_KERNEL\\(([a-z0-9_]+)" unused "${line}")
    list(APPEND ops "${CMAKE_MATCH_1}")
  endforeach()
endforeach()
list(SORT ops)
set(kernels "")
set(entries "")
foreach(op ${ops})
  string(APPEND kernels "Step kernel_${op}(const Node&, KernelContext&);\n")
  string(APPEND entries "      {&op::${op}, kernel_${op}},\n")
endforeach()
set(text "${kernels}
MakeKernel find_kernel(const OpDef& op) {
  static const std::unordered_map<const OpDef*, MakeKernel> table = {
${entries}  };
  auto found = table.find(&op);
  return found == table.end() ? nullptr : found->second;
}
")
file(CONFIGURE OUTPUT "${OUTPUT}" CONTENT "${text}" @ONLY)
