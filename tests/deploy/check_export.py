#!/usr/bin/env python3
"""Checks what `wafer export --onnx` writes with the onnx package and ONNX Runtime.

Every named model is exported with its first weights, checked by onnx.checker (with shape
inference), and run on random inputs by ONNX Runtime and by `wafer infer`, whose outputs are
compared, for a batch of 1 and of 3. With --ops, every case of the op tests is exported, too, and
its outputs compared with those of wafer's reference device.

Needs Python with numpy, onnx and onnxruntime, and a build of wafer. Exit code 1 when a model
fails. From the root of the repository:

    python3 tests/deploy/check_export.py                      # all models
    python3 tests/deploy/check_export.py --models cnn,lstm
    python3 tests/deploy/check_export.py --ops --models none
"""

import argparse
import collections
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime

TOLERANCE = 1e-5  # of the greatest output


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr else "failed")
    return done.stdout


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"])


def relative_error(got, expected):
    """The greatest difference, divided by the greatest expected value."""
    got, expected = numpy.asarray(got), numpy.asarray(expected)
    if got.shape != expected.shape or got.dtype != expected.dtype:
        raise RuntimeError(f"{got.dtype}{got.shape} in place of {expected.dtype}{expected.shape}")
    if got.size == 0:
        return 0.0
    got, expected = got.astype(numpy.float64), expected.astype(numpy.float64)
    same = (got == expected) | (numpy.isnan(got) & numpy.isnan(expected))
    if same.all():
        return 0.0
    finite = numpy.abs(expected[numpy.isfinite(expected)])
    largest = finite.max() if finite.size else 1.0
    return float(numpy.abs(got - expected)[~same].max() / max(largest, 1e-30))


def random_input(info, batch, generator, most):
    shape = [size if isinstance(size, int) else batch for size in info.shape]
    if "int64" in info.type:
        return generator.integers(0, most, shape, dtype=numpy.int64)
    return generator.standard_normal(shape, dtype=numpy.float32)


def fill_zeros(model, generator):
    """Weights that begin as 0, as ViT's last layer does, would make the comparison void."""
    for weight in model.graph.initializer:
        array = onnx.numpy_helper.to_array(weight)
        if array.dtype == numpy.float32 and array.size > 1 and not array.any():
            values = generator.standard_normal(array.shape, dtype=numpy.float32) * 0.05
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))


def check_model(wafer, name, opset, folder, generator):
    path = folder / "model.onnx"
    run(wafer, "export", name, "--onnx", path, "--opset", opset)
    model = onnx.load(str(path))
    if opset <= onnx.defs.onnx_opset_version():
        onnx.checker.check_model(str(path), full_check=True)
    fill_zeros(model, generator)
    onnx.save(model, str(path))
    session = session_of(path)
    info = session.get_inputs()[0]
    worst = 0.0
    for batch in (1, 3):
        x = random_input(info, batch, generator, 50)
        numpy.save(folder / "x.npy", x)
        run(wafer, "infer", path, folder / "x.npy", "--output", folder)
        expected = numpy.load(folder / "output.npy")
        if not expected.any():
            raise RuntimeError("all outputs are 0")
        worst = max(worst, relative_error(session.run(None, {info.name: x})[0], expected))
    return worst, len(model.graph.node)


def check_models(wafer, names, opsets, generator):
    failed = 0
    print(f"{'model':20} {'operator set':>12} {'nodes':>6} {'relative error':>15}")
    for name in names:
        for opset in opsets:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    error, nodes = check_model(wafer, name, opset, pathlib.Path(folder), generator)
                    wrong = not error <= TOLERANCE
                    text = f"{nodes:6} {error:15.1e}" + ("  WRONG" if wrong else "")
                except Exception as problem:  # of any of the three programs
                    wrong, text = True, f"{'':6} FAILED: {str(problem)[:300]}"
            failed += wrong
            print(f"{name:20} {opset:12} {text}", flush=True)
    return failed


