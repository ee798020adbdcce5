#!/usr/bin/env python3
"""Runs a training with wafer and with a peer in turns, and writes down how they compare.

Turns (ours, theirs, ours, theirs, ...) so that a machine that changes its mind hits both. What is
compared is the mean milliseconds a step over the last whole epoch, data included; the ratio
theirs / ours is taken within each round, so above 1 we are faster. Writes a section of
docs/benchmarks.md where asked to. Needs the standard library alone.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def last_json(command):
    """Runs a command and returns its last line of standard output as JSON."""
    command = [str(part) for part in command]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)}\nexited with {result.returncode}:\n"
                 f"{result.stdout[-2000:]}\n{result.stderr[-2000:]}")
    return json.loads(result.stdout.strip().split("\n")[-1])


def machine():
    """One line: processor, cores that this process may use, memory, kernel."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.*)", info)
    flags = set(re.search(r"flags\s*:\s*(.*)", info)[1].split())
    isa = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    memory = int(re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())[1])
    return (f"{model[1].strip() if model else platform.processor()}, "
            f"{len(os.sched_getaffinity(0))} cores, {', '.join(isa)}, {memory / 2**20:.0f} GiB, "
            f"Linux {platform.release().split('-')[0]}")


def commit():
    run = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True,
                         text=True, check=True)
    return run.stdout.strip()


def ours_ms(result, steps):
    return 1e3 * result["epoch_seconds"][-1] / steps


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--wafer", default="build/release/bin/wafer")
    parser.add_argument("--peer-python", required=True)
    data = pathlib.Path(os.environ.get("WAFER_DATA", "../shared/data"))
    parser.add_argument("--data", type=pathlib.Path, default=data / "cifar10")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=2, help="the last one counts")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--modes", nargs="*", default=[""],
                        help="options of the peer's script, one string for each comparison")
    parser.add_argument("--ours", default="", help="more options of wafer train")
    parser.add_argument("--document", type=pathlib.Path, help="docs/benchmarks.md, to renew it")
    return parser.parse_args()


def main():
    options = parse()
    steps = -(-50000 // options.batch_size)
    common = ["--epochs", options.epochs, "--batch-size", options.batch_size, "--lr", "1e-3"]
    lines = []
    peer_version = our_version = ""
    for mode in options.modes:
        ours, theirs, ratios = [], [], []
        for turn in range(options.rounds):
            seed = ["--seed", turn]
            a = last_json([options.wafer, "train", "cnn", "--data", options.data, *common, *seed,
                           *options.ours.split(), "--json"])
            b = last_json([options.peer_python, "bench/cifar_cnn_torch.py", "--data", options.data,
                           "--cache", "build/peers", "--no-evaluation", *common, *seed,
                           *mode.split()])
            ours.append(ours_ms(a, steps))
            theirs.append(b["epoch_ms_per_step"][-1])
            ratios.append(theirs[-1] / ours[-1])
            peer_version = f"PyTorch {b['version']} ({b['isa']}, {b['threads']} threads)"
            our_version = f"{a['device']}, {a['precision']}"
            print(f"round {turn + 1} of {options.rounds}, peer {mode or 'default'}: ours "
                  f"{ours[-1]:.2f} ms, theirs {theirs[-1]:.2f} ms, ratio {ratios[-1]:.3f}, load "
                  f"{os.getloadavg()[0]:.1f}", flush=True)
        lines.append(f"| {mode or 'eager, as most people write it'} | {spread(ours)} | "
                     f"{spread(theirs)} | **{spread(ratios)}** |")
    text = "\n".join([
        f"Measured {datetime.date.today()} at {commit()} on {machine()}. wafer: {our_version}.",
        f"Peer: {peer_version}. {options.rounds} rounds, in turns; milliseconds a step over epoch "
        f"{options.epochs}, data", "included; median (least to greatest).", "",
        "| Peer | wafer, ms | peer, ms | peer / wafer |", "|---|---|---|---|", *lines])
    print(text)
    if options.document:
        renew(options.document, "cifar-cnn", text)


def renew(document, name, text):
    """Puts `text` between the two comments that mark the section."""
    old = document.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
    if start not in old or end not in old:
        sys.exit(f"{document} has no section {name}")
    head, rest = old.split(start, 1)
    tail = rest.split(end, 1)[1]
    document.write_text(head + start + text + end + tail, encoding="utf-8")


if __name__ == "__main__":
    main()
