#include "wafer/data/log_mel.h"

#include <kiss_fftr.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <numbers>

#include "wafer/base/error.h"
#include "wafer/data/resample.h"

namespace wafer::data {

namespace {

double to_mel(double hertz) {
  return 2595 * std::log10(1 + hertz / 700);
}
double to_hertz(double mel) {
  return 700 * (std::pow(10, mel / 2595) - 1);
}

struct FreePlan {
  void operator()(kiss_fftr_state* plan) const { std::free(plan); }
};
}  // namespace

int64_t frame_count(const AudioFormat& format) {
  return 1 + (format.samples - format.window) / format.hop;
}

void check(const AudioFormat& format, const std::string& where) {
  auto require = [&](bool good, const char* field, int64_t value, const char* expected) {
    if (!good) {
      throw UserError(where, str("the audio format's ", field, " is out of range"),
                      {.got = str(value), .expected = expected});
    }
  };
  require(format.sample_rate > 0 && format.sample_rate <= 10'000'000, "sample_rate",
          format.sample_rate, "1 to 10 MHz");
  require(format.window >= 4 && format.window <= 65536 && format.window % 2 == 0, "window",
          format.window, "an even number from 4 to 65536");
  require(format.samples >= format.window && format.samples <= (int64_t{1} << 30), "samples",
          format.samples, "at least one window");
  require(format.hop > 0 && format.hop <= format.samples, "hop", format.hop, "1 to samples");
  require(format.mels > 0 && format.mels <= format.window / 2, "mels", format.mels,
          "1 to half the window");
}

std::vector<float> mel_filters(const AudioFormat& format) {
  auto bins = static_cast<size_t>(format.window / 2 + 1), mels = static_cast<size_t>(format.mels);
  double top = to_mel(static_cast<double>(format.sample_rate) / 2);
  std::vector<double> corners;
  for (size_t i = 0; i < mels + 2; ++i) {
    corners.push_back(to_hertz(top * static_cast<double>(i) / static_cast<double>(mels + 1)));
  }
  std::vector<float> filters(mels * bins);
  for (size_t m = 0; m < mels; ++m) {
    for (size_t k = 0; k < bins; ++k) {
      double hertz = static_cast<double>(k) * static_cast<double>(format.sample_rate) /
                     static_cast<double>(format.window);
      double up = (hertz - corners[m]) / (corners[m + 1] - corners[m]);
      double down = (corners[m + 2] - hertz) / (corners[m + 2] - corners[m + 1]);
      filters[m * bins + k] = static_cast<float>(std::max(0.0, std::min(up, down)));
    }
  }
  return filters;
}

std::vector<float> log_mel(const io::Wav& wav, const AudioFormat& format,
                           const std::string& where) {
  WAFER_REQUIRE(wav.sample_rate > 0 && wav.sample_rate <= 10'000'000, where, "a sample rate of ",
                wav.sample_rate, " Hz; expected 1 Hz to 10 MHz");
  auto channels = static_cast<size_t>(wav.channels);
  std::vector<float> signal(wav.samples.size() / channels);
  for (size_t i = 0; i < signal.size(); ++i) {
    for (size_t c = 0; c < channels; ++c) signal[i] += wav.samples[i * channels + c];
    signal[i] /= static_cast<float>(channels);
  }
  auto samples = static_cast<size_t>(format.samples);
  if (wav.sample_rate != format.sample_rate)
    signal = resample(signal, wav.sample_rate, format.sample_rate, samples);
  signal.resize(samples);

  auto window = static_cast<size_t>(format.window), bins = window / 2 + 1;
  auto frames = static_cast<size_t>(frame_count(format)), mels = static_cast<size_t>(format.mels);
  std::vector<float> hann(window), filters = mel_filters(format);
  for (size_t i = 0; i < window; ++i) {
    hann[i] =
        static_cast<float>(0.5 - 0.5 * std::cos(2 * std::numbers::pi * static_cast<double>(i) /
                                                static_cast<double>(window)));
  }
  std::unique_ptr<kiss_fftr_state, FreePlan> plan(
      kiss_fftr_alloc(static_cast<int>(window), 0, nullptr, nullptr));
  WAFER_CHECK(plan != nullptr, "no FFT plan for a window of ", window);

  // A filter covers few of the bins.
  std::vector<size_t> first(mels), last(mels);
  for (size_t m = 0; m < mels; ++m) {
    const float* filter = filters.data() + m * bins;
    while (first[m] < bins && filter[first[m]] == 0) ++first[m];
    last[m] = bins;
    while (last[m] > first[m] && filter[last[m] - 1] == 0) --last[m];
  }
  std::vector<float> frame(window), power(bins), result(frames * mels);
  std::vector<kiss_fft_cpx> spectrum(bins);
  for (size_t f = 0; f < frames; ++f) {
    const float* start = signal.data() + f * static_cast<size_t>(format.hop);
    for (size_t i = 0; i < window; ++i) frame[i] = start[i] * hann[i];
    kiss_fftr(plan.get(), frame.data(), spectrum.data());
    for (size_t k = 0; k < bins; ++k) {
      power[k] = spectrum[k].r * spectrum[k].r + spectrum[k].i * spectrum[k].i;
    }
    for (size_t m = 0; m < mels; ++m) {
      float sum = 0;
      for (size_t k = first[m]; k < last[m]; ++k) sum += filters[m * bins + k] * power[k];
      result[f * mels + m] = std::log(std::max(sum, 1e-6f));
    }
  }
  return result;
}

}  // namespace wafer::data
