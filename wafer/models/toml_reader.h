#pragma once
#include <optional>
#include <string>
#include <vector>

// tomlplusplus is compiled once, in its library.
#include <toml++/toml.h>

#include "wafer/models/model.h"
#include "wafer/nn/sizes.h"

namespace wafer::models {

// One table of a TOML file, whose keys are read with checks. Every error is a UserError that names
// file and line.
class TomlTable {
 public:
  // UserError with "did you mean" for a key that is not among `keys`.
  TomlTable(const toml::table& table, std::string file, std::string what,
            const std::vector<std::string>& keys);

  bool has(const std::string& key) const { return table_.contains(key); }
  bool is_text(const std::string& key) const { return table_[key].is_string(); }
  int64_t integer(const std::string& key, std::optional<int64_t> otherwise = {},
                  int64_t least = 1) const;
  double real(const std::string& key, double otherwise) const;
  bool flag(const std::string& key, bool otherwise) const;
  std::string text(const std::string& key, const std::string& otherwise) const;
  // A whole number, or a list of them.
  nn::Sizes sizes(const std::string& key, std::optional<nn::Sizes> otherwise = {},
                  int64_t least = 0) const;
  // An array of tables; empty when the key is missing.
  std::vector<const toml::table*> tables(const std::string& key) const;

  // "model.toml:12", of the key or else of the table.
  std::string where(const std::string& key = "") const;
  [[noreturn]] void fail(const std::string& key, const std::string& expected) const;
  const std::string& file() const { return file_; }

 private:
  const toml::table& table_;
  std::string file_, what_;
};

// What a layer's maker knows: its table and the value that the layer before gives.
struct LayerContext {
  const TomlTable& table;
  const Tensor& input;
  const DataSpec& spec;
  int64_t vocabulary;

  // Size of the input's dimension; UserError naming the layer's line when it has not so many.
  int64_t size(int dimension, int rank) const;
};

struct LayerType {
  std::string name;
  std::vector<std::string> keys;  // beside type and name
  std::unique_ptr<nn::UnaryModule> (*make)(const LayerContext&);
};
// Every layer type but `residual`, which the reader itself makes.
const std::vector<LayerType>& layer_types();

}  // namespace wafer::models
