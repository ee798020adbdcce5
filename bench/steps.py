#!/usr/bin/env python3
"""Train steps and inference of named models: wafer against the best of its peers, in turns.

Each peer first runs once in every mode; the fastest runs in turns with wafer (ours, theirs, ours,
...), and the ratio theirs / ours is taken within each round, so above 1 we are faster. All run on
made-up data that lies in memory. f32 rows allow no lower precision on either side. Writes a section
of docs/benchmarks.md where asked to. Needs the standard library alone.
"""
import argparse
import datetime
import os
import pathlib
import statistics
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from common import (ROOT, commit, distances_text, last_json, machine, precisions,  # noqa: E402
                    renew, spread)

SEQUENCE = "-o input=64x128 -o hidden=256 -o layers=2"
ENCODER = ("-o input=128x128 -o vocabulary=0 -o outputs=10 -o task=classification -o width=256 "
           "-o heads=8 -o layers=4 -o feedforward=1024")
# name of the peer's model: (wafer's arguments, batch in training, batches in inference)
MODELS = {
    "mlp": ("mlp -o input=1x28x28 -o hidden=512,512", 64, []),
    "cnn": ("cnn", 64, []),
    "resnet18_cifar": ("resnet18 -o stem=cifar -o input=3x32x32 -o outputs=10", 64, []),
    "resnet18": ("resnet18", None, [1, 32]),
    "resnet50": ("resnet50", 16, [1, 32]),
    "mobilenet_v2": ("mobilenet_v2", None, [1, 32]),
    "lstm": (f"lstm {SEQUENCE}", 64, [1, 32]),
    "encoder": (f"transformer {ENCODER}", 16, [1, 32]),
}
TORCH_MODES = {"f32": ["eager", "channels_last", "compile"],
               "bf16": ["bf16", "channels_last+bf16", "bf16+compile"]}
SEQUENCES = {"lstm", "encoder"}  # their inputs have no channels to lay last
GPU_MODES = {"f32": ["eager", "channels_last+compile", "graphs"],
             "bf16": ["channels_last+bf16+compile", "channels_last+bf16+graphs"]}


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--wafer", default="build/release/bin/wafer")
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--device", default="cpu", help="wafer's device: cpu or cuda:0")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--work", nargs="*", choices=("train", "infer"), default=["train", "infer"])
    parser.add_argument("--precisions", nargs="*", choices=TORCH_MODES,
                        help="those that the processor multiplies in hardware; all on a GPU")
    parser.add_argument("--document", type=pathlib.Path, help="docs/benchmarks.md, to renew it")
    options = parser.parse_args()
    if options.precisions is None:
        options.precisions = precisions() if options.device == "cpu" else list(TORCH_MODES)
    if options.document and options.device != "cpu":
        parser.error("--document has sections of cpus alone")
    return options


class Bench:
    def __init__(self, options):
        self.options = options
        self.versions = set()
        self.distances = []

    def ours(self, model, work, batch, precision):
        command = [self.options.wafer, "bench", *MODELS[model][0].split(), "--batch-size", batch,
                   "--device", self.options.device, f"--{work}", "--precision", precision,
                   "--seconds", self.options.seconds, "--json"]
        result = last_json(command)
        if "thread_round_trip_ns" in result:
            self.distances.append(result["thread_round_trip_ns"])
        return result["step_ms"]["p50"]

    def torch(self, model, work, batch, mode):
        command = [self.options.peer_python, "bench/steps_torch.py", "--model", model,
                   "--batch-size", batch, "--mode", mode, "--seconds", self.options.seconds,
                   "--device", self.options.device.split(":")[0]]
        return self.peer(command + (["--infer"] if work == "infer" else []))

    def onnx(self, model, batch, framework, mode):
        path = ROOT / "build/peers" / f"{model}-{batch}.onnx"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run([self.options.peer_python, "bench/steps_torch.py", "--model", model,
                            "--batch-size", str(batch), "--onnx", path], cwd=ROOT, check=True)
        return self.peer([self.options.peer_python, "bench/steps_onnx.py", path, "--framework",
                          framework, "--mode", mode, "--seconds", self.options.seconds])

    def peer(self, command):
        result = last_json(command)
        self.versions.add(f"{result['framework']} {result['version']}")
        return result["ms"]

    def peers(self, model, work, batch, precision):
        """Name and how to run it, of each way in which peers do this work."""
        modes = (TORCH_MODES if self.options.device == "cpu" else GPU_MODES)[precision]
        if model in SEQUENCES:
            modes = list(dict.fromkeys(mode.removeprefix("channels_last+") for mode in modes
                                       if mode != "channels_last"))
        ways = {f"PyTorch {mode}": lambda mode=mode: self.torch(model, work, batch, mode)
                for mode in modes}
        if work == "infer" and self.options.device == "cpu":
            ways[f"OpenVINO {precision}"] = lambda: self.onnx(model, batch, "openvino", precision)
            if precision == "f32":
                ways["ONNX Runtime"] = lambda: self.onnx(model, batch, "onnxruntime", precision)
        return ways

    def row(self, model, work, batch, precision):
        ways = self.peers(model, work, batch, precision)
        first = {name: run() for name, run in ways.items()}
        best = min(first, key=first.get)
        ours, theirs, ratios = [], [], []
        for _ in range(self.options.rounds):
            ours.append(self.ours(model, work, batch, precision))
            theirs.append(ways[best]())
            ratios.append(theirs[-1] / ours[-1])
        print(f"{work} {model}, batch {batch}, {precision}: ours {spread(ours)} ms, {best} "
              f"{spread(theirs)} ms, ratio {spread(ratios)}; once each: "
              + ", ".join(f"{name} {ms:.2f}" for name, ms in first.items())
              + f"; load {os.getloadavg()[0]:.1f}."
              + distances_text(self.distances[-self.options.rounds:]), flush=True)
        return statistics.median(ratios), (f"| {work} {model}, batch {batch} | {precision} | "
                                           f"{spread(ours)} | {best} | {spread(theirs)} | "
                                           f"**{spread(ratios)}** |")


def main():
    options = parse()
    bench = Bench(options)
    lines, inference = [], []
    for work in options.work:
        for model in options.models:
            _, training, batches = MODELS[model]
            for batch in [training] * (training is not None) if work == "train" else batches:
                for precision in options.precisions:
                    ratio, line = bench.row(model, work, batch, precision)
                    lines.append(line)
                    if work == "infer":
                        inference.append(ratio)
    text = [f"Measured {datetime.date.today()} at {commit()} on {machine()}."
            f"{distances_text(bench.distances)}",
            f"Peers: {', '.join(sorted(bench.versions))}. {options.rounds} rounds, in turns; "
            "milliseconds, median (least to greatest) of the rounds' medians.", "",
            "| Work | precision | wafer, ms | fastest peer | its ms | peer / wafer |",
            "|---|---|---|---|---|---|", *lines]
    if inference:
        text += ["", f"Inference: geometric mean of the ratios "
                 f"{statistics.geometric_mean(inference):.2f}, worst row {min(inference):.2f}."]
    text = "\n".join(text)
    print(text)
    if options.document:
        renew(options.document, "steps", text)


if __name__ == "__main__":
    main()
