#!/usr/bin/env python3
"""The CIFAR-10 CNN and an MLP on MNIST in PyTorch, as most people write it, and faster ways.

By default: eager, f32, a DataLoader over tensors that are in memory, Adam. Each option changes one
thing: --preloaded indexes the tensors without a DataLoader, --channels-last, --fused (Adam's fused
update), --bf16 (autocast), --compile. The last line of standard output is one JSON object.
"""
import argparse
import contextlib
import json
import pathlib
import resource
import sys
import time

import numpy
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import arrays  # noqa: E402


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = nn.Linear(64 * 8 * 8, 512)
        self.fc2 = nn.Linear(512, 10)

    def forward(self, x):
        x = nn.functional.max_pool2d(nn.functional.relu(self.conv1(x)), 2)
        x = nn.functional.max_pool2d(nn.functional.relu(self.conv2(x)), 2)
        return self.fc2(nn.functional.relu(self.fc1(torch.flatten(x, 1))))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 512)
        self.fc2 = nn.Linear(512, 512)
        self.fc3 = nn.Linear(512, 10)

    def forward(self, x):
        x = nn.functional.relu(self.fc1(torch.flatten(x, 1)))
        return self.fc3(nn.functional.relu(self.fc2(x)))


# name: (model, its data set)
MODELS = {"cnn": (Cnn, "cifar10"), "mlp": (Mlp, "mnist")}


def batches(images, labels, options):
    """An iterable of (images, labels) that starts a new epoch each time it is iterated."""
    if not options.preloaded:
        return DataLoader(TensorDataset(images, labels), batch_size=options.batch_size,
                          shuffle=True, num_workers=options.workers)

    class Preloaded:
        def __iter__(self):
            order = torch.randperm(len(images))
            for first in range(0, len(images), options.batch_size):
                rows = order[first:first + options.batch_size]
                yield images[rows], labels[rows]
    return Preloaded()


def evaluate(model, images, labels):
    """Mean loss and accuracy."""
    model.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for first in range(0, len(images), 256):
            output = model(images[first:first + 256])
            target = labels[first:first + 256]
            loss += nn.functional.cross_entropy(output.float(), target, reduction="sum").item()
            correct += (output.argmax(1) == target).sum().item()
    model.train()
    return loss / len(images), correct / len(images)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=MODELS, default="cnn")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--cache", type=pathlib.Path, required=True)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--max-steps", type=int, default=0, help="ends an epoch early; 0: never")
    for flag in ("preloaded", "channels-last", "fused", "bf16", "compile", "no-evaluation"):
        parser.add_argument("--" + flag, action="store_true")
    return parser.parse_args()


def main():
    options = parse()
    torch.manual_seed(options.seed)
    if options.threads:
        torch.set_num_threads(options.threads)
    build, name = MODELS[options.model]
    images, labels, test_images, test_labels = (
        torch.from_numpy(array) for array in arrays.load(name, options.data, options.cache))
    # Normalised by the training part, as wafer does.
    images = images.float() / 255
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3))
    images = (images - mean[:, None, None]) / std[:, None, None]
    test_images = (test_images.float() / 255 - mean[:, None, None]) / std[:, None, None]

    model = build()
    if options.channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
        test_images = test_images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.lr, fused=options.fused or None)
    forward = torch.compile(model) if options.compile else model
    precision = (lambda: torch.autocast("cpu", dtype=torch.bfloat16)) if options.bf16 \
        else contextlib.nullcontext

    epochs, step_seconds = [], []
    for epoch in range(options.epochs):
        epoch_start = time.perf_counter()
        loss_sum, correct, seen, steps = 0.0, 0, 0, 0
        for x, y in batches(images, labels, options):
            start = time.perf_counter()
            optimizer.zero_grad()
            with precision():
                output = forward(x)
                loss = nn.functional.cross_entropy(output, y)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(y)
            step_seconds.append(time.perf_counter() - start)
            correct += (output.detach().argmax(1) == y).sum().item()
            seen += len(y)
            steps += 1
            if steps == options.max_steps:
                break
        record = {"seconds": time.perf_counter() - epoch_start, "steps": steps,
                  "train_loss": loss_sum / seen, "train_accuracy": correct / seen}
        if not options.no_evaluation:
            record["test_loss"], record["test_accuracy"] = evaluate(model, test_images, test_labels)
        epochs.append(record)
        print(f"epoch {epoch + 1}: {record}", flush=True)

    milliseconds = numpy.array(step_seconds) * 1e3
    print(json.dumps({
        "framework": "PyTorch", "version": torch.__version__,
        "isa": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads(),
        "epochs": epochs,
        "epoch_ms_per_step": [1e3 * e["seconds"] / e["steps"] for e in epochs],
        "step_ms": {"p50": float(numpy.median(milliseconds)),
                    "p90": float(numpy.percentile(milliseconds, 90))},
        "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }))


if __name__ == "__main__":
    main()
