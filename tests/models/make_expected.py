#!/usr/bin/env python3
"""Writes tests/models/expected: what PyTorch and torchvision compute for wafer's named models.

    pip install torch torchvision transformers
    python3 tests/models/make_expected.py [family ...]

Of each family it writes FAMILY.json, outputs of small batches with all parameters, buffers and
inputs filled by a formula of name and index (fill, which tests/models/filled.h has
too), and FAMILY.txt, the names and shapes of the parameters and buffers of each model at its
default options, in order. Without an argument it writes all families, and large/outputs.json.
"""
import json
import math
import pathlib
import sys

import numpy as np
import torch
import torchvision
from torch import nn

FOLDER = pathlib.Path(__file__).parent / "expected"


def uniform(name, count):
    """count numbers in [-1/2, 1/2) that depend on the name and the index alone, as f64."""
    h = 0x811C9DC5  # FNV-1a
    for byte in name.encode():
        h = ((h ^ byte) * 0x01000193) & 0xFFFFFFFF
    x = np.arange(count, dtype=np.uint32) + np.uint32(h)
    for _ in range(2):
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x45D9F3B)
    x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)) / 2.0**24 - 0.5


def fill(name, shape, dtype):
    """The value of a parameter or buffer: variances near 1, weights that keep variances."""
    if dtype == torch.int64:
        return torch.zeros(shape, dtype=dtype)
    count = math.prod(shape)
    u = uniform(name, count)
    if name.endswith("running_var"):
        values = 1 + 0.5 * u
    elif len(shape) >= 2:
        values = math.sqrt(24 * shape[0] / count) * u  # variance 2 / fan in
    elif name.endswith("weight"):
        values = 1 + 0.5 * u
    else:
        values = 0.2 * u
    return torch.tensor(values.astype(np.float32)).reshape(shape)


def input_of(case):
    shape = case["input"]
    u = uniform("input", math.prod(shape))
    if "vocabulary" in case:
        tokens = np.floor((u + 0.5) * case["vocabulary"]).astype(np.int64)
        return torch.tensor(tokens).reshape(shape)
    return torch.tensor((4 * u).astype(np.float32)).reshape(shape)


def outputs_of(model, case):
    state = {name: fill(name, tuple(t.shape), t.dtype) for name, t in model.state_dict().items()}
    model.load_state_dict(state)
    model.eval()
    with torch.no_grad():
        y = model(input_of(case))
    assert torch.isfinite(y).all()
    spread = (y[0] - y[1]).abs().max() / y.abs().max()
    assert spread > 1e-2, f"{case['model']}: outputs hardly depend on the input ({spread:.1e})"
    return [float(f"{v:.8g}") for v in y.flatten().tolist()]


def vision(name, **arguments):
    return getattr(torchvision.models, name)(weights=None, **arguments)


def resnet(name, options):
    model = vision(name, num_classes=int(options.get("outputs", 1000)))
    if options.get("stem") == "cifar":
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    return model


def mobilenet_v2(name, options):
    return vision(name, num_classes=int(options.get("outputs", 1000)),
                  width_mult=float(options.get("width", 1)))


def with_classifier(model, options):
    """With hidden layers of another width, for small weights."""
    hidden = int(options.get("hidden", 4096))
    linear = [i for i, layer in enumerate(model.classifier) if isinstance(layer, nn.Linear)]
    widths = [model.classifier[linear[0]].in_features, hidden, hidden,
              int(options.get("outputs", 1000))]
    for i, place in enumerate(linear):
        model.classifier[place] = nn.Linear(widths[i], widths[i + 1])
    return model


def vgg(name, options):
    if name == "alexnet":
        return with_classifier(torchvision.models.AlexNet(), options)
    configuration = {"11": "A", "13": "B", "16": "D", "19": "E"}[name[3:5]]
    layers = torchvision.models.vgg.make_layers(
        torchvision.models.vgg.cfgs[configuration], batch_norm=name.endswith("_bn"))
    return with_classifier(torchvision.models.VGG(layers, init_weights=False), options)


def plain(name, options):
    return vision(name, num_classes=int(options.get("outputs", 1000)))


def mobilenet_v3(name, options):
    return vision(name, num_classes=int(options.get("outputs", 1000)),
                  width_mult=float(options.get("width", 1)))


