#include "wafer/io/wav.h"

#include <cmath>
#include <cstring>

#include "wafer/base/error.h"
#include "wafer/io/byte_reader.h"

namespace wafer::io {

namespace {

struct Format {
  uint16_t code = 0, channels = 0, bits = 0;
  uint32_t rate = 0;
};

constexpr uint16_t kInteger = 1, kFloat = 3, kExtensible = 0xFFFE;

bool is_tag(ByteView bytes, const char* tag) {
  return std::memcmp(bytes.data(), tag, 4) == 0;
}

Format read_format(ByteView chunk, const std::string& where) {
  ByteReader reader(chunk, where);
  Format format;
  format.code = reader.little<uint16_t>("the format code of 'fmt '");
  format.channels = reader.little<uint16_t>("the channels of 'fmt '");
  format.rate = reader.little<uint32_t>("the sample rate of 'fmt '");
  reader.take(6, "the byte rate of 'fmt '");
  format.bits = reader.little<uint16_t>("the bits of 'fmt '");
  if (format.code == kExtensible) {
    reader.take(8, "the extension of 'fmt '");
    format.code = reader.little<uint16_t>("the sub-format of 'fmt '");
  }
  bool integer = format.code == kInteger &&
                 (format.bits == 8 || format.bits == 16 || format.bits == 24 || format.bits == 32);
  if (!integer && !(format.code == kFloat && format.bits == 32)) {
    throw UserError(where, "this kind of WAV is not read",
                    {.got = str("format code ", format.code, " with ", format.bits, " bits"),
                     .expected = "PCM of 8, 16, 24 or 32 bits, or float of 32",
                     .hint = "convert it to 16-bit PCM"});
  }
  if (format.channels == 0 || format.channels > 64 || format.rate == 0 ||
      format.rate > 10'000'000) {
    throw UserError(where, "the 'fmt ' chunk is not sensible",
                    {.got = str(format.channels, " channels at ", format.rate, " Hz")});
  }
  return format;
}

float sample(const uint8_t* data, const Format& format) {
  if (format.code == kFloat) {
    float value;
    std::memcpy(&value, data, 4);
    return value;
  }
  if (format.bits == 8)
    return (static_cast<float>(data[0]) - 128.0f) / 128.0f;  // 8 bits are unsigned
  uint32_t word = 0;
  int bytes = format.bits / 8;
  for (int i = 0; i < bytes; ++i) word |= uint32_t{data[i]} << (8 * (4 - bytes + i));
  return static_cast<float>(static_cast<double>(static_cast<int32_t>(word)) / 2147483648.0);
}

}  // namespace

Wav parse_wav(ByteView bytes, const std::string& where) {
  ByteReader reader(bytes, where);
  ByteView riff = reader.take(12, "the RIFF header");
  if (!is_tag(riff, "RIFF") || !is_tag(riff.subspan(8), "WAVE")) {
    throw UserError(where, "not a WAV file: it does not start with RIFF and WAVE");
  }
  Format format;
  while (reader.remaining() > 0) {
    ByteView tag = reader.take(4, "a chunk's name");
    uint32_t size = reader.little<uint32_t>("a chunk's length");
    bool data_chunk = is_tag(tag, "data");
    ByteView chunk = reader.take(size, data_chunk ? "the samples" : "a chunk");
    if (size % 2 == 1 && reader.remaining() > 0) reader.take(1, "a chunk's padding");
    if (is_tag(tag, "fmt ")) format = read_format(chunk, where);
    if (!data_chunk) continue;
    if (format.channels == 0) throw UserError(where, "the samples come before the 'fmt ' chunk");
    size_t width = format.bits / 8u;
    if (size % (width * format.channels) != 0) {
      throw UserError(where, str("the samples' ", size, " bytes are no whole number of frames of ",
                                 width * format.channels));
    }
    Wav wav;
    wav.sample_rate = static_cast<int>(format.rate);
    wav.channels = format.channels;
    wav.samples.resize(size / width);
    for (size_t i = 0; i < wav.samples.size(); ++i) {
      wav.samples[i] = sample(chunk.data() + i * width, format);
      if (!std::isfinite(wav.samples[i])) {
        throw UserError(where, str("sample ", i, " is not a finite number"));
      }
    }
    return wav;
  }
  throw UserError(where, "the WAV file has no 'data' chunk", {.hint = "fetch or record it again"});
}

Wav read_wav(const std::filesystem::path& path) {
  MemoryMap map(path);
  return parse_wav(map.bytes(), path.string());
}

}  // namespace wafer::io
