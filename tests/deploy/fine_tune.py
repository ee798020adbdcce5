#!/usr/bin/env python3
"""Trains a ResNet-18, exports it to ONNX and trains the file further by `wafer train --from`.

German traffic signs (gtsrb) become two folders of images: one of the classes with even numbers,
one of the others. A ResNet-18 learns the first and is written by `wafer export --onnx`.

  - Going on: one step of `wafer train --from model.onnx` on all training images of the first folder
    has the loss that `wafer eval` gives for the original on the same images.
  - Fine-tuning: on the second folder, whose classes are others, `wafer train --from model.onnx`
    reaches a better accuracy on the test part than training from scratch with the same steps, for
    the better of two learning rates each.

Needs Python alone, a build of wafer and the data. Exit code 1 when one of the two does not hold, 77
when the data are not here. From the root of the repository:

    python3 tests/deploy/fine_tune.py
"""

import argparse
import collections
import csv
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

TOLERANCE = 1e-5  # relative, of the loss
MARGIN = 10  # percentage points that fine-tuning has to be better by
RATES = ("3e-4", "1e-3")
STEPS = ["--epochs", "3", "--batch-size", "32", "--schedule", "one-cycle"]


def find_archive(given):
    for folder in (given, os.environ.get("WAFER_DATA"), "../shared/data"):
        path = pathlib.Path(folder or ".") / "gtsrb" / "gtsrb32-jpeg.tar.xz"
        if folder and path.exists():
            return path
    return None


def write_folders(archive, folder):
    """Folders even/ and odd/, each with train/CLASS/ and test/CLASS/. Returns numbers of images."""
    most = {("even", "train"): 40, ("odd", "train"): 15, ("even", "test"): 15, ("odd", "test"): 15}
    images, counts = collections.defaultdict(list), collections.Counter()
    with tarfile.open(archive) as tar:
        for member in tar:  # in turn: an .xz file is slow to seek in
            name = member.name.removeprefix("./")
            if name.endswith(".jpg") or name == "test.csv":
                content = tar.extractfile(member).read()
                if name == "test.csv":
                    table = csv.DictReader(io.StringIO(content.decode()))
                    test_class = {row["path"]: int(row["class_id"]) for row in table}
                else:
                    images[name.split("/")[0]].append((name, content))
    for part in ("train", "test"):
        of_class = collections.defaultdict(list)
        for name, content in sorted(images[part]):
            number = int(name.split("/")[1]) if part == "train" else test_class[name]
            of_class[number].append((pathlib.Path(name).name, content))
        for number, members in of_class.items():
            half = ("even", "odd")[number % 2]
            wanted = most[half, part]
            step = max(1, len(members) // wanted)  # neighbours are frames of one track
            for name, content in members[::step][:wanted]:
                path = folder / half / part / f"{number:02}" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                counts[half, part] += 1
    for part in ("train", "test"):  # the same training images as both parts
        shutil.copytree(folder / "even" / "train", folder / "both" / part)
    return counts


class Wafer:
    def __init__(self, program):
        self.program = str(program)

    def __call__(self, *words):
        started = time.monotonic()
        # Threads that spin while they wait are slow where other programs run.
        environment = {"OMP_WAIT_POLICY": "passive"} | os.environ
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, text=True,
                              env=environment)
        if done.returncode != 0:
            sys.exit(f"wafer {' '.join(map(str, words))}: {done.stderr.strip()[-600:]}")
        seconds = time.monotonic() - started
        print(f"  {seconds:5.0f} s  wafer {' '.join(map(str, words))}", flush=True)
        return done.stdout

    def evaluate(self, run, *words):
        text = self("eval", run, *words, "--json").splitlines()[-1]
        return json.loads(text)["classification"]


def first_loss(run):
    with open(run / "metrics.csv", encoding="utf-8") as file:
        return float(next(csv.DictReader(file))["train_loss"])


def check_going_on(wafer, folder, images):
    """Whether the first step from the file has the original's loss; the relative difference."""
    original = wafer.evaluate(folder / "first", "--data", folder / "both")["log_loss"]
    run = folder / "step"
    wafer("train", "--from", folder / "model.onnx", "--data", folder / "both", "--epochs", 1,
          "--batch-size", images, "--run", run)
    got = first_loss(run)
    error = abs(got - original) / original
    print(f"loss of the original {original:.9g}, of the first step from its ONNX file {got:.9g}: "
          f"relative difference {error:.1e}")
    return error <= TOLERANCE


def best_of_rates(wafer, what, model, folder):
    accuracies = []
    for rate in RATES:
        run = folder / f"{what.replace(' ', '-')}-{rate}"
        wafer("train", *model, "--data", folder / "odd", *STEPS, "--lr", rate, "--run", run)
        accuracies.append(100 * wafer.evaluate(run)["accuracy"])
    print(f"{what}: accuracy " + ", ".join(
        f"{accuracy:.1f} % at --lr {rate}" for accuracy, rate in zip(accuracies, RATES)))
    return max(accuracies)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/release", help="the build's folder")
    parser.add_argument("--data", help="folder of data sets; default: WAFER_DATA, ../shared/data")
    arguments = parser.parse_args()
    archive = find_archive(arguments.data)
    if archive is None:
        print("skipped: gtsrb is not here; --data or WAFER_DATA names the folder of data sets")
        sys.exit(77)
    wafer = Wafer(pathlib.Path(arguments.build) / "bin" / "wafer")
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        counts = write_folders(archive, folder)
        print("images: " + ", ".join(f"{half}/{part} {n}" for (half, part), n in counts.items()))
        wafer("train", "resnet18", "--data", folder / "even", "--epochs", 8, "--batch-size", 32,
              "--lr", "2e-3", "--schedule", "one-cycle", "--run", folder / "first")
        accuracy = 100 * wafer.evaluate(folder / "first")["accuracy"]
        print(f"first: accuracy {accuracy:.1f} % on the classes with even numbers")
        wafer("export", folder / "first", "--onnx", folder / "model.onnx")
        equal = check_going_on(wafer, folder, counts["even", "train"])
        tuned = best_of_rates(wafer, "fine-tuned", ["--from", folder / "model.onnx"], folder)
        scratch_accuracy = best_of_rates(wafer, "from scratch", ["resnet18"], folder)
    better = tuned >= scratch_accuracy + MARGIN
    print(f"going on with equal loss: {'yes' if equal else 'NO'}; fine-tuned {tuned:.1f} %, from "
          f"scratch {scratch_accuracy:.1f} %: {'better' if better else 'NOT BETTER'} (by {MARGIN} "
          "points or more)")
    sys.exit(0 if equal and better else 1)


if __name__ == "__main__":
    main()
