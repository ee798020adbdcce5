#pragma once
#include <concepts>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "wafer/ir/node.h"
#include "wafer/nn/init.h"

namespace wafer::nn {

using StateDict = std::map<std::string, Tensor>;

// A tensor that a module owns: a parameter (trained) or a buffer (running statistics and the like).
struct Slot {
  std::string name;  // from the module that was asked: "conv1.weight"
  Tensor* value;
  bool trainable;
};

// The base of layers and models. A module registers its tensors and children in its constructor:
//   struct Net : nn::Module {
//     nn::Linear fc{784, 10};
//     Net() { add("fc", fc); }
//     Tensor forward(const Tensor& x) { return fc(x); }
//   };
// Neither copied nor moved: registered tensors and children are kept by address.
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  // Own slots and then those of the children, each tensor once, in the order of registration.
  std::vector<Slot> named_slots() const;
  std::vector<Slot> named_parameters() const;
  std::vector<Slot> named_buffers() const;
  std::vector<Tensor> parameters() const;
  std::vector<Tensor> buffers() const;
  // Elements of all parameters.
  int64_t parameter_count() const;

  StateDict state_dict() const;
  // Takes the values, cast to the slots' dtypes. UserError listing every name that is missing, not
  // known or of another shape; then nothing is changed.
  void load_state_dict(const StateDict& state);

  // Draws all parameters anew, each from the stream of its name under the seed; buffers get their
  // first values. A parameter that was registered with its value keeps it.
  void initialise(uint64_t seed);

  // Replaces the initialisers of this module's and all children's slots for which the rule gives
  // one, and draws their values anew. `layer` is the module that owns the slot: a dynamic_cast
  // tells convolutions from linear layers.
  using InitialiserRule =
      std::function<init::Initialiser(const Module& layer, const std::string& slot)>;
  void set_initialisers(const InitialiserRule& rule);

  // Mode of dropout and batch norm, here and in all children.
  void train(bool on = true);
  void eval() { train(false); }
  bool training() const { return training_; }

  // The name under which it was added, or that set_name gave a root: the module's part of paths.
  const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }
  struct Child {
    std::string name;
    Module* module;
  };
  const std::vector<Child>& children() const { return children_; }

  // "Conv2d{in=3, out=32, kernel=3}"; the class's name unless a layer says more.
  virtual std::string describe() const;

  // Runs `body` with this module's name on the path, so that nodes and errors carry it.
  template <class Body>
  auto call(Body&& body) const {
    PathScope scope = enter();
    try {
      return body();
    } catch (const UserError& error) {
      rethrow_with_path(error);
    }
  }

 protected:
  void add(const std::string& name, Module& child);
  // Makes `value` a parameter (buffer) of the given shape with first values of the initialiser.
  void parameter(const std::string& name, Tensor& value, const Shape& shape,
                 init::Initialiser initialiser);
  void buffer(const std::string& name, Tensor& value, const Shape& shape,
              init::Initialiser initialiser);
  // Registers a tensor that has its value already.
  void parameter(const std::string& name, Tensor& value);
  void buffer(const std::string& name, Tensor& value);

 private:
  struct Entry {
    std::string name;
    Tensor* value;
    bool trainable;
    init::Initialiser initialiser;  // empty: it came with its value,
    Tensor first;                   // this
  };
  PathScope enter() const;
  [[noreturn]] static void rethrow_with_path(const UserError& error);
  static void draw(const Entry& entry);
  void add_entry(Entry entry);
  void check_new_name(const std::string& name) const;
  void visit(const std::string& prefix,
             const std::function<void(const std::string&, const Entry&)>& fn) const;

  std::string name_;
  bool training_ = true;
  std::vector<Entry> entries_;
  std::vector<Child> children_;
};

// A module that is called with one tensor; Sequential and models from files hold these.
class UnaryModule : public Module {
 public:
  virtual Tensor forward(const Tensor& x) = 0;
  Tensor operator()(const Tensor& x) {
    return call([&] { return forward(x); });
  }
};

template <class M>
concept UnaryForward = std::derived_from<M, Module> && requires(M& model, const Tensor& x) {
  { model.forward(x) } -> std::convertible_to<Tensor>;
};

// "cnn" for a struct Cnn in any namespace.
std::string class_name(const Module& module);

// Calls the forward method of any module with its name on the path; a root without a name gets its
// class's.
template <UnaryForward M>
std::function<Tensor(const Tensor&)> callable(M& model) {
  if (model.name().empty()) model.set_name(class_name(model));
  return [&model](const Tensor& x) { return model.call([&] { return model.forward(x); }); };
}

}  // namespace wafer::nn
