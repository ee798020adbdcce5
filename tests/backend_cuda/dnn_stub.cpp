#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "tests/backend_cuda/driver_stub.h"
#include "wafer/backend/cuda/dnn.h"
#include "wafer/base/error.h"
#include "wafer/ir/dtype.h"

// cuDNN of the stub: descriptors are maps of attributes, which are checked when they are set, and
// as a whole when they are finalized. An execution is work of the handle's stream that touches what
// the tensors say. Of its engines only two are of use. What follows a convolution it computes as
// the library's engines do: behind a bias, which a residual may go before and ReLU may follow.
namespace wafer::testing {

namespace {
struct DnnEngine {
  const char* name;
  std::vector<cudnnBackendNumericalNote_t> notes;
  int64_t workspace = 0;
  bool plans = true;  // else no plan of it can be finalized
};

const std::vector<DnnEngine>& engines_of(cudnnBackendHeurMode_t mode) {
  static const std::vector<DnnEngine> named = {
      {"nondeterministic", {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}},
      {"narrow sums",
       {CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION}},
      {"rounded inputs", {CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS}},
      {"large workspace", {}, int64_t{1} << 40},
      {"without a plan", {}, 0, false},
      {"tensor cores", {CUDNN_NUMERICAL_NOTE_TENSOR_CORE}, 4096}};
  static const std::vector<DnnEngine> last = {
      {"plain", {CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP}, 1000}};
  return mode == CUDNN_HEUR_MODE_A ? named : last;
}

struct DnnAttribute {
  cudnnBackendAttributeType_t type;
  std::vector<std::byte> bytes;

  template <class T>
  std::vector<T> values() const {
    std::vector<T> result(bytes.size() / sizeof(T));
    std::memcpy(result.data(), bytes.data(), bytes.size());
    return result;
  }
};

struct DnnObject {
  cudnnBackendDescriptorType_t type;
  bool finalized = false;
  std::map<cudnnBackendAttributeName_t, DnnAttribute> attributes;
  const DnnEngine* engine = nullptr;  // of configurations and engines
  const DnnObject* graph = nullptr;   // of configurations

  template <class T>
  std::vector<T> all(cudnnBackendAttributeName_t name) const {
    return attributes.at(name).values<T>();
  }
  template <class T>
  T one(cudnnBackendAttributeName_t name) const {
    return all<T>(name).at(0);
  }
  const DnnObject& object(cudnnBackendAttributeName_t name) const {
    return *one<const DnnObject*>(name);
  }
};

DriverStub& dnn_owner() {
  return DriverStub::get();
}
cudnnStatus_t dnn_misuse(const std::string& text) {
  dnn_owner().violate(text);
  return CUDNN_STATUS_BAD_PARAM;
}
bool is_alive(const void* descriptor) {
  return dnn_owner().dnn_descriptors.count(reinterpret_cast<uintptr_t>(descriptor)) > 0;
}

size_t element_bytes(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_CHAR:
    case CUDNN_TYPE_BOOLEAN: return 1;
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR: return 8;
    default: return 4;
  }
}

// What a descriptor must be told before it is finalized.
struct DnnExpected {
  cudnnBackendAttributeName_t name;
  cudnnBackendAttributeType_t type;
  size_t least = 1, most = 1;
  bool may_lack = false;
};

constexpr auto is_descriptor = CUDNN_TYPE_BACKEND_DESCRIPTOR;

const std::vector<DnnExpected>& expected_of(cudnnBackendDescriptorType_t type) {
  static const std::map<cudnnBackendDescriptorType_t, std::vector<DnnExpected>> all = {
      {CUDNN_BACKEND_TENSOR_DESCRIPTOR,
       {{CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64},
        {CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE},
        {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64},
        {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, 5},
        {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, 5},
        {CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, 1, true}}},
      {CUDNN_BACKEND_POINTWISE_DESCRIPTOR,
       {{CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE},
        {CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE},
        {CUDNN_ATTR_POINTWISE_NAN_PROPAGATION, CUDNN_TYPE_NAN_PROPOGATION, 1, 1, true}}},
      {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR,
       {{CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, is_descriptor},
        {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, is_descriptor},
        {CUDNN_ATTR_OPERATION_POINTWISE_BDESC, is_descriptor, 1, 1, true},
        {CUDNN_ATTR_OPERATION_POINTWISE_YDESC, is_descriptor}}},
      {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
       {{CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64},
        {CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE},
        {CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE},
        {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, 3},
        {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, 3},
        {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, 3},
        {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, 3}}},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
       {{CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, is_descriptor},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, is_descriptor},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, is_descriptor},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, is_descriptor},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT}}},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
       {{CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, is_descriptor},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, is_descriptor},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, is_descriptor},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, is_descriptor},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_TYPE_FLOAT},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, CUDNN_TYPE_FLOAT}}},
      {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
       {{CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, is_descriptor},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, is_descriptor},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, is_descriptor},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, is_descriptor},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_TYPE_FLOAT},
        {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, CUDNN_TYPE_FLOAT}}},
      {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
       {{CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE},
        {CUDNN_ATTR_OPERATIONGRAPH_OPS, is_descriptor, 1, 4}}},
      {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR,
       {{CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, is_descriptor},
        {CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE}}},
      {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR,
       {{CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE},
        {CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, is_descriptor}}},
      {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR,
       {{CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, 5},
        {CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, 5},
        {CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR}}}};
  static const std::vector<DnnExpected> none;
  auto found = all.find(type);
  return found == all.end() ? none : found->second;
}

