#pragma once
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "wafer/ir/dtype.h"
#include "wafer/ir/shape.h"

namespace wafer {

using AttrValue = std::variant<bool, int64_t, double, std::string, std::vector<int64_t>,
                               std::vector<double>, DType, Shape>;
using AttrList = std::vector<std::pair<std::string, AttrValue>>;

std::string attr_text(const AttrValue& value);

// One entry of a field list: the field's name and where it lies in the struct.
template <class Member>
struct Field {
  const char* name;
  Member member;
};
template <class Member>
Field(const char*, Member) -> Field<Member>;

// The attributes of a node: any plain struct with one field list, from which hash, equality, text
// and JSON derive:
//   struct ReduceAttrs {
//     std::vector<int64_t> axes;
//     static constexpr auto fields() { return std::make_tuple(Field{"axes", &ReduceAttrs::axes}); }
//   };
class Attrs {
 public:
  Attrs() = default;

  template <class T>
  requires requires { T::fields(); }
  Attrs(T value) {  // NOLINT: a struct of attributes is attributes
    AttrList list;
    std::apply([&](auto... field) { (list.emplace_back(field.name, value.*field.member), ...); },
               T::fields());
    content_ = std::make_shared<Content<T>>(std::move(value), std::move(list));
  }

  // The struct these were made from; asking for another is a defect.
  template <class T>
  const T& as() const {
    auto* content = dynamic_cast<const Content<T>*>(content_.get());
    WAFER_CHECK(content != nullptr, "attributes of another op");
    return content->value;
  }

  // The fields in order; empty for an op without attributes.
  const AttrList& list() const;
  size_t hash() const;
  std::string text() const;  // "stride=[1, 1], padding=[0, 0]"

  // Builds a struct from a list; a missing, unknown or wrongly typed field is a UserError naming
  // it.
  template <class T>
  static Attrs read(const AttrList& list);

  friend bool operator==(const Attrs& a, const Attrs& b) {
    return a.content_ == b.content_ || a.list() == b.list();
  }

 private:
  struct ContentBase {
    explicit ContentBase(AttrList fields) : list(std::move(fields)) {}
    virtual ~ContentBase() = default;
    AttrList list;
  };
  template <class T>
  struct Content : ContentBase {
    Content(T v, AttrList fields) : ContentBase(std::move(fields)), value(std::move(v)) {}
    T value;
  };
  std::shared_ptr<const ContentBase> content_;
};

template <class T>
Attrs Attrs::read(const AttrList& list) {
  T value;
  size_t used = 0;
  auto take = [&](const char* name, auto& target) {
    for (const auto& [key, entry] : list) {
      if (key != name) continue;
      auto* typed = std::get_if<std::decay_t<decltype(target)>>(&entry);
      WAFER_REQUIRE(typed != nullptr, "attributes", "field '", name, "' has the wrong type");
      target = *typed;
      ++used;
      return;
    }
    throw UserError("attributes", str("field '", name, "' is missing"));
  };
  std::apply([&](auto... field) { (take(field.name, value.*field.member), ...); }, T::fields());
  WAFER_REQUIRE(used == list.size(), "attributes", "a field is unknown to this op");
  return value;
}

}  // namespace wafer
