#include "wafer/nn/module.h"

#include <cxxabi.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <set>
#include <typeinfo>

#include "wafer/base/strings.h"
#include "wafer/op/elementwise.h"

namespace wafer::nn {

namespace {
// The class's name without namespaces and template arguments.
std::string type_name(const Module& module) {
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(typeid(module).name(), nullptr, nullptr, &status), std::free);
  std::string name = status == 0 ? text.get() : "module";
  name = name.substr(0, name.find('<'));
  size_t colon = name.rfind(':');
  return colon == name.npos ? name : name.substr(colon + 1);
}

// At most twelve names, so that a wrong file does not print thousands.
std::string name_list(const std::vector<std::string>& names) {
  constexpr size_t most = 12;
  std::vector<std::string> shown(names.begin(),
                                 names.begin() + std::min<ptrdiff_t>(most, std::ssize(names)));
  std::string text = join(shown, ", ");
  return names.size() > most ? str(text, " and ", names.size() - most, " more") : text;
}
}  // namespace

std::string class_name(const Module& module) {
  return lower(type_name(module));
}

std::string Module::describe() const {
  return type_name(*this);
}

PathScope Module::enter() const {
  return name_.empty() ? PathScope::whole(current_path()) : PathScope::extend(name_);
}

void Module::rethrow_with_path(const UserError& error) {
  if (current_path().empty() || std::strstr(error.what(), "(at ")) throw error;
  throw UserError(str(error.what(), " (at ", current_path(), ")"));
}

void Module::check_new_name(const std::string& name) const {
  WAFER_REQUIRE(!name.empty(), "module", "a name is empty");
  bool taken = false;
  for (const Entry& entry : entries_)
    taken = taken || entry.name == name || entry.name.starts_with(name + ".");
  for (const Child& child : children_)
    taken = taken || child.name == name || name.starts_with(child.name + ".");
  WAFER_REQUIRE(!taken, "module", "'", name, "' is registered twice in ", describe());
}

void Module::add(const std::string& name, Module& child) {
  WAFER_REQUIRE(name.find('.') == name.npos, "module", "a name without dots is expected; got '",
                name, "'");
  check_new_name(name);
  WAFER_REQUIRE(child.name_.empty(), "module", "cannot add '", name, "': it was added as '",
                child.name_, "' before; call it twice to share its weights");
  child.name_ = name;
  children_.push_back({name, &child});
}

void Module::draw(const Entry& entry) {
  if (init::deferred()) return;
  RandomStream random = init::next_stream();
  *entry.value = init::make(entry.initialiser, entry.value->shape(), random);
}

void Module::add_entry(Entry entry) {
  check_new_name(entry.name);
  if (entry.initialiser) {
    draw(entry);
  } else {
    entry.first = *entry.value;
  }
  entries_.push_back(std::move(entry));
}

void Module::parameter(const std::string& name, Tensor& value, const Shape& shape,
                       init::Initialiser initialiser) {
  value = make_input({DType::f32, shape}, name);
  add_entry({name, &value, true, std::move(initialiser), {}});
}
void Module::buffer(const std::string& name, Tensor& value, const Shape& shape,
                    init::Initialiser initialiser) {
  value = make_input({DType::f32, shape}, name);
  add_entry({name, &value, false, std::move(initialiser), {}});
}
void Module::parameter(const std::string& name, Tensor& value) {
  add_entry({name, &value, true, {}, {}});
}
void Module::buffer(const std::string& name, Tensor& value) {
  add_entry({name, &value, false, {}, {}});
}

void Module::visit(const std::string& prefix,
                   const std::function<void(const std::string&, const Entry&)>& fn) const {
  for (const Entry& entry : entries_) fn(prefix + entry.name, entry);
  for (const Child& child : children_) child.module->visit(prefix + child.name + ".", fn);
}

std::vector<Slot> Module::named_slots() const {
  std::vector<Slot> slots;
  std::set<const Tensor*> seen;
  visit("", [&](const std::string& name, const Entry& entry) {
    if (seen.insert(entry.value).second) slots.push_back({name, entry.value, entry.trainable});
  });
  return slots;
}

std::vector<Slot> Module::named_parameters() const {
  auto slots = named_slots();
  std::erase_if(slots, [](const Slot& slot) { return !slot.trainable; });
  return slots;
}
std::vector<Slot> Module::named_buffers() const {
  auto slots = named_slots();
  std::erase_if(slots, [](const Slot& slot) { return slot.trainable; });
  return slots;
}

std::vector<Tensor> Module::parameters() const {
  std::vector<Tensor> values;
  for (const Slot& slot : named_parameters()) values.push_back(*slot.value);
  return values;
}
std::vector<Tensor> Module::buffers() const {
  std::vector<Tensor> values;
  for (const Slot& slot : named_buffers()) values.push_back(*slot.value);
  return values;
}

int64_t Module::parameter_count() const {
  int64_t count = 0;
  for (const Slot& slot : named_parameters()) count += slot.value->elements();
  return count;
}

StateDict Module::state_dict() const {
  StateDict state;
  for (const Slot& slot : named_slots()) state.emplace(slot.name, *slot.value);
  return state;
}

void Module::load_state_dict(const StateDict& state) {
  std::vector<std::string> missing, unexpected, misshapen;
  std::set<std::string> known;
  auto slots = named_slots();
  for (const Slot& slot : slots) {
    known.insert(slot.name);
    auto found = state.find(slot.name);
    if (found == state.end()) {
      missing.push_back(slot.name);
    } else if (!(found->second.shape() == slot.value->shape())) {
      misshapen.push_back(str(slot.name, " (", found->second.shape(), " in the state, ",
                              slot.value->shape(), " in the model)"));
    }
  }
  for (const auto& [name, value] : state) {
    if (!known.contains(name)) unexpected.push_back(name);
  }
  std::vector<std::string> faults;
  if (!missing.empty()) faults.push_back("missing: " + name_list(missing));
  if (!unexpected.empty()) faults.push_back("not known: " + name_list(unexpected));
  if (!misshapen.empty()) faults.push_back("of another shape: " + name_list(misshapen));
  if (!faults.empty()) {
    throw UserError("load_state_dict",
                    str("the state does not fit ", describe(), ": ", join(faults, "; ")));
  }
  for (const Slot& slot : slots) {
    const Tensor& value = state.at(slot.name);
    *slot.value = value.dtype() == slot.value->dtype() ? value : cast(value, slot.value->dtype());
  }
}

void Module::initialise(uint64_t seed) {
  std::set<const Tensor*> seen;
  visit("", [&](const std::string& name, const Entry& entry) {
    if (!seen.insert(entry.value).second) return;
    if (!entry.initialiser) {
      if (!entry.trainable) *entry.value = entry.first;
      return;
    }
    RandomStream random = init::stream_of(seed, name);
    *entry.value = init::make(entry.initialiser, entry.value->shape(), random);
  });
}

void Module::set_initialisers(const InitialiserRule& rule) {
  for (Entry& entry : entries_) {
    if (init::Initialiser chosen = rule(*this, entry.name)) {
      entry.initialiser = std::move(chosen);
      draw(entry);
    }
  }
  for (const Child& child : children_) child.module->set_initialisers(rule);
}

void Module::train(bool on) {
  training_ = on;
  for (const Child& child : children_) child.module->train(on);
}

}  // namespace wafer::nn
