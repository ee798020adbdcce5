#!/usr/bin/env python3
"""Checks length, width and wording of every text file that git knows.

Sources have at most 800 lines of at most 100 columns, no tabs and no blanks at a line's end;
no file has notes to self or the path of somebody's machine. Prints one line per finding and
exits with 1.
"""
import pathlib
import re
import subprocess
import sys

MAX_LINES = 800
MAX_COLUMNS = 100
SOURCE_SUFFIXES = {".cpp", ".h", ".def", ".inc", ".in", ".cu", ".cl", ".py", ".sh", ".cmake"}
SOURCE_NAMES = {"CMakeLists.txt", "run"}
TEXT_SUFFIXES = SOURCE_SUFFIXES | {
    ".md", ".txt", ".json", ".toml", ".yml", ".yaml", ".html", ".csv"}
# Written so that this file does not match itself.
NOTES = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
MACHINE_PATH = re.compile(r"(?<![\w.$}/-])/(?:home|root|work|mnt|Users)/\w")


def findings(path: str, text: str):
    """Yields (line number, message)."""
    name = pathlib.PurePath(path)
    is_source = name.suffix in SOURCE_SUFFIXES or name.name in SOURCE_NAMES
    lines = text.split("\n")
    if lines and lines[-1] == "":
        lines.pop()
    elif is_source:
        yield len(lines), "the last line has no line end"
    if is_source and len(lines) > MAX_LINES:
        yield len(lines), f"{len(lines)} lines; at most {MAX_LINES}: split the file"
    for number, line in enumerate(lines, 1):
        if is_source:
            if len(line) > MAX_COLUMNS:
                yield number, f"{len(line)} columns; at most {MAX_COLUMNS}"
            if "\t" in line:
                yield number, "a tab"
            if line != line.rstrip():
                yield number, "blanks at the line's end"
        if NOTES.search(line):
            yield number, "a note to self: do it, or write an issue"
        if MACHINE_PATH.search(line):
            yield number, "the path of one machine"


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent
    paths = sys.argv[1:] or subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=root, check=True,
        capture_output=True, text=True).stdout.split("\n")
    failures = 0
    for path in paths:
        file = root / path
        name = pathlib.PurePath(path)
        if not file.is_file() or (name.suffix not in TEXT_SUFFIXES and
                                  name.name not in SOURCE_NAMES):
            continue
        for number, message in findings(path, file.read_text(encoding="utf-8", errors="replace")):
            print(f"{path}:{number}: {message}")
            failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
