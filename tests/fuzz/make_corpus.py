#!/usr/bin/env python3
"""Writes what the fuzzers start from into tests/fuzz/corpus, byte for byte the same each time.

Files named bad* are refused by their reader, all others are read. Inputs that a fuzzer found lie
beside them and are left alone.
"""
import json
import pathlib
import struct

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


def onnx_node(op, inputs, outputs, attributes=()):
    return (b"".join(text(1, i) for i in inputs) + b"".join(text(2, o) for o in outputs)
            + text(4, op) + b"".join(text(5, a) for a in attributes))


def onnx_graph(nodes, tensors, inputs, outputs):
    return (b"".join(text(1, n) for n in nodes) + text(2, "main")
            + b"".join(text(5, t) for t in tensors) + b"".join(text(11, i) for i in inputs)
            + b"".join(text(12, o) for o in outputs))


def onnx_model(graph, opset=17, ir=8):
    return number(1, ir) + text(7, graph) + text(8, text(1, "") + number(2, opset))


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


for make in (make_safetensors, make_npy, make_toml, make_graph, make_onnx):
    make()
