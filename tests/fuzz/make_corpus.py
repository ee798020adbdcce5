#!/usr/bin/env python3
"""Writes what the fuzzers start from into tests/fuzz/corpus, byte for byte the same each time.

Files named bad* are refused by their reader, all others are read. Inputs that a fuzzer found lie
beside them and are left alone.
"""
import json
import pathlib
import struct
import zlib

corpus = pathlib.Path(__file__).parent / "corpus"


def write(target, name, content):
    folder = corpus / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def safetensors(tensors, metadata=None):
    """tensors: (name, dtype, shape, bytes) without gaps."""
    header, offset = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, dtype, shape, data in tensors:
        end = offset + len(data)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data for *_, data in tensors)


def npy(version, descr, shape, data, fortran=False):
    text = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    length = "<H" if version == 1 else "<I"
    size = 8 + struct.calcsize(length) + len(text) + 1
    text += b" " * (-size % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack(length, len(text)) + text + data


# Messages of Protocol Buffers.
def varint(value):
    value &= (1 << 64) - 1
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def text(field, value):
    value = value if isinstance(value, bytes) else value.encode()
    return varint(field << 3 | 2) + varint(len(value)) + value


def onnx_tensor(name, dims, values, code="f"):
    data = struct.pack(f"<{len(values)}{code}", *values)
    kind = {"f": 1, "q": 7}[code]
    return b"".join(number(1, d) for d in dims) + number(2, kind) + text(8, name) + text(9, data)


def onnx_info(name, dims, kind=1):
    shape = b"".join(text(1, text(2, d) if isinstance(d, str) else number(1, d)) for d in dims)
    return text(1, name) + text(2, text(1, number(1, kind) + text(2, shape)))


def onnx_integer(name, value):
    return text(1, name) + number(3, value) + number(20, 2)


def onnx_integers(name, values):
    return text(1, name) + b"".join(number(8, v) for v in values) + number(20, 7)


def onnx_graph_attribute(name, graph):
    return text(1, name) + text(6, graph) + number(20, 5)


def onnx_text(name, value):
    return text(1, name) + text(4, value) + number(20, 3)


def onnx_strings(name, values):
    return (number(1, len(values)) + number(2, 8) + text(8, name)
            + b"".join(text(6, value) for value in values))


def onnx_node(op, inputs, outputs, attributes=(), domain=""):
    return (b"".join(text(1, i) for i in inputs) + b"".join(text(2, o) for o in outputs)
            + text(4, op) + b"".join(text(5, a) for a in attributes)
            + (text(7, domain) if domain else b""))


def onnx_function(name, inputs, outputs, nodes):
    """In the domain "f", which its nodes may call too."""
    return (text(1, name) + b"".join(text(4, i) for i in inputs)
            + b"".join(text(5, o) for o in outputs) + b"".join(text(7, n) for n in nodes)
            + b"".join(text(9, text(1, d) + number(2, v)) for d, v in (("", 20), ("f", 1)))
            + text(10, "f"))


def onnx_graph(nodes, tensors, inputs, outputs):
    return (b"".join(text(1, n) for n in nodes) + text(2, "main")
            + b"".join(text(5, t) for t in tensors) + b"".join(text(11, i) for i in inputs)
            + b"".join(text(12, o) for o in outputs))


def onnx_model(graph, opset=17, ir=8, functions=()):
    imports = [("", opset)] + ([("f", 1)] if functions else [])
    return (number(1, ir) + text(7, graph) + b"".join(text(25, f) for f in functions)
            + b"".join(text(8, text(1, d) + number(2, v)) for d, v in imports))


def make_safetensors():
    floats = struct.pack("<4f", 1, 2, 3, 4)
    write("safetensors", "two", safetensors(
        [("a", "F32", [2, 2], floats), ("b", "I64", [1], struct.pack("<q", 7))], {"k": "v"}))
    write("safetensors", "empty", safetensors([]))
    write("safetensors", "scalar", safetensors([("s", "BF16", [], b"\0\0")]))
    write("safetensors", "bad_length", struct.pack("<Q", 1 << 62) + b"{}")
    write("safetensors", "bad_overlap", safetensors([("a", "F32", [9], floats)]))
    progress = json.dumps({"step": 3, "epoch": 0, "batch": 3, "epoch_correct": 1,
                           "epoch_examples": 2, "history": "{}", "epoch_loss_bits": 0})
    metadata = {"wafer.checkpoint": "1", "progress": progress, "seed": "0"}
    tensors = [("fc.bias", "F32", [1], floats[:4]), ("fc.weight", "F32", [2, 2], floats)]
    write("checkpoint", "whole", safetensors(tensors, metadata))
    write("checkpoint", "further", safetensors(tensors + [("x", "U8", [3], b"abc")], metadata))
    write("checkpoint", "bad_shape", safetensors([tensors[0], ("fc.weight", "F32", [4], floats)],
                                                 metadata))
    write("checkpoint", "bad_progress", safetensors(tensors, {**metadata, "progress": "{}"}))
    whole = zlib.crc32(progress.encode() + floats + floats[:4])  # in the order that is asked for
    checked = {**metadata, "wafer.checkpoint": "2", "checksum": str(whole)}
    write("checkpoint", "checked", safetensors(tensors, checked))
    write("checkpoint", "bad_checksum", safetensors(tensors, {**checked, "checksum": "1"}))
    write("checkpoint", "bad_seed", safetensors(tensors, {**metadata, "seed": "1"}))


def make_npy():
    write("npy", "matrix", npy(1, "<f4", "(2, 2)", struct.pack("<4f", 1, 2, 3, 4)))
    write("npy", "scalar", npy(2, "<i8", "()", struct.pack("<q", 5)))
    write("npy", "bytes", npy(3, "|u1", "(3,)", b"abc"))
    write("npy", "bad_object", npy(1, "|O", "(1,)", b"\x80\x02"))
    write("npy", "bad_short", npy(1, "<f8", "(99, 99)", b"12345678"))


def make_toml():
    write("toml", "image", """name = "small"
input = [3, 8, 8]
outputs = 10
[[layer]]
type = "conv2d"
name = "conv1"
out = 4
kernel = 3
padding = "same"
[[layer]]
type = "batch_norm"
[[layer]]
type = "relu"
[[layer]]
type = "max_pool2d"
kernel = 2
[[layer]]
type = "residual"
[[layer.layer]]
type = "gelu"
[[layer]]
type = "dropout"
[[layer]]
type = "flatten"
[[layer]]
type = "linear"
""")
    write("toml", "text", """input = [7]
vocabulary = 5
outputs = 5
task = "next_token"
[[layer]]
type = "embedding"
width = 8
[[layer]]
type = "transformer_encoder_layer"
heads = 2
feedforward = 16
causal = true
[[layer]]
type = "lstm"
hidden = 4
[[layer]]
type = "linear"
""")
    write("toml", "bad_layer", "input = [3]\noutputs = 2\n[[layer]]\ntype = \"liner\"\n")
    write("toml", "bad_text", "input = [3\n")


def make_graph():
    def node(op, **fields):
        return {"op": op, **fields}

    x = node("input", type=["f32", ["batch", 4]], attrs={"name": "x"})
    w = node("input", type=["f32", [3, 4]], attrs={"name": "w"})
    c = node("constant", type=["f32", [3]], data="AAAAAAAAAAAAAAAA")
    product = node("matmul", inputs=[1, 0], attrs={"transpose_a": False, "transpose_b": True})

    def whole(nodes, outputs):
        return json.dumps({"format": "wafer-graph", "version": 1, "nodes": nodes, "inputs": [0, 1],
                           "outputs": outputs})

    write("graph", "linear", whole([w, x, product], [2]))
    write("graph", "tanh", whole([w, x, product, node("tanh", inputs=[2])], [3]))
    write("graph", "bad_op", whole([w, x, node("no_such_op", inputs=[0])], [2]))
    write("graph", "bad_index", whole([w, x, product, c], [9]))


def make_onnx():
    x, y = onnx_info("x", ["n", 4]), onnx_info("y", ["n", 3])
    w = onnx_tensor("w", [4, 3], [0.25 * i for i in range(12)])
    b = onnx_tensor("b", [3], [1, 2, 3])
    write("onnx", "layer", onnx_model(onnx_graph(
        [onnx_node("Gemm", ["x", "w", "b"], ["h"]), onnx_node("Relu", ["h"], ["y"])], [w, b], [x],
        [y])))
    image, scores = onnx_info("x", [1, 1, 4, 4]), onnx_info("y", [1, 2])
    kernel = onnx_tensor("k", [2, 1, 3, 3], [0.1] * 18)
    to = onnx_tensor("to", [2], [1, 2], "q")
    write("onnx", "image", onnx_model(onnx_graph(
        [onnx_node("Conv", ["x", "k"], ["c"], [onnx_integers("pads", [1, 1, 1, 1])]),
         onnx_node("GlobalAveragePool", ["c"], ["p"]), onnx_node("Reshape", ["p", "to"], ["r"]),
         onnx_node("Softmax", ["r"], ["y"], [onnx_integer("axis", 1)])], [kernel, to], [image],
        [scores])))
    branch = onnx_graph([onnx_node("Neg", ["x"], ["n"])], [], [], [onnx_info("n", ["n", 4])])
    other = onnx_graph([onnx_node("Abs", ["x"], ["a"])], [], [], [onnx_info("a", ["n", 4])])
    write("onnx", "branches", onnx_model(onnx_graph(
        [onnx_node("ReduceSum", ["x"], ["s"], [onnx_integer("keepdims", 0)]),
         onnx_node("Greater", ["s", "zero"], ["c"]),
         onnx_node("If", ["c"], ["y"], [onnx_graph_attribute("then_branch", branch),
                                        onnx_graph_attribute("else_branch", other)])],
        [onnx_tensor("zero", [], [0])], [x], [onnx_info("y", ["n", 4])])))
    write("onnx", "bad_operator", onnx_model(onnx_graph(
        [onnx_node("NoSuch", ["x"], ["y"])], [], [x], [y])))
    write("onnx", "bad_cycle", onnx_model(onnx_graph(
        [onnx_node("Relu", ["b"], ["a"]), onnx_node("Relu", ["a"], ["b"])], [], [x],
        [onnx_info("a", ["n", 4])])))
    write("onnx", "bad_opset", onnx_model(onnx_graph(
        [onnx_node("Relu", ["x"], ["y"])], [], [x], [onnx_info("y", ["n", 4])]), opset=99))
    write("onnx", "bad_tile", onnx_model(onnx_graph(
        [onnx_node("Tile", ["x", "often"], ["y"])], [onnx_tensor("often", [2], [1, 1 << 62], "q")],
        [x], [onnx_info("y", ["n", "m"])])))


def make_onnx_functions():
    x, y = onnx_info("x", ["n", 4]), onnx_info("y", ["n", 4])
    call = onnx_graph([onnx_node("twice", ["x"], ["y"], domain="f")], [], [x], [y])
    twice = onnx_function("twice", ["a"], ["b"], [onnx_node("Add", ["a", "a"], ["b"])])
    write("onnx", "function", onnx_model(call, 20, functions=[twice]))
    inner = onnx_graph([onnx_node("twice", ["a"], ["c"], domain="f")], [], [],
                       [onnx_info("c", ["n", 4])])
    within_if = onnx_function("twice", ["a"], ["b"], [
        onnx_node("ReduceMax", ["a"], ["m"], [onnx_integer("keepdims", 0)]),
        onnx_node("IsNaN", ["m"], ["t"]),
        onnx_node("If", ["t"], ["b"], [onnx_graph_attribute("then_branch", inner),
                                       onnx_graph_attribute("else_branch", inner)])])
    write("onnx", "bad_recursion_in_if", onnx_model(call, 20, functions=[within_if]))
    levels = [onnx_function("twice" if i == 0 else f"level{i}", ["a"], ["c"], [
        onnx_node(f"level{i + 1}", ["a"], ["b"], domain="f"),
        onnx_node(f"level{i + 1}", ["b"], ["c"], domain="f")]) for i in range(26)]
    last = onnx_function("level26", ["a"], ["c"], [onnx_node("Neg", ["a"], ["c"])])
    write("onnx", "bad_doubling_calls", onnx_model(call, 20, functions=levels + [last]))


def onnx_loop_body(nodes, state):
    return onnx_graph([onnx_node("Identity", ["c"], ["d"])] + nodes, [],
                      [onnx_info("i", [], 7), onnx_info("c", [], 9), onnx_info("s", ["n", 4])],
                      [onnx_info("d", [], 9), onnx_info(state, ["n", 4])])


def onnx_loop(count, body, states=("x", "y")):
    return onnx_node("Loop", [count, "", states[0]], [states[1]],
                     [onnx_graph_attribute("body", body)])


def make_onnx_loops():
    x, y = onnx_info("x", ["n", 4]), onnx_info("y", ["n", 4])
    body = onnx_loop_body([onnx_node("Neg", ["s"], ["t"])], "t")
    write("onnx", "loop", onnx_model(onnx_graph(
        [onnx_loop("k", body)], [onnx_tensor("k", [], [3], "q")], [x], [y])))
    nested = onnx_loop_body([onnx_loop("k", body, ("s", "u"))], "u")
    write("onnx", "nested_loops", onnx_model(onnx_graph(
        [onnx_loop("k", nested)], [onnx_tensor("k", [], [3], "q")], [x], [y])))
    write("onnx", "bad_empty_count", onnx_model(onnx_graph(
        [onnx_loop("k", body)], [onnx_tensor("k", [0], [], "q")], [x], [y])))
    step = onnx_graph([onnx_node("Add", ["s", "e"], ["t"]), onnx_node("Identity", ["t"], ["o"])],
                      [], [onnx_info("s", []), onnx_info("e", [])],
                      [onnx_info("t", []), onnx_info("o", [])])
    write("onnx", "scan", onnx_model(onnx_graph(
        [onnx_node("Scan", ["zero", "x"], ["sum", "y"],
                   [onnx_graph_attribute("body", step), onnx_integer("num_scan_inputs", 1)])],
        [onnx_tensor("zero", [], [0])], [onnx_info("x", [5])], [onnx_info("y", [5])])))


def make_onnx_data_sizes():
    """Models whose sizes depend on their inputs: they run piece by piece."""
    x, k = onnx_info("x", [3, 4]), onnx_info("k", [], 7)
    write("onnx", "places", onnx_model(onnx_graph(
        [onnx_node("NonZero", ["x"], ["z"]), onnx_node("Transpose", ["z"], ["t"]),
         onnx_node("GatherND", ["x", "t"], ["y"])], [], [x], [onnx_info("y", ["m"])])))
    one = onnx_tensor("one", [1], [1], "q")
    write("onnx", "largest", onnx_model(onnx_graph(
        [onnx_node("Reshape", ["k", "one"], ["n"]),
         onnx_node("TopK", ["x", "n"], ["v", "i"]),
         onnx_node("GatherElements", ["x", "i"], ["y"], [onnx_integer("axis", 1)])],
        [one], [x, k], [onnx_info("y", [3, "m"])])))
    body = onnx_graph(
        [onnx_node("Identity", ["c"], ["d"]), onnx_node("Concat", ["s", "s"], ["t"],
                                                        [onnx_integer("axis", 0)])],
        [], [onnx_info("i", [], 7), onnx_info("c", [], 9), onnx_info("s", ["m", 4])],
        [onnx_info("d", [], 9), onnx_info("t", ["m", 4])])
    write("onnx", "growing_loop", onnx_model(onnx_graph(
        [onnx_node("Loop", ["k", "", "x"], ["y"], [onnx_graph_attribute("body", body)])], [],
        [x, k], [onnx_info("y", ["m", 4])])))


def make_onnx_host_values():
    s = onnx_strings("s", ["wafer", "silicon"])
    flags, words = onnx_info("y", [2], 9), onnx_info("y", [2], 8)
    write("onnx", "strings", onnx_model(onnx_graph(
        [onnx_node("StringConcat", ["s", "s"], ["t"]),
         onnx_node("StringNormalizer", ["t"], ["u"], [onnx_text("case_change_action", "UPPER")]),
         onnx_node("StringSplit", ["u"], ["v", "count"], [onnx_text("delimiter", "F")])],
        [s], [], [onnx_info("count", [2], 7)]), 20))
    for name, pattern in (("regular_expression", "[a-z]+(on|er)$"), ("bad_expression", "(a+")):
        write("onnx", name, onnx_model(onnx_graph(
            [onnx_node("RegexFullMatch", ["s"], ["y"], [onnx_text("pattern", pattern)])], [s], [],
            [flags]), 20))
    doubled = [onnx_node("StringConcat", [f"s{i}", f"s{i}"], [f"s{i + 1}"]) for i in range(28)]
    write("onnx", "bad_doubling_strings", onnx_model(onnx_graph(
        [onnx_node("Identity", ["s"], ["s0"])] + doubled
        + [onnx_node("Identity", ["s28"], ["y"])], [s], [], [words]), 20))
    x, y, one = onnx_info("x", ["n", 4]), onnx_info("y", ["n", 4]), onnx_tensor("p", [], [1], "q")
    write("onnx", "sequence", onnx_model(onnx_graph(
        [onnx_node("Neg", ["x"], ["a"]), onnx_node("SequenceConstruct", ["x", "a"], ["q"]),
         onnx_node("SequenceInsert", ["q", "a"], ["r"]),
         onnx_node("SequenceAt", ["r", "p"], ["y"])], [one], [x], [y])))
    write("onnx", "split", onnx_model(onnx_graph(
        [onnx_node("SplitToSequence", ["x", "p"], ["q"], [onnx_integer("axis", 1)]),
         onnx_node("ConcatFromSequence", ["q"], ["y"], [onnx_integer("axis", 1)])], [one], [x],
        [y])))


for make in (make_safetensors, make_npy, make_toml, make_graph, make_onnx, make_onnx_functions,
             make_onnx_loops, make_onnx_data_sizes, make_onnx_host_values):
    make()
