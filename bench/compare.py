#!/usr/bin/env python3
"""Runs a training with wafer and with a peer in turns, and writes down how they compare.

Turns (ours, theirs, ours, theirs, ...) so that a machine that changes its mind hits both. What is
compared is the mean milliseconds a step over the last whole epoch, data included; the ratio
theirs / ours is taken within each round, so above 1 we are faster. Writes a section of
docs/benchmarks.md where asked to. Needs the standard library alone.
"""
import argparse
import datetime
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from common import (commit, default_data, distances_text, last_json, machine,  # noqa: E402
                    precisions, renew, spread, thread_distance)


BEST = "--preloaded --fused"
# Of each work: its section of the document, wafer's arguments, the data set, how many examples an
# epoch has, and comparisons, PRECISION:OPTIONS, which are wafer's precision and the options of the
# peer's script.
WORKS = {
    "cnn": ("cifar-cnn", "cnn", "cifar10", 50000, [
        f"f32:{BEST} --channels-last", f"bf16:{BEST} --channels-last --bf16", "auto:"]),
    "mlp": ("mnist-mlp", "mlp -o hidden=512,512", "mnist", 60000, [
        f"f32:{BEST}", f"f32:{BEST} --compile", f"bf16:{BEST} --bf16",
        f"bf16:{BEST} --bf16 --compile", "auto:"]),
}


def ours_ms(result, steps):
    return 1e3 * result["epoch_seconds"][-1] / steps


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--wafer", default="build/release/bin/wafer")
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--works", nargs="*", choices=WORKS, default=list(WORKS))
    parser.add_argument("--data", type=pathlib.Path, default=default_data(),
                        help="the folder of data sets")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epochs", type=int, default=2, help="the last one counts")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--pairs", nargs="*", help="other comparisons than those of the work")
    parser.add_argument("--document", type=pathlib.Path, help="docs/benchmarks.md, to renew it")
    return parser.parse_args()


def pairs_here(pairs):
    """Those whose precision the processor multiplies in hardware, or chooses by itself."""
    return [pair for pair in pairs if pair.split(":")[0] in ["auto", *precisions()]]


def compare(work, options):
    """The lines of the section of a work."""
    _, model, data_set, examples, pairs = WORKS[work]
    data = options.data / data_set
    steps = -(-examples // options.batch_size)
    common = ["--epochs", options.epochs, "--batch-size", options.batch_size, "--lr", "1e-3"]
    lines, distances = [], []
    peer_version = device = ""
    for pair in options.pairs or pairs_here(pairs):
        precision, mode = pair.split(":", 1)
        ours, theirs, ratios = [], [], []
        for turn in range(options.rounds):
            seed = ["--seed", turn]
            a = last_json([options.wafer, "train", *model.split(), "--data", data, *common, *seed,
                           "--precision", precision, "--json"])
            b = last_json([options.peer_python, "bench/train_torch.py", "--model", work, "--data",
                           data, "--cache", "build/peers", "--no-evaluation", *common, *seed,
                           *mode.split()])
            ours.append(ours_ms(a, steps))
            distance = thread_distance(options.wafer)
            distances += distance
            theirs.append(b["epoch_ms_per_step"][-1])
            ratios.append(theirs[-1] / ours[-1])
            peer_version = f"PyTorch {b['version']} ({b['isa']}, {b['threads']} threads)"
            device, ran_in = a["device"], a["precision"]
            print(f"{work}, round {turn + 1} of {options.rounds}, {precision}, peer "
                  f"{mode or 'default'}: ours {ours[-1]:.2f} ms, theirs {theirs[-1]:.2f} ms, ratio "
                  f"{ratios[-1]:.3f}, load {os.getloadavg()[0]:.1f}.{distances_text(distance)}",
                  flush=True)
        name = precision if precision == ran_in else f"{precision} ({ran_in})"
        lines.append(f"| {name} | {mode or 'eager, as most people write it'} | {spread(ours)} | "
                     f"{spread(theirs)} | **{spread(ratios)}** |")
    return [
        f"Measured {datetime.date.today()} at {commit()} on {machine()}. wafer: {device}."
        f"{distances_text(distances)}",
        f"Peer: {peer_version}. {options.rounds} rounds, in turns; milliseconds a step over epoch "
        f"{options.epochs}, data", "included; median (least to greatest).", "",
        "| wafer | Peer | wafer, ms | peer, ms | peer / wafer |", "|---|---|---|---|---|", *lines]


def main():
    options = parse()
    for work in options.works:
        text = "\n".join(compare(work, options))
        print(text)
        if options.document:
            renew(options.document, WORKS[work][0], text)


if __name__ == "__main__":
    main()
