#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "wafer/data/dataset.h"
#include "wafer/io/wav.h"

namespace wafer::data {

// How a model's input is made from a file: what a saved model must know beside its graph.
struct InputSpec {
  Description description;
  Normalise normalise;

  // JSON text and back. UserError naming `where` and the field that is wrong.
  std::string to_json() const;
  static InputSpec from_json(const std::string& text, const std::string& where);
};

InputSpec input_spec(const Dataset& dataset);

// One input as a model gets it: elements() values. UserError when the spec is for another kind of
// input.
std::vector<float> prepare(const InputSpec& spec,
                           const io::Image& image);  // resized, channels converted
std::vector<float> prepare(const InputSpec& spec, const io::Wav& wav);  // resampled, cut or padded
// A row of a table: one text for each column, numbers or categories; `where` names it in errors.
std::vector<float> prepare(const InputSpec& spec, const std::vector<std::string>& row,
                           const std::string& where);
// The tokens of a text; UserError for a character outside the vocabulary.
std::vector<int64_t> tokenise(const InputSpec& spec, const std::string& text);
std::string detokenise(const InputSpec& spec, const std::vector<int64_t>& tokens);

// Description only, for caches.
std::string description_to_json(const Description& description);
Description description_from_json(const std::string& text, const std::string& where);

// The characters of UTF-8 text. UserError naming the offset of a byte that is not UTF-8.
std::vector<std::string> utf8_characters(const std::string& text, const std::string& where);

}  // namespace wafer::data
