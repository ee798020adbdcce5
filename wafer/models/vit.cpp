#include "wafer/models/vit.h"

#include <cmath>

#include "wafer/nn/activation.h"
#include "wafer/nn/transformer.h"
#include "wafer/op/elementwise.h"
#include "wafer/op/shape_ops.h"

namespace wafer::models {

namespace {
const nn::LayerNormOptions norm{.eps = 1e-6};

class EncoderBlock : public nn::UnaryModule {
 public:
  explicit EncoderBlock(const VitOptions& o)
      : ln_1_(o.width, norm),
        self_attention_(o.width, o.heads, {.batch_first = true}),
        dropout_(o.dropout),
        ln_2_(o.width, norm) {
    mlp_.append<nn::Linear>(o.width, o.feedforward)
        .append<nn::GELU>()
        .append<nn::Dropout>(o.dropout)
        .append<nn::Linear>(o.feedforward, o.width)
        .append<nn::Dropout>(o.dropout);
    add("ln_1", ln_1_);
    add("self_attention", self_attention_);
    add("dropout", dropout_);
    add("ln_2", ln_2_);
    add("mlp", mlp_);
    mlp_.set_initialisers([](const nn::Module&, const std::string& slot) {
      return slot == "weight" ? nn::init::xavier_uniform() : nn::init::normal(0, 1e-6);
    });
  }
  Tensor forward(const Tensor& x) override {
    Tensor h = ln_1_(x);
    Tensor y = x + dropout_(self_attention_(h, h, h));
    return y + mlp_(ln_2_(y));
  }

 private:
  nn::LayerNorm ln_1_;
  nn::MultiheadAttention self_attention_;
  nn::Dropout dropout_;
  nn::LayerNorm ln_2_;
  nn::Sequential mlp_;
};
}  // namespace

Vit::Encoder::Encoder(const VitOptions& o) : dropout(o.dropout), ln(o.width, norm) {
  int64_t patches = (o.image.height / o.patch) * (o.image.width / o.patch);
  parameter("pos_embedding", pos_embedding, Shape{1, patches + 1, o.width},
            nn::init::normal(0, 0.02));
  for (int64_t i = 0; i < o.layers; ++i)
    layers.append(std::make_unique<EncoderBlock>(o), str("encoder_layer_", i));
  add("dropout", dropout);
  add("layers", layers);
  add("ln", ln);
}

Tensor Vit::Encoder::forward(const Tensor& x) {
  return ln(layers(dropout(x + pos_embedding)));
}

Vit::Vit(const VitOptions& o)
    : conv_proj({.in = o.image.channels, .out = o.width, .kernel = o.patch, .stride = o.patch}),
      width_(o.width),
      encoder_(o) {
  WAFER_REQUIRE(o.image.height % o.patch == 0 && o.image.width % o.patch == 0, "vit",
                "an image of ", o.image.height, "x", o.image.width,
                "; expected multiples of the patch, ", o.patch);
  parameter("class_token", class_token, Shape{1, 1, o.width}, nn::init::zeros());
  heads_.append(std::make_unique<nn::Linear>(o.width, o.image.outputs), "head");
  add("conv_proj", conv_proj);
  add("encoder", encoder_);
  add("heads", heads_);
  double deviation = 1 / std::sqrt(static_cast<double>(o.image.channels * o.patch * o.patch));
  conv_proj.set_initialisers([deviation](const nn::Module&, const std::string& slot) {
    return slot == "weight" ? nn::init::trunc_normal(0, deviation) : nn::init::zeros();
  });
  heads_.set_initialisers([](const nn::Module&, const std::string&) { return nn::init::zeros(); });
}

Tensor Vit::forward(const Tensor& x) {
  Tensor patches = swap_axes(flatten(conv_proj(x), 2), 1, 2);  // [batch, patches, width]
  Tensor token = broadcast_to(class_token, Shape{patches.shape()[0], 1, width_});
  Tensor y = encoder_(concat({token, patches}, 1));
  return heads_(squeeze(narrow(y, 1, 0, 1), 1));
}

namespace {
struct Variant {
  const char *name, *description, *patch, *layers, *heads, *width, *feedforward;
};
constexpr Variant variants[] = {
    {"vit_b_16", "vision transformer on patches of 16 pixels", "16", "12", "12", "768", "3072"},
    {"vit_b_32", "vision transformer on patches of 32 pixels", "32", "12", "12", "768", "3072"},
    {"vit_l_16", "large vision transformer", "16", "24", "16", "1024", "4096"}};

Model build_vit(const OptionValues& options) {
  VitOptions o{.image = read_image(options),
               .patch = options.integer("patch"),
               .layers = options.integer("layers"),
               .heads = options.divisor("heads", "width"),
               .width = options.integer("width"),
               .feedforward = options.integer("feedforward"),
               .dropout = options.real("dropout", 0, 1)};
  if (o.image.height % o.patch != 0 || o.image.width % o.patch != 0) {
    options.fail("input", str("height and width that are multiples of patch, ", o.patch));
  }
  return image_model(options, std::make_unique<Vit>(o));
}
}  // namespace

std::vector<Builder> vit_builders() {
  std::vector<Builder> builders;
  for (const Variant& v : variants) {
    auto options =
        image_option_list({{"patch", v.patch, "pixels each way of a patch"},
                           {"layers", v.layers, "number of encoder layers"},
                           {"heads", v.heads, "of attention; divides width"},
                           {"width", v.width, "of the residual stream"},
                           {"feedforward", v.feedforward, "width inside the feed-forward networks"},
                           {"dropout", "0", "probability of dropout"}});
    builders.push_back({{v.name, v.description, options}, build_vit});
  }
  return builders;
}

}  // namespace wafer::models
