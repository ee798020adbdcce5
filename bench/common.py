"""What the benchmarks share: running commands, naming the machine, renewing docs/benchmarks.md."""
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def default_data():
    """The folder of data sets, as wafer finds it."""
    return pathlib.Path(os.environ.get("WAFER_DATA", ROOT / "../shared/data"))


def last_json(command, **environment):
    """Runs a command and returns its last line of standard output as JSON."""
    command = [str(part) for part in command]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True,
                            env={**os.environ, **environment})
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


def precisions():
    """Those that the processor multiplies in hardware."""
    return ["f32", "bf16"] if "bf16" in machine() else ["f32"]


def commit():
    """The commit that is checked out, "-dirty" where more than the document differs from it."""
    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True,
                              check=True).stdout.strip()
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".",
                  ":(exclude)docs/benchmarks.md")
    return git("describe", "--always") + ("-dirty" if changed else "")


def thread_distance(wafer):
    """Nanoseconds between two of wafer's threads and back now, in a list; empty with one thread."""
    result = last_json([wafer, "bench", "mlp", "--seconds", "0.01", "--json"])
    return [result["thread_round_trip_ns"]] if "thread_round_trip_ns" in result else []


def distances_text(nanoseconds):
    """A sentence on how far wafer's threads were apart in each run: their speed depends on it."""
    if not nanoseconds:
        return ""
    return (f" Threads {min(nanoseconds):.0f} to {max(nanoseconds):.0f} ns from one to another and "
            f"back, more than 250 in {sum(ns > 250 for ns in nanoseconds)} of {len(nanoseconds)} "
            "runs.")


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def renew(document, name, text):
    """Puts `text` between the two comments that mark the section of this kind of machine."""
    here = machine()
    name += "-amx" if "amx_bf16" in here else "" if "avx512f" in here else "-avx2"
    old = document.read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
    if start not in old or end not in old:
        sys.exit(f"{document} has no section {name}")
    head, rest = old.split(start, 1)
    tail = rest.split(end, 1)[1]
    document.write_text(head + start + text + end + tail, encoding="utf-8")
