#pragma once
#include <string>
#include <string_view>

#include "wafer/deploy/onnx/model.h"

namespace wafer::onnx {

// The newest operator set of the default domain that is known.
inline constexpr int64_t newest_opset = 27;

// One operator of the standard, as schemas.def lists it.
struct Schema {
  const char* domain;
  const char* name;
  const char* versions;                         // "1 6 13!": where it changed; ! deprecated
  int least_inputs, most_inputs, most_outputs;  // -1: any number
  const char* attributes;                       // "axis:i mode:s"
};

// The operator, or null where the standard has none of that name.
const Schema* find_schema(std::string_view domain, std::string_view name);

// The version of the operator that a model of that opset uses: the last change up to it. 0: the
// operator is younger; -1: it is deprecated there.
int version_at(const Schema& schema, int64_t opset);

// Checks a node against the standard: operator, version, numbers of inputs and outputs, attributes
// and their types. Gives the version. UserError naming `where`, the node and the mend.
int check_node(const NodeDef& node, const Opsets& opsets, const std::string& where);

}  // namespace wafer::onnx
