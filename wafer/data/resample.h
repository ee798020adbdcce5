#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace wafer::data {

// A signal of one channel at another sample rate: band-limited interpolation by a Kaiser-windowed
// sinc (Smith, "Digital Audio Resampling"), of linear phase, so that nothing is delayed. It
// passes up to 0.8 of half the lower rate; what lies above that half is damped by 80 dB. from, to:
// the rates in Hz. Result: at most `most` of the ceil(size * to / from) samples. Equal rates give a
// copy.
std::vector<float> resample(std::span<const float> signal, int64_t from, int64_t to, size_t most);

}  // namespace wafer::data
