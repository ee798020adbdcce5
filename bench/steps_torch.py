#!/usr/bin/env python3
"""Train steps and inference of named models in PyTorch, on made-up data that lies in memory.

Runs one model in one mode for some seconds; the last line of standard output is one JSON object.
Modes join with "+": eager, channels_last, compile (graphs: with CUDA graphs), bf16 (autocast), for
example "channels_last+bf16+compile". Training is forward, cross-entropy, backward and fused Adam.
"""
import argparse
import contextlib
import json
import resource
import time

import numpy
import torch
from torch import nn


class Recurrent(nn.Module):
    """wafer's `lstm`: layers over frames, the mean over time, a linear head."""

    def __init__(self, features, hidden, layers, outputs):
        super().__init__()
        self.rnn = nn.LSTM(features, hidden, layers, batch_first=True)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, x):
        return self.head(self.rnn(x)[0].mean(1))


class Encoder(nn.Module):
    """wafer's `transformer` as a classifier of frames."""

    def __init__(self, features, length, width, heads, layers, outputs):
        super().__init__()
        self.embedding = nn.Linear(features, width)
        self.positions = nn.Parameter(torch.randn(length, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, heads, 4 * width, dropout=0, activation="gelu",
                                           batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width),
                                             enable_nested_tensor=False)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(self.encoder(self.embedding(x) + self.positions).mean(1))


def resnet_cifar():
    import torchvision
    model = torchvision.models.resnet18(num_classes=10)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


def vision(name):
    import torchvision
    return getattr(torchvision.models, name)()


def cnn():
    return nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                         nn.Linear(4096, 512), nn.ReLU(), nn.Linear(512, 10))


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512),
                         nn.ReLU(), nn.Linear(512, 10))


# name: (how to build, shape of one input, classes)
MODELS = {
    "mlp": (mlp, (1, 28, 28), 10),
    "cnn": (cnn, (3, 32, 32), 10),
    "resnet18_cifar": (resnet_cifar, (3, 32, 32), 10),
    "resnet18": (lambda: vision("resnet18"), (3, 224, 224), 1000),
    "resnet50": (lambda: vision("resnet50"), (3, 224, 224), 1000),
    "mobilenet_v2": (lambda: vision("mobilenet_v2"), (3, 224, 224), 1000),
    "lstm": (lambda: Recurrent(128, 256, 2, 10), (64, 128), 10),
    "encoder": (lambda: Encoder(128, 128, 256, 8, 4, 10), (128, 128), 10),
}


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=MODELS, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--mode", default="eager")
    parser.add_argument("--infer", action="store_true")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--onnx", help="writes the model there instead of running it")
    return parser.parse_args()


def main():
    options = parse()
    torch.manual_seed(0)
    build, shape, classes = MODELS[options.model]
    model = build()
    x = torch.randn(options.batch_size, *shape)
    y = torch.randint(classes, (options.batch_size,))
    if options.onnx:
        torch.onnx.export(model.eval(), (x,), options.onnx, dynamo=False)
        return
    mode = set(options.mode.split("+"))
    on_gpu = options.device != "cpu"
    model, x, y = model.to(options.device), x.to(options.device), y.to(options.device)
    if "channels_last" in mode:
        model = model.to(memory_format=torch.channels_last)
        x = x.contiguous(memory_format=torch.channels_last)
    precision = (lambda: torch.autocast(options.device, dtype=torch.bfloat16)) if "bf16" in mode \
        else contextlib.nullcontext
    model.train(not options.infer)
    run = torch.compile(model, mode="reduce-overhead") if "graphs" in mode else \
        torch.compile(model) if "compile" in mode else model
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def train():
        optimizer.zero_grad()
        with precision():
            loss = nn.functional.cross_entropy(run(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    def infer():
        with torch.inference_mode(), precision():
            y = run(x)
            if on_gpu:
                torch.cuda.synchronize()
            return y

    step = infer if options.infer else train
    for _ in range(3):
        step()
    seconds = []
    end = time.perf_counter() + options.seconds
    while len(seconds) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({
        "framework": "PyTorch", "version": torch.__version__, "threads": torch.get_num_threads(),
        "ms": float(numpy.median(seconds)) * 1e3, "runs": len(seconds),
        "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))


if __name__ == "__main__":
    main()
