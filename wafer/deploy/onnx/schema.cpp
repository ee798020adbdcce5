#include "wafer/deploy/onnx/schema.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "wafer/base/strings.h"

namespace wafer::onnx {

namespace {
constexpr Schema schemas[] = {
#define OPERATOR(domain, name, versions, least, most, outputs, attributes) \
  {domain, name, versions, least, most, outputs, attributes},
#include "wafer/deploy/onnx/schemas.def"
#undef OPERATOR
};

// The letters of schemas.def by Attribute::Kind.
std::string_view letter(Attribute::Kind kind) {
  switch (kind) {
    case Attribute::Kind::number: return "f";
    case Attribute::Kind::integer: return "i";
    case Attribute::Kind::text: return "s";
    case Attribute::Kind::tensor: return "t";
    case Attribute::Kind::graph: return "g";
    case Attribute::Kind::numbers: return "fs";
    case Attribute::Kind::integers: return "is";
    case Attribute::Kind::texts: return "ss";
    case Attribute::Kind::type: return "p";
    default: return "?";
  }
}

void check_attributes(const NodeDef& node, const Schema& schema, const std::string& where) {
  std::vector<std::string> names;
  for (const auto& [name, attribute] : node.attributes) {
    bool known = false;
    for (const std::string& entry : split(schema.attributes, ' ')) {
      size_t colon = entry.find(':');
      if (colon == std::string::npos) continue;
      names.push_back(entry.substr(0, colon));
      if (names.back() != name) continue;
      known = true;
      auto types = split(entry.substr(colon + 1), '|');
      // An empty list does not say of what.
      bool empty_list = attribute.kind == Attribute::Kind::integers && attribute.ints.empty();
      bool fits = !attribute.reference.empty() || empty_list ||
                  std::find(types.begin(), types.end(), letter(attribute.kind)) != types.end();
      WAFER_REQUIRE(fits, where, node.text(), ": attribute '", name, "' has the wrong type");
    }
    WAFER_REQUIRE(known, where, node.text(), ": attribute '", name,
                  "' is none that the operator has", did_you_mean(name, names));
  }
}
}  // namespace

const Schema* find_schema(std::string_view domain, std::string_view name) {
  using Key = std::pair<std::string_view, std::string_view>;
  static const std::map<Key, const Schema*> by_name = [] {
    std::map<Key, const Schema*> all;
    for (const Schema& schema : schemas) all.emplace(Key(schema.domain, schema.name), &schema);
    return all;
  }();
  auto found = by_name.find({domain, name});
  return found == by_name.end() ? nullptr : found->second;
}

int version_at(const Schema& schema, int64_t opset) {
  int found = 0;
  for (std::string_view rest = schema.versions; !rest.empty();) {
    std::string_view text = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(rest.size(), text.size() + 1));
    int version = 0;
    std::from_chars(text.data(), text.data() + text.size(), version);
    if (version > opset) break;
    found = text.back() == '!' ? -1 : version;
  }
  return found;
}

int check_node(const NodeDef& node, const Opsets& opsets, const std::string& where) {
  auto opset = opsets.find(node.domain);
  WAFER_REQUIRE(opset != opsets.end(), where, node.text(),
                ": the model imports no operator set of ",
                node.domain.empty() ? "the default domain" : "domain '" + node.domain + "'",
                "; add it to opset_import");
  const Schema* schema = find_schema(node.domain, node.op_type);
  if (!schema) {
    std::vector<std::string> names;
    for (const Schema& s : schemas)
      if (node.domain == s.domain) names.emplace_back(s.name);
    throw UserError(
        where, str(node.text(), ": no operator of that name", did_you_mean(node.op_type, names)),
        {.hint = "operators of other domains come as functions of the model"});
  }
  WAFER_REQUIRE(!node.domain.empty() || opset->second <= newest_opset, where,
                "the model is of operator set ", opset->second, "; known are those up to ",
                newest_opset, "; convert it with onnx.version_converter");
  int version = version_at(*schema, opset->second);
  WAFER_REQUIRE(version != 0, where, node.text(), ": the operator came with version ",
                split(schema->versions, ' ')[0], "; the model is of operator set ", opset->second);
  WAFER_REQUIRE(version > 0, where, node.text(), ": the operator is gone from operator set ",
                opset->second);
  auto inputs = static_cast<int>(node.inputs.size());
  auto outputs = static_cast<int>(node.outputs.size());
  bool fits =
      inputs >= schema->least_inputs && (schema->most_inputs < 0 || inputs <= schema->most_inputs);
  WAFER_REQUIRE(fits, where, node.text(), ": ", inputs, " inputs; expected ", schema->least_inputs,
                " to ", schema->most_inputs < 0 ? "any number" : str(schema->most_inputs));
  WAFER_REQUIRE(schema->most_outputs < 0 || outputs <= schema->most_outputs, where, node.text(),
                ": ", outputs, " outputs; expected at most ", schema->most_outputs);
  check_attributes(node, *schema, where);
  return version;
}

}  // namespace wafer::onnx
