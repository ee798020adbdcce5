"""README shows examples/cifar10.cpp as it is, in at most 25 lines beside includes; its model file
gives the error that it shows; no document has a dead link.

Usage: readme_test.py SOURCE_FOLDER WAFER_PROGRAM
"""
import pathlib
import re
import subprocess
import sys
import tempfile

FENCED = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def check_example(root, blocks):
    example = (root / "examples" / "cifar10.cpp").read_text(encoding="utf-8")
    if ("cpp", example) not in blocks:
        sys.exit("README.md does not show examples/cifar10.cpp as it is")
    counted = [line for line in example.split("\n")
               if line.strip() and not line.startswith(("#include", "using namespace", "//"))]
    if len(counted) > 25:
        sys.exit(f"examples/cifar10.cpp has {len(counted)} lines beside includes; at most 25")


def check_session(blocks, program):
    """The block that starts with '$ wafer ...' is what the program prints, but for line breaks."""
    model = next(text for language, text in blocks if language == "toml")
    session = next(text for _, text in blocks if text.startswith("$ wafer "))
    command, shown = session.split("\n", 1)
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "model.toml").write_text(model, encoding="utf-8")
        result = subprocess.run([program, *command.split()[2:]], cwd=folder, capture_output=True,
                                text=True)
    printed = result.stdout + result.stderr
    if printed.split() != shown.split():
        sys.exit(f"README.md shows\n{shown}\nbut the program prints\n{printed}")
    if result.returncode != 2:
        sys.exit(f"{command}: exit code {result.returncode}, expected 2")


def check_links(root):
    for document in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        text = FENCED.sub("", document.read_text(encoding="utf-8"))
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            if not (document.parent / link).exists():
                sys.exit(f"{document.relative_to(root)} links to {link}, which is not there")


def main(root: pathlib.Path, program: str) -> None:
    readme = (root / "README.md").read_text(encoding="utf-8")
    blocks = FENCED.findall(readme)
    check_example(root, blocks)
    check_session(blocks, program)
    check_links(root)
    for script in re.findall(r"\./(scripts/\w+\.sh|bench/\w+\.sh)", readme):
        if not (root / script).is_file():
            sys.exit(f"README.md names {script}, which is not there")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), sys.argv[2])
