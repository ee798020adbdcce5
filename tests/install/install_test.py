"""An installed wafer can be moved and used by a project that has only the compiler and CMake.

Checks that no installed text names the build or install folder, that the consumer's program runs
without LD_LIBRARY_PATH, and that it computes the right number.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile


def run(*command, env=None):
    command = [str(part) for part in command]
    result = subprocess.run(command, capture_output=True, text=True, env=env)
    if result.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{result.stdout}\n{result.stderr}")
    return result.stdout


def main():
    parser = argparse.ArgumentParser()
    for name in ("build", "cmake", "generator", "compiler"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    consumer = pathlib.Path(__file__).resolve().parent / "consumer"
    source = pathlib.Path(__file__).resolve().parent.parent.parent
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        run(options.cmake, "--install", options.build, "--prefix", folder / "first")
        moved = folder / "moved"
        shutil.move(folder / "first", moved)

        for file in moved.rglob("*.cmake"):
            text = file.read_text(encoding="utf-8")
            for place in (folder / "first", source):
                if str(place) in text:
                    sys.exit(f"{file.relative_to(moved)} names {place}")
        # Headers whose third-party includes a user would have to have.
        for file in moved.rglob("*.h"):
            for line in file.read_text(encoding="utf-8").splitlines():
                third_party = ("nlohmann/json.hpp", "toml++", "<archive", "dnnl", "CLI/")
                if line.startswith("#include") and any(name in line for name in third_party):
                    sys.exit(f"{file.relative_to(moved)} includes {line.split()[1]}")

        run(options.cmake, "-S", consumer, "-B", folder / "build", "-G", options.generator,
            f"-DCMAKE_PREFIX_PATH={moved}", f"-DCMAKE_CXX_COMPILER={options.compiler}",
            "-DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF")
        run(options.cmake, "--build", folder / "build")
        env = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
        output = run(folder / "build" / "consumer", env=env)
        if output.strip() != "32":
            sys.exit(f"the consumer printed {output!r}, expected '32'")
        library = next(moved.rglob("libwafer.so"))
        loaded = run("ldd", library, env=env)
        if "not found" in loaded:
            sys.exit(f"libwafer.so misses a library:\n{loaded}")
        for line in loaded.splitlines():
            if str(source) in line:
                sys.exit(f"libwafer.so loads from the build folder: {line.strip()}")
        program = moved / "bin" / "wafer"
        if program.exists():
            run(program, "--help", env=env)
    print("the moved package builds, links and runs")


if __name__ == "__main__":
    main()
