#!/usr/bin/env python3
"""Checks what `wafer export --onnx` writes with the onnx package and ONNX Runtime.

Every named model is exported with its first weights, checked by onnx.checker (with shape
inference), and run on random inputs by ONNX Runtime and by `wafer infer`, whose outputs are
compared, for a batch of 1 and of 3 of one file. With --layers, so is every layer type of model
files. With --ops, every case of the op tests is exported, too, and its outputs compared with those
of wafer's reference device. Last, a change of 1 % in one layer has to be noticed.

Needs Python with numpy, onnx and onnxruntime, which scripts/setup.sh installs, and a build of
wafer. Exit code 1 when a model fails. From the root of the repository:

    run() { build/dependencies/onnxruntime/bin/python tests/deploy/check_export.py "$@"; }
    run                           # all models
    run --small --layers --ops
    run --models cnn,lstm
    run --models none --ops
"""

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime

TOLERANCE = 1e-5  # of the greatest output


def scratch_folder():
    """Thousands of files are written, each safe from a crash: in memory where there is room."""
    memory = "/dev/shm"
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 << 30:
        return memory
    return None


SCRATCH = scratch_folder()

# Models of layers, one after another, which together have every type: the shape of an input and
# lines of `type key=value ...`; what lies inside `residual` is indented.
LAYERS = {
    "1d": ("[4, 40]", """
        conv1d out=6 kernel=3 stride=2 padding=1 groups=2
        batch_norm
        relu
        conv_transpose1d out=4 kernel=3 stride=2 padding=1 output_padding=1
        max_pool1d kernel=3 stride=2 padding=1
        avg_pool1d kernel=3 stride=1 padding=1 count_padding=true
        adaptive_avg_pool1d size=8
        adaptive_max_pool1d size=4
        flatten
        linear"""),
    "2d": ("[4, 33, 29]", """
        conv2d out=6 kernel=3 padding="same" dilation=2 bias=false
        batch_norm
        relu6
        conv_transpose2d out=4 kernel=3 stride=2 padding=1 output_padding=1
        max_pool2d kernel=3 stride=2 ceil_mode=true
        avg_pool2d kernel=3 stride=2 padding=1 ceil_mode=true
        adaptive_avg_pool2d size=8
        adaptive_max_pool2d size=4
        flatten
        linear"""),
    "3d": ("[2, 12, 12, 12]", """
        conv3d out=4 kernel=3 stride=2 padding=1
        conv_transpose3d out=4 kernel=2 stride=2
        max_pool3d kernel=2 stride=1
        avg_pool3d kernel=3 stride=2
        adaptive_avg_pool3d size=4
        adaptive_max_pool3d size=2
        flatten start=1 end=2
        flatten
        linear"""),
    "norms": ("[8, 6, 6]", """
        residual
          conv2d out=8 kernel=3 padding="same"
          group_norm groups=4
          dropout probability=0.5
          stochastic_depth probability=0.5
        layer_norm
        conv2d out=8 kernel=1
        rms_norm
        flatten
        linear"""),
    "activations": ("[24]", """
        linear out=24
        silu
        linear out=24
        tanh
        linear out=24
        sigmoid
        linear out=24
        leaky_relu negative_slope=0.2
        linear out=24
        elu alpha=0.5
        linear out=24
        softplus
        linear out=24
        hard_sigmoid
        linear out=24
        hard_swish
        linear out=24
        gelu
        linear out=24
        gelu approximate=true
        linear"""),
    "tokens": ("[9]", """
        embedding entries=50 width=8
        positional_embedding length=9
        sinusoidal_positions
        transformer_encoder_layer heads=2 feedforward=16 activation="relu"
        transformer_encoder layers=2 heads=2 feedforward=16 norm_first=true causal=true
        mean_over_time
        linear"""),
    "rnn": ("[9, 5]", """
        rnn hidden=6 layers=2
        lstm hidden=5 bidirectional=true
        gru hidden=4 layers=2 bidirectional=true
        last_step
        linear"""),
}


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr else "failed")
    return done.stdout


