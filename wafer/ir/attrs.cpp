#include "wafer/ir/attrs.h"

#include <functional>
#include <type_traits>

namespace wafer {

namespace {
template <class T>
std::string list_text(const std::vector<T>& values) {
  std::string text = "[";
  for (size_t i = 0; i < values.size(); ++i) text += str(i == 0 ? "" : ", ", values[i]);
  return text + "]";
}
}  // namespace

std::string attr_text(const AttrValue& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, bool>)
          return v ? "true" : "false";
        else if constexpr (std::is_same_v<T, std::string>)
          return "'" + v + "'";
        else if constexpr (requires { v.begin(); })
          return list_text(v);
        else if constexpr (std::is_same_v<T, double>) {
          std::ostringstream out;
          out.precision(17);
          out << v;
          return out.str();
        } else
          return str(v);
      },
      value);
}

const AttrList& Attrs::list() const {
  static const AttrList empty;
  return content_ ? content_->list : empty;
}

size_t Attrs::hash() const {
  return std::hash<std::string>{}(text());
}

std::string Attrs::text() const {
  std::string text;
  for (const auto& [name, value] : list()) {
    text += (text.empty() ? "" : ", ") + name + "=" + attr_text(value);
  }
  return text;
}

}  // namespace wafer
