#include "wafer/backend/cpu/simd/pool.h"

#include "wafer/backend/cpu/simd/vector.h"

namespace wafer::cpu::WAFER_ISA {

namespace {
// `count` elements from a register to memory or back, for the channels that fill no whole register.
template <class V, class T>
[[gnu::always_inline]] inline V load_part(const T* from, int64_t count) {
  T buffer[lanes] = {};
  for (int64_t i = 0; i < count; ++i) buffer[i] = from[i];
  return load<V>(buffer);
}
template <class V, class T>
[[gnu::always_inline]] inline void store_part(T* to, V value, int64_t count) {
  T buffer[lanes];
  store(buffer, value);
  for (int64_t i = 0; i < count; ++i) to[i] = buffer[i];
}

struct F32 {
  using T = float;
  static VFloat read(const T* from) { return load<VFloat>(from); }
  static VFloat read(const T* from, int64_t count) { return load_part<VFloat>(from, count); }
  static void write(T* to, VFloat value) { store(to, value); }
  static void write(T* to, VFloat value, int64_t count) { store_part(to, value, count); }
};
struct BF16 {
  using T = uint16_t;
  static VFloat read(const T* from) { return from_bfloat16(load<VHalf>(from)); }
  static VFloat read(const T* from, int64_t count) {
    return from_bfloat16(load_part<VHalf>(from, count));
  }
  static void write(T* to, VFloat value) { store(to, to_bfloat16(value)); }
  static void write(T* to, VFloat value, int64_t count) {
    store_part(to, to_bfloat16(value), count);
  }
};

// Runs body(channel, reader, writer of VFloat, reader and writer of bytes) over registers of
// channels from the first; the last, partial one goes through a buffer.
template <class E, class Body>
[[gnu::always_inline]] inline void over_channels(int64_t channels, Body body, int64_t first = 0) {
  int64_t c = first;
  for (; c + lanes <= channels; c += lanes) {
    body(
        c, [](const typename E::T* from) { return E::read(from); },
        [](typename E::T* to, VFloat value) { E::write(to, value); },
        [](const uint8_t* from) { return __builtin_convertvector(load<VByte>(from), VInt); },
        [](uint8_t* to, VInt value) { store(to, __builtin_convertvector(value, VByte)); });
  }
  int64_t rest = channels - c;
  if (rest == 0) return;
  body(
      c, [rest](const typename E::T* from) { return E::read(from, rest); },
      [rest](typename E::T* to, VFloat value) { E::write(to, value, rest); },
      [rest](const uint8_t* from) {
        return __builtin_convertvector(load_part<VByte>(from, rest), VInt);
      },
      [rest](uint8_t* to, VInt value) {
        store_part(to, __builtin_convertvector(value, VByte), rest);
      });
}

// The greater one, with its place; NaN counts as greatest, and of equals the first wins.
[[gnu::always_inline]] inline void take_greater(VFloat& best, VInt& place, VFloat value,
                                                int32_t k) {
  VInt wins = (value > best) | ((value != value) & (best == best));
  best = wins ? value : best;
  place = wins ? splat(k) : place;
}

struct Row {
  int64_t batch, first, second;  // positions on the batch and the first two axes
};
Row row_of(int64_t row, int64_t size0, int64_t size1) {
  return {row / (size0 * size1), row / size1 % size0, row % size1};
}

constexpr float lowest = -__builtin_inff();

// Two by two windows side by side over the last two axes, none in padding.
bool is_two_by_two(const PoolGeometry& g) {
  const PoolAxis &a = g.axis[0], &b = g.axis[1], &w = g.axis[2];
  return a.kernel == 1 && a.stride == 1 && a.low == 0 && a.in == a.out && b.kernel == 2 &&
         b.stride == 2 && b.low == 0 && b.dilation == 1 && 2 * b.out <= b.in && w.kernel == 2 &&
         w.stride == 2 && w.low == 0 && w.dilation == 1 && 2 * w.out <= w.in;
}

// Whole registers of bfloat16, for pools that only pick elements and so need no f32.
constexpr int words = register_bytes / 2;
using VWords = uint16_t __attribute__((vector_size(register_bytes)));
using VShorts = int16_t __attribute__((vector_size(register_bytes)));
using VPlaces = uint8_t __attribute__((vector_size(words)));

// Whole numbers in the order of the numbers that the bits stand for: both zeros are 0, and every
// NaN is the greatest.
[[gnu::always_inline]] inline VShorts ordered(VWords bits) {
  VShorts magnitude = reinterpret_cast<VShorts>(bits & uint16_t{0x7fff});
  VShorts number = reinterpret_cast<VShorts>(bits) < int16_t{0} ? -magnitude : magnitude;
  return magnitude > int16_t{0x7f80} ? VShorts{} + int16_t{0x7fff} : number;
}

// The greatest of four elements `step` and `line` apart, and its place; returns the channels done.
[[gnu::always_inline]] inline int64_t greatest_words(const uint16_t* window, int64_t line,
                                                     int64_t channels, uint16_t* to,
                                                     uint8_t* places) {
  int64_t c = 0;
  for (; c + words <= channels; c += words) {
    VWords best = load<VWords>(window + c);
    VShorts rank = ordered(best), place{};
    const uint16_t* others[] = {window + channels, window + line, window + line + channels};
#pragma GCC unroll 3
    for (int16_t k = 0; k < 3; ++k) {
      VWords value = load<VWords>(others[k] + c);
      VShorts its_rank = ordered(value);
      VShorts wins = its_rank > rank;
      best = wins ? value : best;
      rank = wins ? its_rank : rank;
      place = wins ? VShorts{} + static_cast<int16_t>(k + 1) : place;
    }
    store(to + c, best);
    if (places != nullptr) store(places + c, __builtin_convertvector(place, VPlaces));
  }
  return c;
}

// One window's gradient to the two positions whose places are `left` and the one after it.
[[gnu::always_inline]] inline int64_t spread_words(const uint16_t* gradient, const uint8_t* places,
                                                   int16_t left, int64_t channels, uint16_t* to) {
  int64_t c = 0;
  for (; c + words <= channels; c += words) {
    VShorts place = __builtin_convertvector(load<VPlaces>(places + c), VShorts);
    VWords value = load<VWords>(gradient + c);
    store(to + c, reinterpret_cast<VWords>(place == left) & value);
    store(to + channels + c,
          reinterpret_cast<VWords>(place == static_cast<int16_t>(left + 1)) & value);
  }
  return c;
}

// For is_two_by_two.
template <class E>
void max_pool_2x2(const PoolGeometry& g, const typename E::T* x, typename E::T* y, uint8_t* index,
                  int64_t begin, int64_t end) {
  const PoolAxis &h = g.axis[1], &w = g.axis[2];
  int64_t channels = g.channels, line = w.in * channels;
  for (int64_t row = begin; row < end; ++row) {
    int64_t plane = row / h.out, oh = row % h.out;
    const auto* source = x + (plane * h.in + 2 * oh) * line;
    for (int64_t ow = 0; ow < w.out; ++ow) {
      const auto* window = source + 2 * ow * channels;
      auto* to = y + (row * w.out + ow) * channels;
      auto* places = index == nullptr ? nullptr : index + (row * w.out + ow) * channels;
      int64_t done = 0;
      if constexpr (sizeof(typename E::T) == 2) {
        done = greatest_words(window, line, channels, to, places);
      }
      over_channels<E>(
          channels,
          [=](int64_t c, auto read, auto write, auto, auto write_place) {
            VFloat best = read(window + c);
            VInt place{};
            take_greater(best, place, read(window + channels + c), 1);
            take_greater(best, place, read(window + line + c), 2);
            take_greater(best, place, read(window + line + channels + c), 3);
            write(to + c, best);
            if (places != nullptr) write_place(places + c, place);
          },
          done);
    }
  }
}

template <class E>
void max_pool(const PoolGeometry& g, const typename E::T* x, typename E::T* y, uint8_t* index,
              int64_t begin, int64_t end) {
  const PoolAxis &a = g.axis[0], &b = g.axis[1], &w = g.axis[2];
  int64_t channels = g.channels;
  if (is_two_by_two(g)) return max_pool_2x2<E>(g, x, y, index, begin, end);
  for (int64_t row = begin; row < end; ++row) {
    Row at = row_of(row, a.out, b.out);
    for (int64_t ow = 0; ow < w.out; ++ow) {
      auto* to = y + (row * w.out + ow) * channels;
      auto* places = index == nullptr ? nullptr : index + (row * w.out + ow) * channels;
      over_channels<E>(channels, [&](int64_t c, auto read, auto write, auto, auto write_place) {
        VFloat best = splat(lowest);
        VInt place{};
        bool started = false;
        for (int32_t ka = a.k_begin[at.first]; ka < a.k_end[at.first]; ++ka) {
          int64_t ia = at.first * a.stride - a.low + ka * a.dilation;
          for (int32_t kb = b.k_begin[at.second]; kb < b.k_end[at.second]; ++kb) {
            int64_t ib = at.second * b.stride - b.low + kb * b.dilation;
            const auto* line = x + ((at.batch * a.in + ia) * b.in + ib) * w.in * channels + c;
            for (int32_t kw = w.k_begin[ow]; kw < w.k_end[ow]; ++kw) {
              int64_t iw = ow * w.stride - w.low + kw * w.dilation;
              auto k = static_cast<int32_t>((ka * b.kernel + kb) * w.kernel + kw);
              VFloat value = read(line + iw * channels);
              if (started) {
                take_greater(best, place, value, k);
              } else {
                best = value;
                place = splat(k);
                started = true;
              }
            }
          }
        }
        write(to + c, best);
        if (places != nullptr) write_place(places + c, place);
      });
    }
  }
}

// For is_two_by_two: an input row lies in one row of windows, or behind the last.
template <class E>
void max_pool_gradient_2x2(const PoolGeometry& g, const typename E::T* gradient,
                           const uint8_t* index, typename E::T* dx, int64_t begin, int64_t end) {
  const PoolAxis &h = g.axis[1], &w = g.axis[2];
  int64_t channels = g.channels;
  for (int64_t row = begin; row < end; ++row) {
    int64_t plane = row / h.in, ih = row % h.in;
    auto* to = dx + row * w.in * channels;
    int64_t done = 0;
    if (ih / 2 < h.out) {
      int64_t from = (plane * h.out + ih / 2) * w.out * channels;
      auto left = static_cast<int32_t>(ih % 2 * 2);
      for (int64_t ow = 0; ow < w.out; ++ow) {
        const auto* source = gradient + from + ow * channels;
        const auto* places = index + from + ow * channels;
        auto* pair = to + 2 * ow * channels;
        int64_t spread = 0;
        if constexpr (sizeof(typename E::T) == 2) {
          spread = spread_words(source, places, static_cast<int16_t>(left), channels, pair);
        }
        over_channels<E>(
            channels,
            [=](int64_t c, auto read, auto write, auto read_place, auto) {
              VInt place = read_place(places + c);
              VFloat value = read(source + c);
              write(pair + c, place == splat(left) ? value : VFloat{});
              write(pair + channels + c, place == splat(left + 1) ? value : VFloat{});
            },
            spread);
      }
      done = 2 * w.out * channels;
    }
    for (int64_t i = done; i < w.in * channels; ++i) to[i] = 0;
  }
}

template <class E>
void max_pool_gradient(const PoolGeometry& g, const typename E::T* gradient, const uint8_t* index,
                       typename E::T* dx, int64_t begin, int64_t end) {
  if (is_two_by_two(g)) return max_pool_gradient_2x2<E>(g, gradient, index, dx, begin, end);
  const PoolAxis &a = g.axis[0], &b = g.axis[1], &w = g.axis[2];
  int64_t channels = g.channels;
  for (int64_t row = begin; row < end; ++row) {
    Row at = row_of(row, a.in, b.in);
    for (int64_t iw = 0; iw < w.in; ++iw) {
      auto* to = dx + (row * w.in + iw) * channels;
      over_channels<E>(channels, [&](int64_t c, auto read, auto write, auto read_place, auto) {
        VFloat sum{};
        for (int32_t ea = a.cover[at.first]; ea < a.cover[at.first + 1]; ++ea) {
          for (int32_t eb = b.cover[at.second]; eb < b.cover[at.second + 1]; ++eb) {
            int64_t line = ((at.batch * a.out + a.cover_out[ea]) * b.out + b.cover_out[eb]) * w.out;
            for (int32_t ew = w.cover[iw]; ew < w.cover[iw + 1]; ++ew) {
              auto k = static_cast<int32_t>((a.cover_k[ea] * b.kernel + b.cover_k[eb]) * w.kernel +
                                            w.cover_k[ew]);
              int64_t place = (line + w.cover_out[ew]) * channels + c;
              sum += read_place(index + place) == splat(k) ? read(gradient + place) : VFloat{};
            }
          }
        }
        write(to + c, sum);
      });
    }
  }
}

template <class E>
void avg_pool(const PoolGeometry& g, const typename E::T* x, typename E::T* y, int64_t begin,
              int64_t end) {
  const PoolAxis &a = g.axis[0], &b = g.axis[1], &w = g.axis[2];
  int64_t channels = g.channels;
  for (int64_t row = begin; row < end; ++row) {
    Row at = row_of(row, a.out, b.out);
    for (int64_t ow = 0; ow < w.out; ++ow) {
      auto* to = y + (row * w.out + ow) * channels;
      int64_t inside = int64_t{a.k_end[at.first] - a.k_begin[at.first]} *
                       (b.k_end[at.second] - b.k_begin[at.second]) * (w.k_end[ow] - w.k_begin[ow]);
      int64_t divisor = g.count_padding ? a.kernel * b.kernel * w.kernel : inside;
      over_channels<E>(channels, [&](int64_t c, auto read, auto write, auto, auto) {
        VFloat sum{};
        for (int32_t ka = a.k_begin[at.first]; ka < a.k_end[at.first]; ++ka) {
          int64_t ia = at.first * a.stride - a.low + ka * a.dilation;
          for (int32_t kb = b.k_begin[at.second]; kb < b.k_end[at.second]; ++kb) {
            int64_t ib = at.second * b.stride - b.low + kb * b.dilation;
            const auto* line = x + ((at.batch * a.in + ia) * b.in + ib) * w.in * channels + c;
            for (int32_t kw = w.k_begin[ow]; kw < w.k_end[ow]; ++kw) {
              sum += read(line + (ow * w.stride - w.low + kw * w.dilation) * channels);
            }
          }
        }
        write(to + c, sum / splat(static_cast<float>(divisor > 0 ? divisor : 1)));
      });
    }
  }
}

template <class E>
void avg_pool_gradient(const PoolGeometry& g, const typename E::T* gradient, typename E::T* dx,
                       int64_t begin, int64_t end) {
  const PoolAxis &a = g.axis[0], &b = g.axis[1], &w = g.axis[2];
  int64_t channels = g.channels;
  float whole = static_cast<float>(a.kernel * b.kernel * w.kernel);
  auto inside = [](const PoolAxis& axis, int32_t o) { return axis.k_end[o] - axis.k_begin[o]; };
  for (int64_t row = begin; row < end; ++row) {
    Row at = row_of(row, a.in, b.in);
    for (int64_t iw = 0; iw < w.in; ++iw) {
      auto* to = dx + (row * w.in + iw) * channels;
      over_channels<E>(channels, [&](int64_t c, auto read, auto write, auto, auto) {
        VFloat sum{};
        for (int32_t ea = a.cover[at.first]; ea < a.cover[at.first + 1]; ++ea) {
          int32_t oa = a.cover_out[ea];
          for (int32_t eb = b.cover[at.second]; eb < b.cover[at.second + 1]; ++eb) {
            int32_t ob = b.cover_out[eb];
            int64_t line = ((at.batch * a.out + oa) * b.out + ob) * w.out;
            for (int32_t ew = w.cover[iw]; ew < w.cover[iw + 1]; ++ew) {
              int32_t ow = w.cover_out[ew];
              float divisor = whole;
              if (!g.count_padding) {
                divisor =
                    static_cast<float>(int64_t{inside(a, oa)} * inside(b, ob) * inside(w, ow));
              }
              sum += read(gradient + (line + ow) * channels + c) / splat(divisor);
            }
          }
        }
        write(to + c, sum);
      });
    }
  }
}
}  // namespace

void max_pool_rows(const PoolGeometry& g, bool bf16, const void* x, void* y, uint8_t* index,
                   int64_t begin, int64_t end) {
  if (bf16) {
    max_pool<BF16>(g, static_cast<const uint16_t*>(x), static_cast<uint16_t*>(y), index, begin,
                   end);
  } else {
    max_pool<F32>(g, static_cast<const float*>(x), static_cast<float*>(y), index, begin, end);
  }
}

void max_pool_gradient_rows(const PoolGeometry& g, bool bf16, const void* gradient,
                            const uint8_t* index, void* dx, int64_t begin, int64_t end) {
  if (bf16) {
    max_pool_gradient<BF16>(g, static_cast<const uint16_t*>(gradient), index,
                            static_cast<uint16_t*>(dx), begin, end);
  } else {
    max_pool_gradient<F32>(g, static_cast<const float*>(gradient), index, static_cast<float*>(dx),
                           begin, end);
  }
}

void avg_pool_rows(const PoolGeometry& g, bool bf16, const void* x, void* y, int64_t begin,
                   int64_t end) {
  if (bf16) {
    avg_pool<BF16>(g, static_cast<const uint16_t*>(x), static_cast<uint16_t*>(y), begin, end);
  } else {
    avg_pool<F32>(g, static_cast<const float*>(x), static_cast<float*>(y), begin, end);
  }
}

void avg_pool_gradient_rows(const PoolGeometry& g, bool bf16, const void* gradient, void* dx,
                            int64_t begin, int64_t end) {
  if (bf16) {
    avg_pool_gradient<BF16>(g, static_cast<const uint16_t*>(gradient), static_cast<uint16_t*>(dx),
                            begin, end);
  } else {
    avg_pool_gradient<F32>(g, static_cast<const float*>(gradient), static_cast<float*>(dx), begin,
                           end);
  }
}

}  // namespace wafer::cpu::WAFER_ISA