def session_of(path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1  # a pool of threads for each of thousands of sessions is dear
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
    filled = 0
    for weight in model.graph.initializer:
        array = onnx.numpy_helper.to_array(weight)
        if array.dtype == numpy.float32 and array.size > 1 and not array.any():
            values = generator.standard_normal(array.shape, dtype=numpy.float32) * 0.05
            weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
            filled += 1
    return filled


def layers_toml(shape, lines):
    vocabulary = "vocabulary = 50\n" if "embedding " in lines else ""
    text = f"input = {shape}\noutputs = 4\n{vocabulary}"
    for line in lines.strip("\n").splitlines():
        path = "layer.layer" if line.startswith(" " * 10) else "layer"
        kind, *keys = line.split()
        text += f'[[{path}]]\ntype = "{kind}"\n' + "".join(f"{key}\n" for key in keys)
    return text


def known_layer_types(wafer, folder):
    """What wafer lists when it meets a type that is none."""
    (folder / "model.toml").write_text('input = [1]\n[[layer]]\ntype = "none"\n')
    done = subprocess.run([str(wafer), "check", str(folder / "model.toml")], capture_output=True,
                          text=True)
    return set(done.stderr.strip().split("there are ")[1].split(", "))


def small_options(name):
    """Options that make a named model fast and leave all its layers."""
    if name in ("mlp", "cnn", "rnn", "lstm", "gru", "transformer"):
        return {}
    if name in ("bert_base", "gpt2"):
        options = {"input": "16", "vocabulary": "100", "width": "48"}
        return options | ({"feedforward": "96"} if name == "bert_base" else {})
    if name == "unet":
        return {"input": "3x32x32", "width": "8"}
    options = {"input": "3x64x64", "outputs": "10"}
    if name.startswith(("alexnet", "vgg")):
        options["hidden"] = "32"
    if name.startswith("vit_"):
        options |= {"width": "48", "feedforward": "96"}
    return options


def check_model(wafer, model_words, opset, folder, generator, spoil=False):
    """The greatest relative error, and the number of nodes."""
    path = folder / "model.onnx"
    run(wafer, "export", *model_words, "--onnx", path, "--opset", opset)
    model = onnx.load(str(path))
    if opset <= onnx.defs.onnx_opset_version():
        onnx.checker.check_model(str(path), full_check=True)
    if fill_zeros(model, generator):
        onnx.save(model, str(path))
    session = session_of(path)
    info = session.get_inputs()[0]
    for each in (info, session.get_outputs()[0]):
        if each.shape[0] != "batch":
            raise RuntimeError(f"'{each.name}' has no symbolic batch: {each.shape}")
    if spoil:
        weight = next(w for w in model.graph.initializer if len(w.dims) > 1)
        array = onnx.numpy_helper.to_array(weight) * numpy.float32(1.01)
        weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
        onnx.save(model, str(path))
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


def check_models(wafer, models, opsets, generator):
    """models: (name, words for wafer export)."""
    failed = 0
    print(f"{'model':20} {'operator set':>12} {'nodes':>6} {'relative error':>15}")
    for name, words in models:
        for opset in opsets:
            with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
                try:
                    error, nodes = check_model(wafer, words, opset, pathlib.Path(folder), generator)
                    wrong = not error <= TOLERANCE
                    text = f"{nodes:6} {error:15.1e}" + ("  WRONG" if wrong else "")
                except Exception as problem:  # of any of the three programs
                    wrong, text = True, f"{'':6} FAILED: {str(problem)[:300]}"
            failed += wrong
            print(f"{name:20} {opset:12} {text}", flush=True)
    return failed


def check_layers(wafer, opsets, generator):
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        folder = pathlib.Path(folder)
        models, types = [], set()
        for name, (shape, lines) in LAYERS.items():
            path = folder / f"{name}.toml"
            path.write_text(layers_toml(shape, lines))
            models.append((f"layers {name}", [path]))
            types |= {line.split()[0] for line in lines.strip().splitlines()}
        failed = check_models(wafer, models, opsets, generator)
        left_out = known_layer_types(wafer, folder) - types
    if left_out:
        print("layer types that no model here has: " + ", ".join(sorted(left_out)))
    return failed + len(left_out)


def check_notices_a_change(wafer, opset, generator):
    """ONNX Runtime and wafer get files that differ by 1 % in the weights of one layer."""
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        error, _ = check_model(wafer, ["mlp"], opset, pathlib.Path(folder), generator, spoil=True)
    noticed = error > TOLERANCE
    print(f"one layer of mlp changed by 1 %: {error:.1e}" + ("" if noticed else "  NOT NOTICED"))
    return 0 if noticed else 1


# What the standard leaves open or ONNX Runtime does in a way of its own: casts of numbers that the
# integer type cannot hold, integer products beyond 64 bits, division of integers by 0, empty sums,
# sequences of no steps, digits of a sigmoid that is nearly 0.
LEFT_OPEN = re.compile("cast 'to |reduce_prod '|matmul '3x0 by 0x2'|.*no steps'|sigmoid 'far ")
ABORTS = ("lstm 'no batches'", "gru 'no batches'", "gru 'no steps'")  # ends the whole process
LACKS = ("NOT_IMPLEMENTED", "Could not find an implementation", "does not support double",
         "data type is not supported")
EPSILON = {"f64": 2.0**-52, "f32": 2.0**-23, "f16": 2.0**-10, "bf16": 2.0**-7}


def check_ops(program, opsets, seed):
    failed = 0
    for opset in opsets:
        counts, notes = collections.Counter(), collections.defaultdict(list)
        with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
            folder = pathlib.Path(folder)
            run(program, f"--gtest_random_seed={seed}", "--write-onnx", folder, opset)
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
                if label.startswith(ABORTS):
                    counts["checked, not run (ONNX Runtime aborts)"] += 1
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
                        is_open = LEFT_OPEN.match(label) or "modulo by zero" in str(problem)
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
                if kind == "differs" and LEFT_OPEN.match(label):
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
    parser.add_argument("--small", action="store_true", help="models of small inputs and widths")
    parser.add_argument("--opsets", default="17,27", help="operator sets with commas")
    parser.add_argument("--layers", action="store_true", help="every layer type of model files")
    parser.add_argument("--ops", action="store_true", help="the cases of the op tests")
    parser.add_argument("--seed", type=int, default=1, help="of inputs, 1 to 99999")
    arguments = parser.parse_args()
    build = pathlib.Path(arguments.build)
    wafer = build / "bin" / "wafer"
    opsets = [int(text) for text in arguments.opsets.split(",")]
    generator = numpy.random.default_rng(arguments.seed)
    failed = 0
    if arguments.models == "all":
        lines = run(wafer, "models", "--json").splitlines()
        names = [model["name"] for model in json.loads(lines[-1])["models"]]
    else:
        names = [] if arguments.models == "none" else arguments.models.split(",")
    models = []
    for name in names:
        options = small_options(name) if arguments.small else {}
        models.append((name, [name] + [f"--option={key}={value}"
                                       for key, value in options.items()]))
    if models:
        failed += check_models(wafer, models, opsets, generator)
    if arguments.layers:
        failed += check_layers(wafer, opsets, generator)
    if arguments.ops:
        failed += check_ops(build / "bin" / "test_op", opsets, arguments.seed)
    failed += check_notices_a_change(wafer, opsets[0], generator)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
