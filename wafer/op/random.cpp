#include "wafer/op/random.h"

#include <atomic>

#include "wafer/op/create.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/op.h"

namespace wafer {

namespace {
thread_local RandomScope* scope_of_thread = nullptr;
std::atomic<uint64_t> eager_seed = 0, eager_step = 0;

std::vector<Type> infer_random(const InferArgs& args) {
  const Tensor& key = args.inputs[0];
  WAFER_REQUIRE(key.dtype() == DType::u64 && key.shape() == Shape{2}, "random", "a key of ",
                key.type(), "; expected u64[2]: seed and step");
  return {Type{DType::f32, args.attrs.as<RandomAttrs>().shape}};
}

// FNV-1a: the same number for the same name on every machine and build.
uint64_t hash_name(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (unsigned char c : name) hash = (hash ^ c) * 0x100000001b3u;
  return hash;
}

template <int flops_per_element>
Cost generator_cost(const Node& node) {
  return {flops_per_element * static_cast<double>(node.outputs[0].elements()), bytes_touched(node)};
}

std::vector<Tensor> no_gradient(const VjpArgs&) {
  return {{}};
}
}  // namespace

const OpDef random_uniform_def = {.name = "random_uniform",
                                  .infer = infer_random,
                                  .vjp = no_gradient,
                                  .cost = generator_cost<20>,
                                  .read_attrs = Attrs::read<RandomAttrs>};
const OpDef random_normal_def = {.name = "random_normal",
                                 .infer = infer_random,
                                 .vjp = no_gradient,
                                 .cost = generator_cost<40>,
                                 .read_attrs = Attrs::read<RandomAttrs>};

Tensor random_of(const OpDef& op, const Shape& shape) {
  if (RandomScope* scope = scope_of_thread) {
    uint64_t stream = hash_name(str(current_path(), "#", scope->ordinal_++));
    return make(op, {scope->key_}, RandomAttrs{shape, static_cast<int64_t>(stream)});
  }
  Tensor key = Tensor::from_values<uint64_t>({eager_seed, eager_step++}, Shape{2});
  return make(op, {key}, RandomAttrs{shape, 0});
}

void manual_seed(uint64_t seed) {
  eager_seed = seed;
  eager_step = 0;
}

RandomScope::RandomScope(Tensor key) : outer_(scope_of_thread), key_(std::move(key)) {
  scope_of_thread = this;
}
RandomScope::~RandomScope() {
  scope_of_thread = outer_;
}

Tensor random_uniform(const Shape& shape) {
  return random_of(op::random_uniform, shape);
}
Tensor random_uniform(const Shape& shape, double low, double high) {
  return random_uniform(shape) * (high - low) + low;
}
Tensor random_normal(const Shape& shape) {
  return random_of(op::random_normal, shape);
}

Tensor dropout(const Tensor& x, double probability) {
  WAFER_REQUIRE(probability >= 0 && probability <= 1, "dropout", "a probability of ", probability,
                "; expected one in [0, 1]");
  if (probability == 0) return x;
  if (probability == 1) return zeros_like(x);
  Tensor kept = greater_equal(random_uniform(x.shape()), scalar_like(zeros(Shape{}), probability));
  return where(kept, x / (1 - probability), scalar_like(x, 0));
}

}  // namespace wafer