def vit(name, options):
    size = int(options.get("input", "3x224x224").split("x")[1])
    large = "_l_" in name
    return torchvision.models.VisionTransformer(
        image_size=size, patch_size=int(options.get("patch", name[-2:])),
        num_layers=int(options.get("layers", 24 if large else 12)),
        num_heads=int(options.get("heads", 16 if large else 12)),
        hidden_dim=int(options.get("width", 1024 if large else 768)),
        mlp_dim=int(options.get("feedforward", 4096 if large else 3072)),
        num_classes=int(options.get("outputs", 1000)))


class DoubleConv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        layers = []
        for channels in (inputs, outputs):
            layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False),
                       nn.BatchNorm2d(outputs), nn.ReLU()]
        self.double_conv = nn.Sequential(*layers)

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(inputs, outputs))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, inputs // 2, 2, stride=2)
        self.conv = DoubleConv(inputs, outputs)

    def forward(self, x, skip):
        x = self.up(x)
        height, width = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
        x = nn.functional.pad(
            x, [width // 2, width - width // 2, height // 2, height - height // 2])
        return self.conv(torch.cat([skip, x], 1))


class UNet(nn.Module):
    """With the names of the implementation known as Pytorch-UNet."""

    def __init__(self, name, options):
        super().__init__()
        w = int(options.get("width", 64))
        self.inc = DoubleConv(3, w)
        for i in range(4):
            self.add_module(f"down{i + 1}", Down(w << i, w << (i + 1)))
        for i in range(4):
            self.add_module(f"up{i + 1}", Up(w << (4 - i), w << (3 - i)))
        self.outc = nn.Module()
        self.outc.conv = nn.Conv2d(w, int(options.get("outputs", 2)), 1)

    def forward(self, x):
        skips = [self.inc(x)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            skips.append(down(skips[-1]))
        y = skips.pop()
        for up in (self.up1, self.up2, self.up3, self.up4):
            y = up(y, skips.pop())
        return self.outc.conv(y)


class Logits(nn.Module):
    """A Hugging Face model that gives its logits alone."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def state_dict(self):
        # GPT-2's head is its token embedding.
        return {k: v for k, v in self.model.state_dict().items() if k != "lm_head.weight"}

    def load_state_dict(self, state):
        missing, unexpected = self.model.load_state_dict(state, strict=False)
        assert not unexpected and missing in ([], ["lm_head.weight"])
        self.model.tie_weights()

    def forward(self, tokens):
        return self.model(tokens).logits


def bert(name, options):
    from transformers import BertConfig, BertForSequenceClassification
    return Logits(BertForSequenceClassification(BertConfig(
        vocab_size=int(options.get("vocabulary", 30522)),
        max_position_embeddings=int(options.get("positions", 512)),
        num_hidden_layers=int(options.get("layers", 12)),
        num_attention_heads=int(options.get("heads", 12)),
        hidden_size=int(options.get("width", 768)),
        intermediate_size=int(options.get("feedforward", 3072)),
        num_labels=int(options.get("outputs", 2)))))


def gpt(name, options):
    from transformers import GPT2Config, GPT2LMHeadModel
    return Logits(GPT2LMHeadModel(GPT2Config(
        vocab_size=int(options.get("vocabulary", 50257)),
        n_positions=int(options.get("positions", 1024)),
        n_layer=int(options.get("layers", 12)), n_head=int(options.get("heads", 12)),
        n_embd=int(options.get("width", 768)))))


# Family -> how a model is made of its name and wafer's options, models whose names are listed,
# and cases.
FAMILIES = {
    "resnet": (
        resnet,
        ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d",
         "wide_resnet50_2"],
        [
            {"model": "resnet18", "options": {"outputs": "10"}, "input": [2, 3, 64, 64]},
            {"model": "resnet18", "options": {"outputs": "10", "stem": "cifar"},
             "input": [2, 3, 16, 16]},
            {"model": "resnet34", "options": {"outputs": "10"}, "input": [2, 3, 40, 56]},
            {"model": "resnet50", "options": {"outputs": "10"}, "input": [2, 3, 64, 64]},
            {"model": "resnext50_32x4d", "options": {"outputs": "10"}, "input": [2, 3, 32, 32]},
        ],
    ),
    "mobilenet_v2": (
        mobilenet_v2,
        ["mobilenet_v2"],
        [
            {"model": "mobilenet_v2", "options": {"outputs": "10"}, "input": [2, 3, 64, 64]},
            {"model": "mobilenet_v2", "options": {"outputs": "10", "width": "0.35"},
             "input": [2, 3, 33, 47]},
        ],
    ),
    "vgg": (
        vgg,
        ["alexnet", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19",
         "vgg19_bn"],
        [
            {"model": "alexnet", "options": {"outputs": "10", "hidden": "32"},
             "input": [2, 3, 80, 96]},
            {"model": "vgg11", "options": {"outputs": "10", "hidden": "32"},
             "input": [2, 3, 32, 64]},
            {"model": "vgg16_bn", "options": {"outputs": "10", "hidden": "32"},
             "input": [2, 3, 32, 32]},
        ],
    ),
    "squeezenet": (
        plain,
        ["squeezenet1_0", "squeezenet1_1"],
        [
            {"model": "squeezenet1_0", "options": {"outputs": "10"}, "input": [2, 3, 64, 64]},
            {"model": "squeezenet1_1", "options": {"outputs": "10"}, "input": [2, 3, 50, 66]},
        ],
    ),
    "densenet": (
        plain,
        ["densenet121"],
        [{"model": "densenet121", "options": {"outputs": "10"}, "input": [2, 3, 64, 64]}],
    ),
    "mobilenet_v3": (
        mobilenet_v3,
        ["mobilenet_v3_small", "mobilenet_v3_large"],
        [
            {"model": "mobilenet_v3_small", "options": {"outputs": "10"}, "input": [2, 3, 64, 64]},
            {"model": "mobilenet_v3_large", "options": {"outputs": "10", "width": "0.5"},
             "input": [2, 3, 48, 48]},
        ],
    ),
    "efficientnet": (
        plain,
        ["efficientnet_b0", "efficientnet_b2"],
        [{"model": "efficientnet_b0", "options": {"outputs": "10"}, "input": [2, 3, 64, 64]}],
    ),
    "vit": (
        vit,
        ["vit_b_16", "vit_b_32", "vit_l_16"],
        [{"model": "vit_b_16",
          "options": {"input": "3x32x32", "outputs": "10", "patch": "8", "layers": "3",
                      "heads": "4", "width": "64", "feedforward": "128"},
          "input": [2, 3, 32, 32]}],
    ),
    "unet": (
        UNet,
        ["unet"],
        [{"model": "unet", "options": {"width": "8"}, "input": [2, 3, 18, 21]}],
    ),
    "bert": (
        bert,
        ["bert_base"],
        [{"model": "bert_base",
          "options": {"input": "12", "vocabulary": "50", "positions": "16", "outputs": "3",
                      "layers": "3", "heads": "4", "width": "64", "feedforward": "128"},
          "input": [2, 12], "vocabulary": 50}],
    ),
    "gpt": (
        gpt,
        ["gpt2"],
        [{"model": "gpt2",
          "options": {"input": "9", "vocabulary": "50", "positions": "16", "layers": "3",
                      "heads": "4", "width": "64"},
          "input": [2, 9], "vocabulary": 50}],
    ),
}


# Cases that take too long for every run: large/outputs.json.
LARGE = [
    (family, {"model": name, "options": {"outputs": "10", **options}, "input": [2, 3, 64, 64]})
    for family, names, options in [
        ("resnet", ["resnet101", "resnet152", "wide_resnet50_2"], {}),
        ("vgg", ["vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg19", "vgg19_bn"],
         {"hidden": "32"}),
        ("densenet", ["densenet161", "densenet169", "densenet201"], {}),
        ("mobilenet_v3", ["mobilenet_v3_large"], {}),
        ("efficientnet", ["efficientnet_b1", "efficientnet_b2", "efficientnet_b3"], {}),
        ("vit", ["vit_b_16", "vit_b_32"], {"input": "3x64x64"}),
    ]
    for name in names
]


def names_of(make, name):
    """A line for each parameter and buffer: its name and shape."""
    with torch.device("meta"):
        state = make(name, {}).state_dict()
    return [f"# {name}"] + [f"{slot} {'x'.join(map(str, tensor.shape))}".strip()
                            for slot, tensor in state.items()]


def row_of(make, case):
    values = outputs_of(make(case["model"], case["options"]), case)
    print(case["model"], case["options"], values[:3])
    return json.dumps({**case, "outputs": values})


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[\n" + ",\n".join(rows) + "\n]\n")


def main():
    for family in sys.argv[1:] or FAMILIES:
        make, models, cases = FAMILIES[family]
        write_rows(FOLDER / f"{family}.json", [row_of(make, case) for case in cases])
        lines = [line for name in models for line in names_of(make, name)]
        (FOLDER / f"{family}.txt").write_text("\n".join(lines) + "\n")
    if not sys.argv[1:]:
        write_rows(FOLDER / "large" / "outputs.json",
                   [row_of(FAMILIES[family][0], case) for family, case in LARGE])


if __name__ == "__main__":
    main()
