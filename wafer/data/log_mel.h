#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "wafer/data/description.h"
#include "wafer/io/wav.h"

namespace wafer::data {

// Frames of a recording of `samples` samples: 1 + (samples - window) / hop.
int64_t frame_count(const AudioFormat& format);

// UserError naming the field of the format that is out of range.
void check(const AudioFormat& format, const std::string& where);

// log(max(M p, 1e-6)), [frames, mels]: p is the power spectrum of each Hann-windowed frame, M the
// triangular mel filters from 0 Hz to half the sample rate on the HTK scale, 2595 log10(1 + f /
// 700). Channels are averaged; a recording of another sample rate is resampled (resample.h); it is
// cut or padded with zeros at its end. UserError naming `where` for an impossible sample rate.
std::vector<float> log_mel(const io::Wav& wav, const AudioFormat& format, const std::string& where);

// The filters, [mels, window / 2 + 1].
std::vector<float> mel_filters(const AudioFormat& format);

}  // namespace wafer::data
