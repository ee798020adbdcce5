"""Makes one C++ file of a document's ```cpp blocks, so that a compiler checks what readers copy.

Usage: extract_snippets.py DOCUMENT OUTPUT. What follows ```cpp on its line says what the block is:
  (nothing)  declarations or a whole program: goes into a namespace of its own
  body       statements: goes into a function of its own
  global     a file's text: stands as it is
  ops.def    lines of wafer/op/ops.def: expanded as wafer/op/op.h does
Includes move to the top of the output, since a block may stand in a namespace.
"""
import pathlib
import re
import sys

FENCE = re.compile(r"^```(.*)$")
KINDS = {"", "body", "global", "ops.def"}
OPS_DEF = """namespace wafer {
#define WAFER_OP(name) \\
  extern const OpDef name##_def; \\
  namespace op { inline constexpr const OpDef& name = name##_def; }
%s
#undef WAFER_OP
}  // namespace wafer
"""


def blocks(text):
    """Yields (kind, line number of the first line, lines) of every cpp block."""
    kind, first, lines = None, 0, []
    inside_other = False
    for number, line in enumerate(text.split("\n"), 1):
        fence = FENCE.match(line)
        if not fence:
            if kind is not None:
                lines.append(line)
            continue
        if kind is not None:
            yield kind, first, lines
            kind = None
        elif inside_other:
            inside_other = False
        else:
            words = fence[1].split()
            if words and words[0] == "cpp":
                kind, first, lines = " ".join(words[1:]), number + 1, []
                if kind not in KINDS:
                    raise SystemExit(f"line {number}: unknown kind of block: {kind}")
            else:
                inside_other = True
    if kind is not None:
        raise SystemExit(f"line {first}: the block has no end")


def translation_unit(document, text):
    includes, parts = [], []
    for index, (kind, first, lines) in enumerate(blocks(text), 1):
        kept = []
        for line in lines:
            is_include = line.startswith("#include")
            if is_include and line not in includes:
                includes.append(line)
            kept.append("" if is_include or line == "#pragma once" else line)
        body = f'#line {first} "{document}"\n' + "\n".join(kept)
        if kind == "ops.def":
            body = OPS_DEF % body
        elif kind == "body":
            body = f"namespace snippet_{index} {{\n[[maybe_unused]] void run() {{\n{body}\n}}\n}}"
        elif kind == "":
            body = f"namespace snippet_{index} {{\n{body}\n}}"
        parts.append(body)
    return "\n".join(includes) + "\n" + "\n".join(parts) + "\n"


if __name__ == "__main__":
    source = pathlib.Path(sys.argv[1])
    pathlib.Path(sys.argv[2]).write_text(
        translation_unit(source.name, source.read_text(encoding="utf-8")), encoding="utf-8")