# What the standard leaves open or ONNX Runtime does in a way of its own: casts of numbers that the
# integer type cannot hold, integer products beyond 64 bits, division of integers by 0, empty sums.
LEFT_OPEN = ("cast 'to ", "reduce_prod '", "matmul '3x0 by 0x2'", "scan 'of no steps'")
LACKS = ("NOT_IMPLEMENTED", "Could not find an implementation", "does not support double",
         "data type is not supported")
EPSILON = {"f64": 2.0**-52, "f32": 2.0**-23, "f16": 2.0**-10, "bf16": 2.0**-7}


def check_ops(program, opsets):
    failed = 0
    for opset in opsets:
        counts, notes = collections.Counter(), collections.defaultdict(list)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            run(program, "--write-onnx", folder, opset)
            for number, case in enumerate(json.loads((folder / "cases.json").read_text())):
                at = folder / str(number)
                label = f"{case['op']} '{case['case']}' of {case['dtype']}"
                try:
                    onnx.checker.check_model(str(at / "model.onnx"), full_check=True)
                except Exception as problem:
                    counts["refused by onnx.checker"] += 1
                    notes["refused by onnx.checker"].append(f"{label}: {problem}")
                    continue
                if not case["arrays"]:
                    counts["checked, not run (bf16 has no NumPy arrays)"] += 1
                    continue
                try:
                    session = session_of(at / "model.onnx")
                    feed = {info.name: numpy.load(at / f"{info.name}.npy")
                            for info in session.get_inputs()}
                    outputs = session.run(None, feed)
                except Exception as problem:
                    if any(text in str(problem) for text in LACKS):
                        kind = "no kernel in ONNX Runtime"
                    else:
                        is_open = label.startswith(LEFT_OPEN) or "modulo by zero" in str(problem)
                        kind = "left open" if is_open else "failed"
                    counts[kind] += 1
                    notes[kind].append(f"{label}: {str(problem)[:240]}")
                    continue
                try:
                    error = max(relative_error(y, numpy.load(at / f"y{i}.npy"))
                                for i, y in enumerate(outputs))
                except RuntimeError as problem:
                    error = float("nan")
                    label += f": {problem}"
                allowed = 64 * max(case["tolerance"], 4) * EPSILON.get(case["dtype"], 2.0**-23)
                kind = "equal" if error <= allowed else "differs"
                if kind == "differs" and label.startswith(LEFT_OPEN):
                    kind = "left open"
                counts[kind] += 1
                if kind == "differs":
                    notes[kind].append(f"{label}: {error:.1e}")
        print(f"operator set {opset}: " + ", ".join(f"{n} {k}" for k, n in counts.items()))
        for kind, lines in notes.items():
            if kind == "no kernel in ONNX Runtime":
                continue
            print(f"  {kind}:")
            for line in lines:
                print(f"    {line}")
        failed += counts["refused by onnx.checker"] + counts["failed"] + counts["differs"]
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release", help="the build's folder")
    parser.add_argument("--models", default="all", help="names with commas, all or none")
    parser.add_argument("--opsets", default="17,26", help="operator sets with commas")
    parser.add_argument("--ops", action="store_true", help="the cases of the op tests")
    arguments = parser.parse_args()
    build = pathlib.Path(arguments.build)
    wafer = build / "bin" / "wafer"
    opsets = [int(text) for text in arguments.opsets.split(",")]
    generator = numpy.random.default_rng(0)
    failed = 0
    if arguments.models == "all":
        lines = run(wafer, "models", "--json").splitlines()
        names = [model["name"] for model in json.loads(lines[-1])["models"]]
    else:
        names = [] if arguments.models == "none" else arguments.models.split(",")
    if names:
        failed += check_models(wafer, names, opsets, generator)
    if arguments.ops:
        failed += check_ops(build / "bin" / "test_op", opsets)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
