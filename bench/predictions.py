#!/usr/bin/env python3
"""How near `wafer select` predicts the train step of four models, and how good its choice is.

Each round begins with no calibration at hand. Writes a section of docs/benchmarks.md where asked
to. Needs the standard library alone.
"""
import argparse
import datetime
import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from common import commit, last_json, machine, renew  # noqa: E402

MODELS = {"mlp": "mnist", "cnn": "cifar10", "gru": "fsdd", "transformer": "tiny_shakespeare"}


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--wafer", default="build/release/bin/wafer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--document", type=pathlib.Path, help="docs/benchmarks.md, to renew it")
    return parser.parse_args()


def main():
    options = parse()
    candidates, regrets = {}, {name: [] for name in MODELS}
    for turn in range(options.rounds):
        with tempfile.TemporaryDirectory() as cache:
            for name, data in MODELS.items():
                result = last_json([options.wafer, "select", name, "--data", data, "--verify",
                                    "--json"], WAFER_CACHE=cache)
                rows = [row for row in result["candidates"] if "measured_ms" in row]
                best = min(row["measured_ms"] for row in rows)
                for row in rows:
                    key = (name, row["threads"], row["precision"])
                    candidates.setdefault(key, []).append((row["predicted_ms"], row["measured_ms"]))
                    if row["chosen"]:
                        regrets[name].append(100 * (row["measured_ms"] / best - 1))
                print(f"round {turn + 1} of {options.rounds}: {name}, load "
                      f"{os.getloadavg()[0]:.1f}", flush=True)
    lines = []
    for (name, threads, precision), pairs in candidates.items():
        cells = ", ".join(f"{p:.2f} / {m:.2f} ({100 * (p / m - 1):+.0f} %)" for p, m in pairs)
        lines.append(f"| {name} | {threads} | {precision} | {cells} |")
    choices = "; ".join(f"{name} " + ", ".join(f"{value:.1f} %" for value in values)
                        for name, values in regrets.items())
    text = "\n".join([
        f"Measured {datetime.date.today()} at {commit()} on {machine()}.", "",
        "| model | threads | precision | predicted / measured ms, one pair a round |",
        "|---|---|---|---|", *lines, "",
        "How much slower the choice was than the best that was measured, one figure a round: "
        f"{choices}."])
    print(text)
    if options.document:
        renew(options.document, "select", text)


if __name__ == "__main__":
    main()
