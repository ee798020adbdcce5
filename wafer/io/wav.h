#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "wafer/io/file.h"

namespace wafer::io {

struct Wav {
  int sample_rate = 0;  // Hz
  int channels = 0;
  std::vector<float> samples;  // in -1..1, channels interleaved: [frames, channels]
};

// RIFF WAVE with integer PCM of 8, 16, 24 or 32 bits or float of 32 bits. UserError names `where`
// and the field and offset that is wrong.
Wav parse_wav(ByteView bytes, const std::string& where);
Wav read_wav(const std::filesystem::path& path);

}  // namespace wafer::io
