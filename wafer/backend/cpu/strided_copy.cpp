#include "wafer/backend/cpu/strided_copy.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "wafer/backend/cpu/grain.h"
#include "wafer/backend/cpu/simd/transpose.h"
#include "wafer/base/threads.h"

namespace wafer::cpu {

namespace {
constexpr int64_t tile = 64;  // side of the blocks that a transpose moves
constexpr size_t max_outer = 8;
}  // namespace

StridedCopy::StridedCopy(size_t element_bytes, const std::vector<int64_t>& sizes,
                         const std::vector<int64_t>& to_strides,
                         const std::vector<int64_t>& from_strides)
    : element_bytes_(element_bytes) {
  std::vector<Dim> dims;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 0) return;
    if (sizes[i] > 1) dims.push_back({sizes[i], to_strides[i], from_strides[i]});
  }
  std::stable_sort(dims.begin(), dims.end(),
                   [](const Dim& a, const Dim& b) { return a.to > b.to; });
  // Neighbours that are one dimension in both arrays become one.
  std::vector<Dim> merged;
  for (const Dim& dim : dims) {
    if (!merged.empty() && merged.back().to == dim.to * dim.size &&
        merged.back().from == dim.from * dim.size) {
      merged.back() = {merged.back().size * dim.size, dim.to, dim.from};
    } else {
      merged.push_back(dim);
    }
  }
  if (merged.empty()) merged.push_back({1, 1, 1});
  inner_ = merged.back();
  merged.pop_back();
  kind_ = Kind::elements;
  if (inner_.to == 1 && inner_.from == 1) kind_ = Kind::rows;
  if (inner_.to == 1 && inner_.from == 0) kind_ = Kind::fill;
  if (kind_ == Kind::elements) {
    // Tiles pay where some other dimension is dense in `from`.
    auto dense =
        std::find_if(merged.begin(), merged.end(), [](const Dim& d) { return d.from == 1; });
    if (dense != merged.end()) {
      kind_ = Kind::transpose;
      across_ = *dense;
      merged.erase(dense);
    }
  }
  outer_ = std::move(merged);
  for (const Dim& dim : outer_) outer_count_ *= dim.size;
}

// Elements [begin, end) of the block in the order of `to`, by lines of the inner dimension.
template <class T>
void StridedCopy::copy_lines(T* to, const T* from, int64_t begin, int64_t end) const {
  int64_t line = begin / inner_.size, skip = begin % inner_.size;
  int64_t at[max_outer] = {};
  int64_t rest = line;
  for (size_t d = outer_.size(); d-- > 0;) {
    at[d] = rest % outer_[d].size;
    rest /= outer_[d].size;
    to += at[d] * outer_[d].to;
    from += at[d] * outer_[d].from;
  }
  for (int64_t done = begin; done < end;) {
    int64_t count = std::min(inner_.size - skip, end - done);
    T* t = to + skip * inner_.to;
    const T* f = from + skip * inner_.from;
    if (kind_ == Kind::rows) {
      if (count * static_cast<int64_t>(sizeof(T)) >= 64) {
        std::memcpy(t, f, static_cast<size_t>(count) * sizeof(T));
      } else {
        for (int64_t i = 0; i < count; ++i) t[i] = f[i];
      }
    } else if (kind_ == Kind::fill) {
      std::fill_n(t, count, *f);
    } else {
      for (int64_t i = 0; i < count; ++i) t[i * inner_.to] = f[i * inner_.from];
    }
    done += count;
    skip = 0;
    for (size_t d = outer_.size(); d-- > 0;) {
      to += outer_[d].to;
      from += outer_[d].from;
      if (++at[d] < outer_[d].size) break;
      to -= outer_[d].to * outer_[d].size;
      from -= outer_[d].from * outer_[d].size;
      at[d] = 0;
    }
  }
}

// to[j][i] = from[i][j] with the given strides of the first index.
template <class T>
void transpose_tile(const T* from, int64_t from_stride, int64_t rows, int64_t columns, T* to,
                    int64_t to_stride) {
  if constexpr (sizeof(T) == 4) {
    transpose_words_kernel()(from, from_stride, rows, columns, to, to_stride);
  } else if constexpr (sizeof(T) == 2) {
    transpose_halves_kernel()(from, from_stride, rows, columns, to, to_stride);
  } else {
    for (int64_t j = 0; j < columns; ++j) {
      for (int64_t i = 0; i < rows; ++i) to[j * to_stride + i] = from[i * from_stride + j];
    }
  }
}

// Tiles [begin, end) of the planes that `across_` and `inner_` span.
template <class T>
void StridedCopy::copy_tiles(T* to, const T* from, int64_t begin, int64_t end) const {
  int64_t down = (across_.size + tile - 1) / tile, wide = (inner_.size + tile - 1) / tile;
  for (int64_t index = begin; index < end; ++index) {
    int64_t rest = index / (down * wide);
    int64_t a0 = index / wide % down * tile, i0 = index % wide * tile;
    T* t = to + a0 * across_.to + i0 * inner_.to;
    const T* f = from + a0 * across_.from + i0 * inner_.from;
    for (size_t d = outer_.size(); d-- > 0;) {
      int64_t at = rest % outer_[d].size;
      rest /= outer_[d].size;
      t += at * outer_[d].to;
      f += at * outer_[d].from;
    }
    int64_t rows = std::min(tile, across_.size - a0), columns = std::min(tile, inner_.size - i0);
    if (inner_.to == 1 && columns < 4) {
      for (int64_t i = 0; i < columns; ++i) {
        for (int64_t a = 0; a < rows; ++a) t[a * across_.to + i] = f[a + i * inner_.from];
      }
    } else if (inner_.to == 1) {
      transpose_tile(f, inner_.from, columns, rows, t, across_.to);
    } else {
      for (int64_t a = 0; a < rows; ++a) {
        for (int64_t i = 0; i < columns; ++i) {
          t[a * across_.to + i * inner_.to] = f[a + i * inner_.from];
        }
      }
    }
  }
}

template <class T>
void StridedCopy::run_typed(T* to, const T* from) const {
  if (kind_ == Kind::transpose) {
    int64_t tiles =
        outer_count_ * ((across_.size + tile - 1) / tile) * ((inner_.size + tile - 1) / tile);
    int64_t elements = outer_count_ * across_.size * inner_.size;
    int64_t grain = std::max<int64_t>(1, tiles * grain_elements / std::max<int64_t>(elements, 1));
    parallel_for(tiles, grain,
                 [&](int64_t begin, int64_t end) { copy_tiles(to, from, begin, end); });
    return;
  }
  parallel_for(outer_count_ * inner_.size, grain_elements,
               [&](int64_t begin, int64_t end) { copy_lines(to, from, begin, end); });
}

void StridedCopy::run(void* to, const void* from) const {
  if (kind_ == Kind::empty) return;
  auto typed = [&]<class T>(T*) { run_typed(static_cast<T*>(to), static_cast<const T*>(from)); };
  switch (element_bytes_) {
    case 1: return typed(static_cast<uint8_t*>(nullptr));
    case 2: return typed(static_cast<uint16_t*>(nullptr));
    case 4: return typed(static_cast<uint32_t*>(nullptr));
    default: return typed(static_cast<uint64_t*>(nullptr));
  }
}

StridedCopy layout_copy(const Type& to, const Type& from) {
  return {byte_size(to.dtype, 1), to.shape.sizes(), to.strides(), from.strides()};
}

}  // namespace wafer::cpu
