#!/usr/bin/env python3
"""Whether wafer and PyTorch train alike: the same weights, the same batch, 200 steps of Adam.

Writes PyTorch's first weights as safetensors and one batch of CIFAR-10 as its binary files, lets
`wafer import` and `wafer train --from` go on from there with a step an epoch, does the same in
PyTorch, and compares the loss before each step. The batch is all there is to train on, so that no
order of examples enters. Exits with 1 where the curves part. Runs in the peers' environment.
"""
import argparse
import contextlib
import csv
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy
import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import arrays  # noqa: E402
from common import default_data, last_json, precisions  # noqa: E402
from train_torch import Cnn  # noqa: E402


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--wafer", default="build/release/bin/wafer")
    parser.add_argument("--data", type=pathlib.Path, default=default_data() / "cifar10")
    parser.add_argument("--cache", type=pathlib.Path, default="build/peers")
    parser.add_argument("--precisions", nargs="*", choices=("f32", "bf16"), default=precisions())
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--tolerance", type=float, default=0,
                        help="greatest difference of the losses, as a share of the first loss; "
                        "0: 0.01 in f32, 0.05 in bf16")
    return parser.parse_args()


def write_safetensors(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        bytes_ = tensor.detach().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(bytes_)]}
        data += bytes_
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write_cifar(folder, images, labels):
    """The binary files of CIFAR-10: all images in the training part's five, two for the test."""
    folder.mkdir()
    records = [bytes([label]) + image.tobytes() for image, label in zip(images, labels)]
    for i, part in enumerate(numpy.array_split(numpy.arange(len(records)), 5)):
        (folder / f"data_batch_{i + 1}.bin").write_bytes(b"".join(records[n] for n in part))
    (folder / "test_batch.bin").write_bytes(records[0] + records[-1])


def ours(options, precision, folder, weights, mean, std):
    write_safetensors(folder / "start.safetensors", weights)
    as_text = lambda values: ",".join(repr(float(value)) for value in values)  # noqa: E731
    subprocess.run([options.wafer, "import", "--from", folder / "start.safetensors", "--model",
                    "cnn", "--mean", as_text(mean), "--std", as_text(std), "--output",
                    folder / "model.safetensors"], check=True, capture_output=True)
    last_json([options.wafer, "train", "--from", folder / "model.safetensors", "--data",
               folder / "data", "--epochs", options.steps, "--batch-size", options.examples,
               "--lr", "1e-3", "--precision", precision, "--run", folder / "run",
               "--json"])
    with open(folder / "run/metrics.csv", newline="") as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file)]


def theirs(options, precision, model, images, labels):
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    autocast = (lambda: torch.autocast("cpu", dtype=torch.bfloat16)) \
        if precision == "bf16" else contextlib.nullcontext
    losses = []
    for _ in range(options.steps):
        optimizer.zero_grad()
        with autocast():
            loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def agree(options, precision):
    torch.manual_seed(0)
    model = Cnn()
    # From all over the set, which is sorted by class.
    images, labels = (array[::len(array) // options.examples][:options.examples]
                      for array in arrays.load("cifar10", options.data, options.cache)[:2])
    x = torch.from_numpy(images).float() / 255
    mean, std = x.mean((0, 2, 3)), x.std((0, 2, 3))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_cifar(folder / "data", images, labels)
        a = ours(options, precision, folder, model.state_dict(), mean, std)
    x = (x - mean[:, None, None]) / std[:, None, None]
    b = theirs(options, precision, model, x, torch.from_numpy(labels))
    if len(a) != len(b):
        sys.exit(f"wafer ran {len(a)} steps of {len(b)}")
    worst = max(range(len(b)), key=lambda i: abs(a[i] - b[i]))
    apart = abs(a[worst] - b[worst]) / b[0]
    print(f"{precision}: losses of {len(b)} steps, wafer / PyTorch: " + ", ".join(
        f"{a[i]:.6f} / {b[i]:.6f} (step {i + 1})" for i in (0, len(b) // 4, len(b) - 1))
        + f"; furthest apart at step {worst + 1}: {a[worst]:.6f} / {b[worst]:.6f}, "
        f"{100 * apart:.3f} % of the first loss", flush=True)
    tolerance = options.tolerance or {"f32": 0.01, "bf16": 0.05}[precision]
    if not all(abs(x - y) <= tolerance * b[0] for x, y in zip(a, b)):  # nor where one is NaN
        sys.exit("the losses part")


def main():
    options = parse()
    for precision in options.precisions:
        agree(options, precision)


if __name__ == "__main__":
    main()
