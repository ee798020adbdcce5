#!/usr/bin/env python3
"""Checks that every folder of wafer/ includes only the folders below it in LAYERS.

Usage: lint_layers.py [FILE...]; without arguments it reads every source that git knows. Prints one
line per offending include and exits with 1.
"""
import pathlib
import re
import subprocess
import sys

# From the bottom up. Folders of one entry stand side by side and may include each other.
LAYERS = [
    ["base"], ["io"], ["ir"], ["op"], ["runtime"], ["pass"], ["kernel"], ["backend"], ["tensor"],
    ["nn", "optim"], ["data"], ["eval"], ["train"], ["select"], ["deploy"], ["models"], ["serve"],
    ["cli"],
]
RANK = {folder: rank for rank, folders in enumerate(LAYERS) for folder in folders}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
ALL_BACKENDS = "wafer/backend/all.cpp"


def complaint(path: str, included: str) -> str:
    """Why `path` may not include `included`, or an empty string. Both as wafer/<folder>/<file>."""
    to = included.split("/")
    if len(to) < 3:
        return "" if path.startswith(("examples/", "tests/", "wafer/cli/")) or len(to) == 1 else \
            "the library's folders do not include its umbrella header"
    source = path.split("/")
    if to[1] not in RANK:
        return f"{to[1]}/ is not in the list of layers (scripts/lint_layers.py)"
    if source[0] != "wafer":
        return ""  # tests may look anywhere
    if to[1] == "backend":
        if path == ALL_BACKENDS:
            return ""
        if source[1] != "backend":
            return "a backend is a leaf: reach it through runtime/"
        if len(source) < 4 or len(to) < 4 or source[2] != to[2]:
            return "a backend includes no other backend"
        return ""
    if len(source) < 3:
        return ""  # wafer/wafer.h gathers the folders that a user needs
    if source[1] not in RANK:
        return f"{source[1]}/ is not in the list of layers (scripts/lint_layers.py)"
    if RANK[to[1]] > RANK[source[1]]:
        return f"{source[1]}/ stands below {to[1]}/"
    return ""


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    paths = sys.argv[1:] or subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.cpp", "*.h"], cwd=root, check=True,
        capture_output=True, text=True).stdout.split()
    failures = 0
    for path in paths:
        file = root / path
        if not file.is_file():
            continue
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            if not match or not match[1].startswith("wafer/"):
                continue
            why = complaint(path, match[1])
            if why:
                print(f"{path}:{number}: includes {match[1]}: {why}")
                failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