// A tensor with three spatial dimensions.
struct DnnTensor {
  int64_t id, alignment;
  cudnnDataType_t type;
  std::vector<int64_t> sizes, strides;
  bool between;  // two operations, never in memory

  explicit DnnTensor(const DnnObject& o)
      : id(o.one<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID)),
        alignment(o.one<int64_t>(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT)),
        type(o.one<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE)),
        sizes(o.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS)),
        strides(o.all<int64_t>(CUDNN_ATTR_TENSOR_STRIDES)),
        between(o.attributes.count(CUDNN_ATTR_TENSOR_IS_VIRTUAL) &&
                o.one<char>(CUDNN_ATTR_TENSOR_IS_VIRTUAL) != 0) {
    if (sizes.size() == 4) {
      sizes.insert(sizes.begin() + 2, 1);
      strides.insert(strides.begin() + 2, 0);
    }
  }
  int64_t at(int64_t a, int64_t b, int64_t d, int64_t h, int64_t w) const {
    return a * strides[0] + b * strides[1] + d * strides[2] + h * strides[3] + w * strides[4];
  }
  int64_t reach() const {  // elements up to its last
    return at(sizes[0] - 1, sizes[1] - 1, sizes[2] - 1, sizes[3] - 1, sizes[4] - 1) + 1;
  }
  size_t bytes() const { return static_cast<size_t>(reach()) * (type == CUDNN_DATA_FLOAT ? 4 : 2); }
};

// A convolution as an operation describes it.
struct DnnWindows {
  enum Result { of_y, of_x, of_weight } result;
  DnnTensor x, weight, y;
  std::vector<int64_t> stride, low, high, dilation;
  bool as_wanted;

  static DnnWindows read(const DnnObject& o) {
    if (o.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR)
      return DnnWindows(o, of_y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA);
    if (o.type == CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR)
      return DnnWindows(o, of_x, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA);
    return DnnWindows(o, of_weight, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA);
  }

