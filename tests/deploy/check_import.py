#!/usr/bin/env python3
"""Compares models of torchvision, exported to ONNX by PyTorch, in wafer, PyTorch and ONNX Runtime.

Each model gets random weights (and random running statistics, so that no batch norm is trivial),
is exported by torch.onnx.export with a symbolic batch, and run on the same random input by the
three. Printed are the greatest differences, divided by the greatest output.

Needs Python with numpy, torch, torchvision, onnx, onnxscript and onnxruntime, and a build of wafer.
Exit code 1 when a model fails or differs by more than 1e-4. From the root of the repository:

    python3 tests/deploy/check_import.py
    python3 tests/deploy/check_import.py --models resnet18,swin_t --exporter torchscript
"""

import argparse
import contextlib
import io
import logging
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy
import onnx
import onnxruntime
import torch
import torchvision

MODELS = [
    "alexnet", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn",
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d",
    "wide_resnet50_2", "squeezenet1_0", "squeezenet1_1", "densenet121", "mobilenet_v2",
    "mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "efficientnet_v2_s",
    "shufflenet_v2_x1_0", "mnasnet1_0", "regnet_y_400mf", "regnet_x_400mf", "convnext_tiny",
    "googlenet", "inception_v3", "vit_b_16", "vit_b_32", "swin_t", "maxvit_t",
]
TOLERANCE = 1e-4


@torch.no_grad()
def make_model(name):
    torch.manual_seed(0)
    options = {"weights": None}
    if name in ("googlenet", "inception_v3"):
        options.update(aux_logits=False, init_weights=False)
    model = getattr(torchvision.models, name)(**options).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.8, 1.2)
            torch.nn.init.uniform_(module.weight, 0.8, 1.2)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    for parameter in model.parameters():
        if not parameter.any():  # as the last layer of ViT begins, whose outputs would all be 0
            torch.nn.init.normal_(parameter, 0, 0.05)
    return model


def export(model, x, path, exporter):
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        if exporter == "torchscript":
            torch.onnx.export(model, (x,), str(path), dynamo=False, opset_version=17,
                              input_names=["x"], output_names=["y"],
                              dynamic_axes={"x": {0: "batch"}})
        else:
            torch.onnx.export(model, (x,), str(path), dynamo=True, external_data=False,
                              input_names=["x"], output_names=["y"],
                              dynamic_shapes=({0: torch.export.Dim("batch")},))


def run_wafer(wafer, path, x, folder):
    numpy.save(folder / "x.npy", x)
    done = subprocess.run([str(wafer), "infer", str(path), str(folder / "x.npy"), "--output",
                           str(folder)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError("wafer: " + done.stderr.strip()[-300:])
    return numpy.load(folder / "y.npy")


def relative_error(got, expected):
    if got.shape != expected.shape:
        raise RuntimeError(f"{got.shape} in place of {expected.shape}")
    return float(numpy.abs(got - expected).max() / numpy.abs(expected).max())


def check(wafer, name, exporter, folder):
    model = make_model(name)
    size = 299 if name == "inception_v3" else 224
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    path = folder / "model.onnx"
    export(model, x, path, exporter)
    with torch.no_grad():
        of_torch = model(x).numpy()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    of_onnxruntime = session.run(None, {"x": x.numpy()})[0]
    of_wafer = run_wafer(wafer, path, x.numpy(), folder)
    file = onnx.load(str(path), load_external_data=False)
    return (relative_error(of_wafer, of_torch), relative_error(of_wafer, of_onnxruntime),
            relative_error(of_onnxruntime, of_torch), file.opset_import[0].version,
            len(file.graph.node))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release", help="the build's folder")
    parser.add_argument("--models", default=",".join(MODELS), help="names with commas")
    parser.add_argument("--exporter", default="dynamo", choices=["dynamo", "torchscript"])
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    wafer = pathlib.Path(arguments.build) / "bin" / "wafer"
    failed = 0
    print(f"{'model':20} {'set':>3} {'nodes':>6} {'wafer-PyTorch':>14} {'wafer-ORT':>10} "
          f"{'ORT-PyTorch':>12}")
    for name in arguments.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            try:
                torch_error, ort_error, peers, opset, nodes = check(
                    wafer, name, arguments.exporter, pathlib.Path(folder))
                wrong = not max(torch_error, ort_error) <= TOLERANCE
                text = (f"{opset:3} {nodes:6} {torch_error:14.1e} {ort_error:10.1e} "
                        f"{peers:12.1e}" + ("  WRONG" if wrong else ""))
            except Exception as problem:  # of any of the programs
                wrong, text = True, f"FAILED: {str(problem)[:400]}"
        failed += wrong
        print(f"{name:20} {text}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
