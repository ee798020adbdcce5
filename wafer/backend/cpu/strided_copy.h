#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "wafer/ir/type.h"

namespace wafer::cpu {

// A copy of a block of elements between two strided arrays, in parallel: transposes, slices,
// broadcasts (a stride of 0 in `from`), flips (negative strides), changes of layout. The plan is
// made once.
class StridedCopy {
 public:
  StridedCopy() = default;
  // Strides in elements of 1, 2, 4 or 8 bytes; the arrays do not overlap, and those of `to` reach
  // each element once.
  StridedCopy(size_t element_bytes, const std::vector<int64_t>& sizes,
              const std::vector<int64_t>& to_strides, const std::vector<int64_t>& from_strides);

  // Pointers to the first element of the block in each.
  void run(void* to, const void* from) const;

 private:
  struct Dim {
    int64_t size, to, from;
  };
  enum class Kind { empty, rows, fill, transpose, elements };

  template <class T>
  void run_typed(T* to, const T* from) const;
  template <class T>
  void copy_lines(T* to, const T* from, int64_t begin, int64_t end) const;
  template <class T>
  void copy_tiles(T* to, const T* from, int64_t begin, int64_t end) const;

  Kind kind_ = Kind::empty;
  size_t element_bytes_ = 1;
  int64_t outer_count_ = 1;
  std::vector<Dim> outer_;  // slowest first
  Dim across_{1, 0, 0};     // transpose only: the dimension that is dense in `from`
  Dim inner_{1, 1, 1};      // the dimension that is dense (or densest) in `to`
};

// Copies a whole value from one type's layout to another's: equal dtypes and shapes.
StridedCopy layout_copy(const Type& to, const Type& from);

}  // namespace wafer::cpu
