#include <algorithm>
#include <map>

#include "wafer/base/error.h"
#include "wafer/base/strings.h"
#include "wafer/base/threads.h"
#include "wafer/data/decoders.h"
#include "wafer/data/log_mel.h"
#include "wafer/io/archive.h"
#include "wafer/io/wav.h"

namespace wafer::data {

namespace fs = std::filesystem;

namespace {

struct Recording {
  std::string name, speaker;
  io::Bytes bytes;
  int64_t digit = 0, index = 0;
};

int64_t whole_number(const std::string& text, const std::string& where) {
  bool digits = !text.empty() && text.size() < 10 &&
                std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  WAFER_REQUIRE(digits, where, "the file name is not DIGIT_SPEAKER_INDEX.wav");
  return std::stoll(text);
}

Recording describe(const std::string& name, const std::string& where) {
  Recording recording;
  recording.name = name;
  std::vector<std::string> parts = split(fs::path(name).stem().string(), '_');
  WAFER_REQUIRE(parts.size() == 3, where, "the file name is not DIGIT_SPEAKER_INDEX.wav");
  recording.digit = whole_number(parts[0], where);
  recording.speaker = parts[1];
  recording.index = whole_number(parts[2], where);
  WAFER_REQUIRE(recording.digit <= 9, where, "the label is out of range: ", recording.digit,
                "; expected a digit from 0 to 9 before the first '_'");
  return recording;
}

std::vector<Recording> read_recordings(const fs::path& path) {
  std::vector<Recording> recordings;
  auto take = [&](const std::string& name, io::Bytes bytes) {
    recordings.push_back(describe(name, path.string() + ": " + name));
    recordings.back().bytes = std::move(bytes);
  };
  fs::path archive = only_archive(path);
  auto wanted = [](const std::string& name) { return lower(name).ends_with(".wav"); };
  if (!archive.empty()) {
    io::for_each_entry(archive, take, wanted);
  } else {
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      std::string name = entry.path().lexically_relative(path).generic_string();
      if (entry.is_regular_file() && wanted(name))
        take(name, io::read_file(entry.path(), uint64_t{1} << 30));
    }
  }
  WAFER_REQUIRE(!recordings.empty(), path.string(),
                "no recordings were found; expected DIGIT_SPEAKER_INDEX.wav");
  std::sort(recordings.begin(), recordings.end(),
            [](const Recording& a, const Recording& b) { return a.name < b.name; });
  return recordings;
}

}  // namespace

Content decode_spoken_digits(const fs::path& path, const LoadOptions& options) {
  check(options.audio, path.string());
  std::vector<Recording> recordings = read_recordings(path);
  std::map<std::string, int64_t> speakers;
  for (const Recording& recording : recordings) speakers.emplace(recording.speaker, 0);
  std::vector<std::string> names;
  for (auto& [name, number] : speakers) {
    number = static_cast<int64_t>(names.size());
    names.push_back(name);
  }
  WAFER_REQUIRE(options.leave_out.empty() || speakers.contains(options.leave_out), path.string(),
                "no speaker '", options.leave_out, "'", did_you_mean(options.leave_out, names),
                "; the speakers are ", join(names, ", "));

  Content content;
  Description& about = content.description;
  about.name = "fsdd";
  about.where = path.string();
  about.kind = InputKind::frames;
  about.stored = DType::f32;
  about.audio = options.audio;
  about.shape = {frame_count(options.audio), options.audio.mels};
  for (int64_t digit = 0; digit < 10; ++digit) about.classes.push_back(str(digit));

  auto width = static_cast<size_t>(about.elements());
  std::vector<float> features(recordings.size() * width);
  parallel_for(static_cast<int64_t>(recordings.size()), 8, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      std::string where = path.string() + ": " + recordings[i].name;
      std::vector<float> frames =
          log_mel(io::parse_wav(recordings[i].bytes, where), options.audio, where);
      std::copy(frames.begin(), frames.end(), features.begin() + static_cast<ptrdiff_t>(i * width));
    }
  });

  for (bool test : {false, true}) {
    ArrayPart& part = test ? content.test : content.train;
    auto inputs = std::make_shared<std::vector<float>>();
    for (size_t i = 0; i < recordings.size(); ++i) {
      const Recording& recording = recordings[i];
      // The official split: the first five recordings of each digit by each speaker are the test
      // part.
      bool held_out =
          options.leave_out.empty() ? recording.index < 5 : recording.speaker == options.leave_out;
      if (held_out != test) continue;
      part.labels.push_back(recording.digit);
      part.names.push_back(recording.name);
      inputs->insert(inputs->end(), features.begin() + static_cast<ptrdiff_t>(i * width),
                     features.begin() + static_cast<ptrdiff_t>((i + 1) * width));
    }
    part.inputs = std::as_bytes(std::span(*inputs));
    part.owner = inputs;
  }
  return content;
}

}  // namespace wafer::data
