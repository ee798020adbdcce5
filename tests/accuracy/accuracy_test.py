#!/usr/bin/env python3
"""Trains a model on real data, as a user would, and checks what it reaches.

Usage: accuracy_test.py TRAINING [--wafer PROGRAM]. Exit code 77, as tests that are skipped have it,
where the data set or the device is absent. Needs the standard library alone.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

# What PyTorch 2.15 reaches with the CNN after 10 epochs of the same files.
PYTORCH_CIFAR10 = 0.698
SKIPPED = 77


class Wafer:
    def __init__(self, program, folder):
        self.program, self.folder, self.runs = program, folder, 0

    def call(self, *arguments):
        command = [str(part) for part in (self.program, *arguments)]
        print("+", " ".join(command), flush=True)
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout

    def train(self, *arguments):
        """Returns train's JSON; its `run` is the folder."""
        self.runs += 1
        run = self.folder / f"run-{self.runs}"
        out = self.call("train", *arguments, "--run", run, "--json")
        result = json.loads(out.strip().split("\n")[-1])
        print(f"  {result['test'] or result['validation']}, "
              f"{result['step_ms']['p50']:.2f} ms a step, "
              f"{sum(result['epoch_seconds']):.0f} s in epochs", flush=True)
        return result


def expect(what, value, least=None, most=None):
    fine = (least is None or value >= least) and (most is None or value <= most)
    bound = f"at least {least}" if least is not None else f"at most {most}"
    print(f"{what}: {value:.4f}, asked for {bound}{'' if fine else ': MISSED'}", flush=True)
    return fine


def cifar10(wafer):
    means = {}
    for precision in ("f32", "bf16"):
        accuracies = [
            wafer.train("cnn", "--data", "cifar10", "--epochs", 10, "--batch-size", 64, "--lr",
                        "1e-3", "--seed", seed, "--precision", precision)["test"]["accuracy"]
            for seed in range(3)]
        means[precision] = statistics.mean(accuracies)
    return (expect("mean test accuracy, f32", means["f32"], least=PYTORCH_CIFAR10 - 0.01) &
            expect("bf16 below f32", means["f32"] - means["bf16"], most=0.005))


def mnist(wafer):
    result = wafer.train("mlp", "--data", "mnist", "--epochs", 5, "--schedule", "one-cycle")
    return expect("test accuracy", result["test"]["accuracy"], least=0.98)


def fsdd(wafer):
    arguments = ("gru", "--data", "fsdd", "--epochs", 15, "--lr", "2e-3", "--schedule", "one-cycle")
    speakers = {speaker: wafer.train(*arguments, "--leave-out", speaker)["test"]["accuracy"]
                for speaker in ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")}
    for speaker, accuracy in speakers.items():
        print(f"leaving out {speaker}: {accuracy:.4f}")
    print(f"leaving one speaker out, mean: {statistics.mean(speakers.values()):.4f}")
    return expect("test accuracy, official split", wafer.train(*arguments)["test"]["accuracy"],
                  least=0.97)


def tiny_shakespeare(wafer):
    result = wafer.train("transformer", "--data", "tiny_shakespeare", "--batch-size", 32,
                         "--epochs", 9, "--lr", "2e-3", "--schedule", "one-cycle", "--clip-norm",
                         1, "--max-minutes", 10)
    text = wafer.call("infer", result["run"], "--prompt", "ROMEO:", "--length", 200)
    print(text)
    measured = result["validation"] or result["test"]
    return (expect("loss, nats a character", measured["loss"], most=1.6) &
            expect("characters written", len(text), least=200))


def opencl(wafer):
    devices = json.loads(wafer.call("devices", "--json").strip().split("\n")[-1])
    if not any(device["name"] == "opencl:0" for device in devices["devices"]):
        print("skipped: no OpenCL device here")
        sys.exit(SKIPPED)
    result = wafer.train("cnn", "--data", "cifar10", "--epochs", 10, "--batch-size", 64, "--lr",
                         "1e-3", "--device", "opencl:0")
    # One seed alone scatters by half a point.
    return expect("test accuracy", result["test"]["accuracy"], least=PYTORCH_CIFAR10 - 0.015)


TRAININGS = {"cifar10": cifar10, "mnist": mnist, "fsdd": fsdd,
             "tiny_shakespeare": tiny_shakespeare, "opencl": opencl}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("training", choices=TRAININGS)
    parser.add_argument("--wafer", default="build/release/bin/wafer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wafer = Wafer(options.wafer, pathlib.Path(folder))
        known = json.loads(wafer.call("data", "--json").strip().split("\n")[-1])
        name = "cifar10" if options.training == "opencl" else options.training
        if not any(each["name"] == name and each.get("found") for each in known["sets"]):
            print(f"skipped: no {name} here")
            sys.exit(SKIPPED)
        sys.exit(0 if TRAININGS[options.training](wafer) else 1)


if __name__ == "__main__":
    main()
