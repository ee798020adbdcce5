#!/usr/bin/env python3
"""Moves weights between wafer and PyTorch and back, as safetensors, and compares bits and outputs.

For each model that torchvision has, too, and for classes of PyTorch with the names of wafer's mlp,
cnn, lstm and gru, once from wafer's first weights and once from PyTorch's own random ones:

    wafer -> safetensors -> PyTorch -> safetensors -> wafer -> safetensors
    PyTorch -> safetensors -> wafer -> safetensors -> PyTorch

Names, shapes and bytes of all weights must be the same in every file; PyTorch's outputs and those
of wafer must agree to 1e-5 of the greatest output. wafer's outputs are those of the model as `wafer
export --onnx` writes it, run by `wafer infer`, since that takes arrays of any values.

Needs Python with numpy, torch, torchvision and safetensors, and a build of wafer. Exit code 1 when
a model fails. From the root of the repository:

    python3 tests/deploy/check_weights.py
    python3 tests/deploy/check_weights.py --models cnn,resnet50
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy
import safetensors.torch
import torch
import torchvision

NAMES = [
    "mlp", "cnn", "lstm", "gru", "alexnet", "vgg11", "vgg13_bn", "vgg16", "vgg19_bn", "resnet18",
    "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "wide_resnet50_2",
    "squeezenet1_0", "squeezenet1_1", "densenet121", "densenet169", "densenet201", "mobilenet_v2",
    "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "efficientnet_b1",
    "efficientnet_b2", "efficientnet_b3", "vit_b_16", "vit_b_32",
]
SIZES = {"efficientnet_b1": 240, "efficientnet_b2": 288, "efficientnet_b3": 300}
TOLERANCE = 1e-5  # of the greatest output


class Mlp(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = torch.nn.Linear(784, 512)
        self.fc2 = torch.nn.Linear(512, 256)
        self.fc3 = torch.nn.Linear(256, 10)

    def forward(self, x):
        return self.fc3(self.fc2(self.fc1(x.flatten(1)).relu()).relu())


class Cnn(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 32, 3, padding=1)
        self.conv2 = torch.nn.Conv2d(32, 64, 3, padding=1)
        self.fc1 = torch.nn.Linear(4096, 512)
        self.fc2 = torch.nn.Linear(512, 10)

    def forward(self, x):
        pool = torch.nn.functional.max_pool2d
        h = pool(self.conv2(pool(self.conv1(x).relu(), 2)).relu(), 2)
        return self.fc2(self.fc1(h.flatten(1)).relu())


class Recurrent(torch.nn.Module):
    """Reads the mean over time."""

    def __init__(self, layer):
        super().__init__()
        self.rnn = layer(40, 128, 2, batch_first=True)
        self.head = torch.nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.rnn(x)[0].mean(1))


def make(name):
    """A model of PyTorch with random weights and running statistics, and an input of two."""
    torch.manual_seed(0)
    own = {"mlp": (Mlp, [1, 28, 28]), "cnn": (Cnn, [3, 32, 32]),
           "lstm": (lambda: Recurrent(torch.nn.LSTM), [61, 40]),
           "gru": (lambda: Recurrent(torch.nn.GRU), [61, 40])}
    if name in own:
        build, shape = own[name]
        model = build()
    else:
        model = getattr(torchvision.models, name)(weights=None)
        shape = [3] + [SIZES.get(name, 224)] * 2
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.8, 1.2)
        for parameter in model.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, 0, 0.05)
    return model.eval(), torch.randn([2] + shape)


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(" ".join(str(part) for part in command[1:3]) + ": "
                           + (done.stderr.strip().splitlines() or ["failed"])[-1])


class Wafer:
    def __init__(self, program, folder, x):
        self.program, self.folder = program, folder
        numpy.save(folder / "x.npy", x.numpy())

    def export(self, model, name):
        """Weights and outputs of a model's name or file."""
        weights, onnx = self.folder / f"{name}.safetensors", self.folder / f"{name}.onnx"
        run(self.program, "export", model, "--weights", weights, "--onnx", onnx)
        run(self.program, "infer", onnx, self.folder / "x.npy", "--output", self.folder)
        onnx.unlink()
        return weights, numpy.load(self.folder / "output.npy")

    def load(self, weights, model):
        made = self.folder / "model.safetensors"
        run(self.program, "import", "--from", weights, "--model", model, "--output", made)
        return made


def same_bits(first, second):
    """How many tensors two files hold, which must be equal in name, type, shape and bytes."""
    first, second = safetensors.torch.load_file(first), safetensors.torch.load_file(second)
    if first.keys() != second.keys():
        raise RuntimeError(f"names differ: {sorted(first.keys() ^ second.keys())[:4]}")
    for name, a in first.items():
        b = second[name]
        if a.dtype != b.dtype or a.shape != b.shape or a.numpy().tobytes() != b.numpy().tobytes():
            raise RuntimeError(f"'{name}' differs")
    return len(first)


def in_torch(model, weights, x, to):
    """PyTorch's outputs with the file's weights, which are saved again."""
    model.load_state_dict(safetensors.torch.load_file(weights), strict=True)
    safetensors.torch.save_file(model.state_dict(), to)
    with torch.no_grad():
        return model(x).numpy()


def difference(a, b):
    largest = numpy.abs(b).max()
    return float(numpy.abs(a - b).max() / (largest if largest > 0 else 1.0))


def check(program, name, folder):
    model, x = make(name)
    wafer = Wafer(program, folder, x)
    back = folder / "torch.safetensors"
    safetensors.torch.save_file(model.state_dict(), folder / "start.safetensors")
    with torch.no_grad():
        of_torch = model(x).numpy()
    # From PyTorch.
    there, of_wafer = wafer.export(wafer.load(folder / "start.safetensors", name), "there")
    tensors = same_bits(folder / "start.safetensors", there)
    error = difference(of_wafer, of_torch)
    if not (in_torch(model, there, x, back) == of_torch).all():
        raise RuntimeError("PyTorch's outputs changed")
    # From wafer.
    first, of_wafer = wafer.export(name, "first")
    error = max(error, difference(of_wafer, in_torch(model, first, x, back)))
    same_bits(first, back)
    again, of_wafer_again = wafer.export(wafer.load(back, name), "again")
    same_bits(first, again)
    return tensors, error, difference(of_wafer_again, of_wafer)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release", help="the build's folder")
    parser.add_argument("--models", default=",".join(NAMES), help="names with commas")
    arguments = parser.parse_args()
    program = pathlib.Path(arguments.build) / "bin" / "wafer"
    failed = 0
    print(f"{'model':20} {'tensors':>7}  bits   {'wafer-PyTorch':>13} {'wafer-wafer':>12}")
    for name in arguments.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            try:
                tensors, error, again = check(program, name, pathlib.Path(folder))
                wrong = not (error <= TOLERANCE and again == 0)
                text = f"{tensors:7}  equal  {error:13.1e} {again:12.1e}" + "  WRONG" * wrong
            except Exception as problem:  # of either program
                wrong, text = True, f"FAILED: {str(problem)[:300]}"
        failed += wrong
        print(f"{name:20} {text}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