  DnnWindows(const DnnObject& o, Result computed, cudnnBackendAttributeName_t x_name,
             cudnnBackendAttributeName_t weight_name, cudnnBackendAttributeName_t y_name,
             cudnnBackendAttributeName_t windows_name, cudnnBackendAttributeName_t factor,
             cudnnBackendAttributeName_t kept)
      : result(computed), x(o.object(x_name)), weight(o.object(weight_name)), y(o.object(y_name)) {
    const DnnObject& c = o.object(windows_name);
    stride = c.all<int64_t>(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
    low = c.all<int64_t>(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
    high = c.all<int64_t>(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
    dilation = c.all<int64_t>(CUDNN_ATTR_CONVOLUTION_DILATIONS);
    as_wanted =
        o.one<float>(factor) == 1 && o.one<float>(kept) == 0 &&
        c.one<cudnnDataType_t>(CUDNN_ATTR_CONVOLUTION_COMP_TYPE) == CUDNN_DATA_FLOAT &&
        c.one<cudnnConvolutionMode_t>(CUDNN_ATTR_CONVOLUTION_CONV_MODE) == CUDNN_CROSS_CORRELATION;
    if (stride.size() == 2) {
      for (auto* numbers : {&stride, &dilation}) numbers->insert(numbers->begin(), 1);
      for (auto* numbers : {&low, &high}) numbers->insert(numbers->begin(), 0);
    }
  }

  int64_t groups() const { return x.sizes[1] / weight.sizes[1]; }
  bool fit() const {
    bool ok = as_wanted && x.type == weight.type && (x.type == y.type || y.between) &&
              x.sizes[0] == y.sizes[0] && weight.sizes[0] == y.sizes[1] &&
              x.sizes[1] % weight.sizes[1] == 0 && weight.sizes[0] % groups() == 0;
    for (size_t d = 0; d < 3; ++d) {
      int64_t window = dilation[d] * (weight.sizes[2 + d] - 1) + 1;
      ok = ok && y.sizes[2 + d] == (x.sizes[2 + d] + low[d] + high[d] - window) / stride[d] + 1;
    }
    return ok;
  }

  // Calls with the places of each element of y, and of those of x and weight that it is made of.
  template <class Visit>
  void walk(const Visit& visit) const {
    int64_t outputs = weight.sizes[0] / groups();  // of a group
    for (int64_t n = 0; n < y.sizes[0]; ++n)
      for (int64_t k = 0; k < y.sizes[1]; ++k)
        for (int64_t i = 0; i < y.sizes[2]; ++i)
          for (int64_t j = 0; j < y.sizes[3]; ++j)
            for (int64_t l = 0; l < y.sizes[4]; ++l)
              walk_window(n, k, {i, j, l}, k / outputs * weight.sizes[1], visit);
  }
  template <class Visit>
  void walk_window(int64_t n, int64_t k, std::array<int64_t, 3> place, int64_t first_channel,
                   const Visit& visit) const {
    for (int64_t c = 0; c < weight.sizes[1]; ++c)
      for (int64_t i = 0; i < weight.sizes[2]; ++i)
        for (int64_t j = 0; j < weight.sizes[3]; ++j)
          for (int64_t l = 0; l < weight.sizes[4]; ++l) {
            std::array<int64_t, 3> tap = {i, j, l}, from;
            bool inside = true;
            for (size_t d = 0; d < 3; ++d) {
              from[d] = place[d] * stride[d] - low[d] + tap[d] * dilation[d];
              inside = inside && from[d] >= 0 && from[d] < x.sizes[2 + d];
            }
            if (inside)
              visit(x.at(n, first_channel + c, from[0], from[1], from[2]), weight.at(k, c, i, j, l),
                    y.at(n, k, place[0], place[1], place[2]));
          }
  }
};

double element(cudnnDataType_t type, const void* memory, int64_t at) {
  if (type == CUDNN_DATA_HALF) return static_cast<double>(static_cast<const Float16*>(memory)[at]);
  if (type == CUDNN_DATA_BFLOAT16)
    return static_cast<double>(static_cast<const BFloat16*>(memory)[at]);
  return static_cast<double>(static_cast<const float*>(memory)[at]);
}
void set_element(cudnnDataType_t type, void* memory, int64_t at, double value) {
  if (type == CUDNN_DATA_HALF)
    static_cast<Float16*>(memory)[at] = static_cast<Float16>(value);
  else if (type == CUDNN_DATA_BFLOAT16)
    static_cast<BFloat16*>(memory)[at] = static_cast<BFloat16>(value);
  else
    static_cast<float*>(memory)[at] = static_cast<float>(value);
}

// A convolution and what follows it.
struct DnnChain {
  DnnWindows windows;
  std::optional<DnnTensor> residual, bias;
  bool relu = false;
  bool known = true;  // its order is one that engines are for

  explicit DnnChain(const DnnObject& graph)
      : windows(DnnWindows::read(*graph.all<const DnnObject*>(CUDNN_ATTR_OPERATIONGRAPH_OPS)[0])) {
    auto operations = graph.all<const DnnObject*>(CUDNN_ATTR_OPERATIONGRAPH_OPS);
    for (size_t i = 1; i < operations.size(); ++i) follow(*operations[i]);
    bool followed = operations.size() > 1;
    known = known && !windows.y.between && (!followed || bias);
    if (followed && !dnn_owner().dnn_knows_followers) known = false;
  }

  // In the place of the convolution's own result.
  double followed(double value, int64_t at, int64_t channel, const void* residual_at,
                  const void* bias_at) const {
    if (residual) value += element(residual->type, residual_at, at);
    if (bias) value += element(bias->type, bias_at, channel);
    return relu && !(value != value) ? std::max(value, 0.0) : value;
  }

 private:
  void follow(const DnnObject& operation) {
    const DnnObject& each = operation.object(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
    DnnTensor from(operation.object(CUDNN_ATTR_OPERATION_POINTWISE_XDESC));
    bool adds = operation.attributes.count(CUDNN_ATTR_OPERATION_POINTWISE_BDESC) > 0;
    known = known && from.id == windows.y.id && from.between && from.type == CUDNN_DATA_FLOAT &&
            each.one<cudnnDataType_t>(CUDNN_ATTR_POINTWISE_MATH_PREC) == CUDNN_DATA_FLOAT && !relu;
    auto mode = each.one<cudnnPointwiseMode_t>(CUDNN_ATTR_POINTWISE_MODE);
    if (mode == CUDNN_POINTWISE_ADD && adds) {
      DnnTensor added(operation.object(CUDNN_ATTR_OPERATION_POINTWISE_BDESC));
      bool whole = added.sizes == windows.y.sizes;
      known = known && !bias && !(whole && residual) && added.type == windows.x.type;
      (whole ? residual : bias) = added;
    } else {
      known = known && mode == CUDNN_POINTWISE_RELU_FWD && !adds &&
              each.one<cudnnNanPropagation_t>(CUDNN_ATTR_POINTWISE_NAN_PROPAGATION) ==
                  CUDNN_PROPAGATE_NAN;
      relu = true;
    }
    windows.y = DnnTensor(operation.object(CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
  }
};

void convolve(const DnnChain& chain, void* x, void* weight, void* y, const void* residual,
              const void* bias) {
  const DnnWindows& c = chain.windows;
  const DnnTensor& result = c.result == DnnWindows::of_y   ? c.y
                            : c.result == DnnWindows::of_x ? c.x
                                                           : c.weight;
  void* to = c.result == DnnWindows::of_y ? y : c.result == DnnWindows::of_x ? x : weight;
  std::vector<double> sums(static_cast<size_t>(result.reach()));
  c.walk([&](int64_t x_at, int64_t weight_at, int64_t y_at) {
    if (c.result == DnnWindows::of_y)
      sums[static_cast<size_t>(y_at)] +=
          element(c.x.type, x, x_at) * element(c.x.type, weight, weight_at);
    else if (c.result == DnnWindows::of_x)
      sums[static_cast<size_t>(x_at)] +=
          element(c.x.type, y, y_at) * element(c.x.type, weight, weight_at);
    else
      sums[static_cast<size_t>(weight_at)] +=
          element(c.x.type, x, x_at) * element(c.x.type, y, y_at);
  });
  const std::vector<int64_t>& s = result.sizes;
  for (int64_t a = 0; a < s[0]; ++a)
    for (int64_t b = 0; b < s[1]; ++b)
      for (int64_t i = 0; i < s[2]; ++i)
        for (int64_t j = 0; j < s[3]; ++j)
          for (int64_t l = 0; l < s[4]; ++l) {
            int64_t at = result.at(a, b, i, j, l);
            set_element(result.type, to, at,
                        chain.followed(sums[static_cast<size_t>(at)], at, b, residual, bias));
          }
}

cudnnStatus_t set_attribute(cudnnBackendDescriptor_t handle, cudnnBackendAttributeName_t name,
                            cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  if (!is_alive(handle)) return dnn_misuse("an attribute of a descriptor that is gone");
  auto& o = *static_cast<DnnObject*>(handle);
  if (o.finalized) return dnn_misuse("an attribute of a descriptor that is finalized");
  for (const DnnExpected& each : expected_of(o.type)) {
    if (each.name != name) continue;
    auto n = static_cast<size_t>(count);
    if (each.type != type || n < each.least || n > each.most)
      return dnn_misuse("an attribute of another type or count");
    DnnAttribute& attribute = o.attributes[name];
    auto* begin = static_cast<const std::byte*>(values);
    attribute = {type, {begin, begin + n * element_bytes(type)}};
    if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
      for (const auto* other : attribute.values<const DnnObject*>()) {
        if (!is_alive(other) || !other->finalized)
          return dnn_misuse("an attribute that is not a finalized descriptor");
      }
    }
    if (type == CUDNN_TYPE_HANDLE &&
        !dnn_owner().dnn_handles.count(attribute.values<uintptr_t>()[0]))
      return dnn_misuse("an attribute that is not a handle");
    return CUDNN_STATUS_SUCCESS;
  }
  return dnn_misuse("an attribute that the descriptor does not have");
}

cudnnStatus_t finalize(cudnnBackendDescriptor_t handle) {
  if (!is_alive(handle)) return dnn_misuse("a descriptor finalized that is gone");
  auto& o = *static_cast<DnnObject*>(handle);
  if (o.finalized) return dnn_misuse("a descriptor finalized twice");
  for (const DnnExpected& each : expected_of(o.type)) {
    if (!each.may_lack && !o.attributes.count(each.name))
      return dnn_misuse("a descriptor without an attribute");
  }
  switch (o.type) {
    case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
      if (!dnn_owner().dnn_takes_tensors) return CUDNN_STATUS_NOT_SUPPORTED;
      if (o.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS).size() !=
          o.all<int64_t>(CUDNN_ATTR_TENSOR_STRIDES).size())
        return dnn_misuse("a tensor with other strides than sizes");
      break;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      if (!DnnWindows::read(o).fit()) return dnn_misuse("tensors that do not fit a convolution");
      break;
    case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
      if (!o.object(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG).engine->plans)
        return CUDNN_STATUS_NOT_SUPPORTED;
      break;
    case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
      if (!dnn_owner().dnn_heuristics_answer &&
          o.one<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE) == CUDNN_HEUR_MODE_A)
        return CUDNN_STATUS_NOT_SUPPORTED;
      break;
    default: break;
  }
  o.finalized = true;
  return CUDNN_STATUS_SUCCESS;
}

template <class T>
cudnnStatus_t give(const std::vector<T>& values, int64_t wanted, int64_t* count, void* to) {
  *count = static_cast<int64_t>(values.size());
  if (wanted > 0)
    std::memcpy(to, values.data(),
                std::min(values.size(), static_cast<size_t>(wanted)) * sizeof(T));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t get_attribute(cudnnBackendDescriptor_t handle, cudnnBackendAttributeName_t name,
                            cudnnBackendAttributeType_t, int64_t wanted, int64_t* count,
                            void* values) {
  if (!is_alive(handle)) return dnn_misuse("an attribute of a descriptor that is gone");
  auto& o = *static_cast<DnnObject*>(handle);
  if (!o.finalized) return dnn_misuse("an attribute asked of a descriptor that is not finalized");
  if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE) return give(o.engine->notes, wanted, count, values);
  if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) {
    const DnnObject& way = o.object(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    return give(std::vector<int64_t>{way.engine->workspace}, wanted, count, values);
  }
  if (name != CUDNN_ATTR_ENGINEHEUR_RESULTS && name != CUDNN_ATTR_ENGINECFG_ENGINE)
    return dnn_misuse("an attribute that the descriptor does not tell");
  // Descriptors, which the caller has made, are filled.
  std::vector<const DnnEngine*> found = {o.engine};
  const DnnObject* graph = nullptr;
  if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS) {
    found.clear();
    graph = &o.object(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
    for (const DnnEngine& each :
         engines_of(o.one<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE)))
      if (dnn_owner().dnn_knows_engines && DnnChain(*graph).known) found.push_back(&each);
  }
  *count = std::ssize(found);
  if (wanted == 0) {
    ++*count;  // as the library does, which filters once more when it fills them
    return CUDNN_STATUS_SUCCESS;
  }
  for (size_t i = 0; i < std::min(found.size(), static_cast<size_t>(wanted)); ++i) {
    auto* object = static_cast<DnnObject**>(values)[i];
    if (!is_alive(object)) return dnn_misuse("a result asked into no descriptor");
    object->engine = found[i];
    object->graph = graph;
    object->finalized = true;
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t execute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                      cudnnBackendDescriptor_t pack) {
  DriverStub& s = dnn_owner();
  auto stream = s.dnn_handles.find(reinterpret_cast<uintptr_t>(handle));
  if (stream == s.dnn_handles.end()) return dnn_misuse("an execution by no handle");
  if (!is_alive(plan) || !is_alive(pack)) return dnn_misuse("an execution of what is gone");
  if (!s.dnn_executes) return CUDNN_STATUS_EXECUTION_FAILED;
  const auto &p = *static_cast<DnnObject*>(plan), &values = *static_cast<DnnObject*>(pack);
  if (!p.finalized || !values.finalized) return dnn_misuse("an execution of what is not finalized");
  const DnnObject& way = p.object(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  if (!is_alive(&way) || !is_alive(way.graph)) return dnn_misuse("a plan of what is gone");
  DnnChain chain(*way.graph);
  const DnnWindows& c = chain.windows;
  auto ids = values.all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  auto addresses = values.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  DriverStub::Work work{"a convolution of cuDNN", {}, nullptr};
  auto address_of = [&](const DnnTensor& tensor, bool write) {
    auto found = std::find(ids.begin(), ids.end(), tensor.id);
    if (found == ids.end()) {
      s.violate("an execution without one of its tensors");
      return static_cast<void*>(nullptr);
    }
    void* address = addresses[static_cast<size_t>(found - ids.begin())];
    auto begin = reinterpret_cast<CUdeviceptr>(address);
    if (begin % static_cast<size_t>(tensor.alignment) != 0)
      s.violate("a tensor on memory that is less aligned than was said");
    work.accesses.push_back({begin, begin + tensor.bytes(), write});
    return address;
  };
  void* x = address_of(c.x, c.result == DnnWindows::of_x);
  void* weight = address_of(c.weight, c.result == DnnWindows::of_weight);
  void* y = address_of(c.y, c.result == DnnWindows::of_y);
  void* residual = chain.residual ? address_of(*chain.residual, false) : nullptr;
  void* bias = chain.bias ? address_of(*chain.bias, false) : nullptr;
  if (way.engine->workspace > 0) {
    auto scratch = values.one<CUdeviceptr>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
    work.accesses.push_back({scratch, scratch + static_cast<size_t>(way.engine->workspace), true});
    if (scratch % 256 != 0) s.violate("a workspace that does not begin as allocations do");
  }
  work.run = [=] { convolve(chain, x, weight, y, residual, bias); };
  work.plan = reinterpret_cast<uintptr_t>(plan);
  s.calls.push_back(str("convolve by ", way.engine->name, residual ? ", residual" : "",
                        bias ? ", bias" : "", chain.relu ? ", ReLU" : ""));
  return s.enqueue(stream->second, std::move(work)) == CUDA_SUCCESS ? CUDNN_STATUS_SUCCESS
                                                                    : CUDNN_STATUS_EXECUTION_FAILED;
}
}  // namespace

const cuda::Dnn* DriverStub::dnn() const {
  static const cuda::Dnn table = {
      .version = [] { return size_t{90000}; },
      .error_text = [](cudnnStatus_t) { return "refused"; },
      .last_error = [](char* text, size_t) { *text = '\0'; },
      .create =
          [](cudnnHandle_t* handle) {
            DriverStub& s = dnn_owner();
            if (!s.dnn_starts) return CUDNN_STATUS_NOT_INITIALIZED;
            if (s.any_capture()) return dnn_misuse("cuDNN started during a capture");
            uintptr_t number = s.new_handle();
            s.dnn_handles[number] = 0;
            return *handle = reinterpret_cast<cudnnHandle_t>(number), CUDNN_STATUS_SUCCESS;
          },
      .destroy =
          [](cudnnHandle_t handle) {
            if (dnn_owner().dnn_handles.erase(reinterpret_cast<uintptr_t>(handle)) == 0)
              return dnn_misuse("a handle of cuDNN destroyed twice");
            return CUDNN_STATUS_SUCCESS;
          },
      .set_stream =
          [](cudnnHandle_t handle, cudaStream_t stream) {
            dnn_owner().dnn_handles.at(reinterpret_cast<uintptr_t>(handle)) =
                reinterpret_cast<uintptr_t>(stream);
            return CUDNN_STATUS_SUCCESS;
          },
      .create_descriptor =
          [](cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* descriptor) {
            auto* object = new DnnObject{.type = type};
            dnn_owner().dnn_descriptors.insert(reinterpret_cast<uintptr_t>(object));
            return *descriptor = object, CUDNN_STATUS_SUCCESS;
          },
      .destroy_descriptor =
          [](cudnnBackendDescriptor_t descriptor) {
            if (dnn_owner().dnn_descriptors.erase(reinterpret_cast<uintptr_t>(descriptor)) == 0)
              return dnn_misuse("a descriptor of cuDNN destroyed twice");
            delete static_cast<DnnObject*>(descriptor);
            return CUDNN_STATUS_SUCCESS;
          },
      .set_attribute = set_attribute,
      .get_attribute = get_attribute,
      .finalize = finalize,
      .execute = execute};
  return &table;
}

}  // namespace wafer::testing
