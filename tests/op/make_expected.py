"""Writes data/<family>.npz: inputs, outputs and gradients of ops as PyTorch and NumPy compute them.

Arrays of a case are named <case>.in<i>, <case>.out<i> and, where the case is differentiated,
<case>.cot<i> (gradient of a loss by output i) and <case>.grad<i> (by input i).
expected_test.cpp holds the same cases by name. Needs numpy and torch:
python3 tests/op/make_expected.py
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F

FOLDER = pathlib.Path(__file__).parent / "data"
rng = np.random.default_rng(0)
arrays = {}


def case(name, function, *inputs, grad=True):
    """Runs function on the inputs as tensors; differentiates by those of f64 if `grad`."""
    tensors = [torch.from_numpy(np.array(x)) for x in inputs]
    for tensor in tensors:
        if grad and tensor.dtype == torch.float64:
            tensor.requires_grad_(True)
    outputs = function(*tensors)
    if isinstance(outputs, torch.Tensor):
        outputs = [outputs]
    for i, x in enumerate(inputs):
        arrays[f"{name}.in{i}"] = np.array(x)
    for i, y in enumerate(outputs):
        arrays[f"{name}.out{i}"] = y.detach().contiguous().numpy()
    if not grad:
        return
    differentiable = [y for y in outputs if y.requires_grad]
    cotangents = []
    for i, y in enumerate(outputs):
        if y.requires_grad:
            cotangents.append(torch.from_numpy(np.array(rng.uniform(-1, 1, y.shape))))
            arrays[f"{name}.cot{i}"] = cotangents[-1].numpy()
    leaves = [x for x in tensors if x.requires_grad]
    gradients = iter(torch.autograd.grad(differentiable, leaves, cotangents))
    for i, x in enumerate(tensors):
        if x.requires_grad:
            arrays[f"{name}.grad{i}"] = next(gradients).contiguous().numpy()


def save(family):
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(FOLDER / f"{family}.npz", **arrays)
    arrays.clear()


def normal(*shape):
    return rng.standard_normal(shape)


def uniform(low, high, *shape):
    return rng.uniform(low, high, shape)


def index(high, *shape, low=0):
    return rng.integers(low, high, shape)


def elementwise():
    nan, inf = np.nan, np.inf
    special = np.array([nan, inf, -inf, 0.0, -0.0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, 3, -3, 0.1,
                        1e-8, -1e-8, 1e-300, 1e300, -1e300, 710, -750, 20.25, -7.75])
    for name in ["neg", "abs", "sign", "exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan",
                 "asin", "acos", "atan", "tanh", "erf", "floor", "ceil", "round"]:
        x = special
        if name in ("sin", "cos", "tan"):
            x = special[np.abs(np.nan_to_num(special, nan=0, posinf=0)) < 1e6]
        case(name, getattr(torch, name), x, grad=False)
    left, right = (grid.ravel() for grid in np.meshgrid(special, special))
    for name, function in {
            "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div,
            "pow": torch.pow, "remainder": torch.remainder, "maximum": torch.maximum,
            "minimum": torch.minimum, "equal": torch.eq, "not_equal": torch.ne, "less": torch.lt,
            "less_equal": torch.le}.items():
        a, b = left, right
        if name == "remainder":  # numbers whose quotient has a fraction
            keep = np.isfinite(a) & np.isfinite(b) & (np.abs(a) < 1e3) & (np.abs(b) > 0.05)
            a, b = a[keep], b[keep]
        if name == "pow":  # where 1 ulp of a logarithm is not most of the result
            keep = ~((np.abs(a) > 1e200) | (np.abs(b) > 1e200))
            a, b = a[keep], b[keep]
        case(name, function, a, b, grad=False)
    case("is_nan", torch.isnan, special, grad=False)
    case("is_finite", torch.isfinite, special, grad=False)
    case("where", torch.where, index(2, 3, 4).astype(bool), normal(3, 4), normal(4))
    for kind in ("int8", "uint8", "int16", "int32", "int64"):
        info = np.iinfo(kind)
        edges = np.array([info.min, info.min + 1, 0, 1, 2, 3, 7, info.max - 1, info.max], kind)
        if info.min < 0:
            edges = np.concatenate([edges, np.array([-1, -2, -7], kind)])
        a, b = (grid.ravel() for grid in np.meshgrid(edges, edges))
        case(f"add {kind}", torch.add, a, b, grad=False)
        case(f"sub {kind}", torch.sub, a, b, grad=False)
        case(f"mul {kind}", torch.mul, a, b, grad=False)
        divisible = (b != 0) & ~((a == info.min) & (b.astype(np.int64) == -1))
        case(f"remainder {kind}", torch.remainder, a[divisible], b[divisible], grad=False)
        case(f"floor_divide {kind}", torch.floor_divide, a[divisible], b[divisible], grad=False)
        case(f"maximum {kind}", torch.maximum, a, b, grad=False)
        case(f"less {kind}", torch.lt, a, b, grad=False)
        small = b.astype(np.int64)
        small = (small >= 0) & (small < 8)
        case(f"pow {kind}", torch.pow, a[small], b[small], grad=False)
        case(f"to {kind}", lambda x, k=kind: x.to(getattr(torch, k)),
             uniform(max(info.min, -1e6), min(info.max, 1e6), 40), grad=False)
        case(f"from {kind} to int16", lambda x: x.to(torch.int16), edges, grad=False)
        case(f"from {kind} to float32", lambda x: x.to(torch.float32), edges, grad=False)
        case(f"from {kind} to bool", lambda x: x.to(torch.bool), edges, grad=False)
    # Rounding: ordinary numbers, ties of each format, its subnormals, its overflow.
    ties = np.array([1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8, 65504, 65519.99, 65520,
                     2**-24, 2**-25, 3 * 2**-25, 2**-14, 5e-8, 1e5, np.inf, np.nan])
    wide = np.concatenate([normal(60) * 10.0 ** rng.integers(-9, 6, 60), ties, -ties])
    wide = wide.astype(np.float32)
    case("to float16", lambda x: x.to(torch.float16), wide, grad=False)
    case("to bfloat16", lambda x: x.to(torch.bfloat16).to(torch.float32), wide, grad=False)
    case("to float32", lambda x: x.to(torch.float32), wide.astype(np.float64) * (1 + 1e-9),
         grad=False)
    # f16 arithmetic rounds once.
    halves = normal(2, 200).astype(np.float16)
    case("add float16", torch.add, halves[0], halves[1], grad=False)
    case("mul float16", torch.mul, halves[0], halves[1], grad=False)
    case("div float16", torch.div, halves[0], halves[1], grad=False)
    for name, function in {
            "relu": F.relu, "sigmoid": torch.sigmoid, "silu": F.silu, "gelu": F.gelu,
            "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
            "leaky_relu": lambda x: F.leaky_relu(x, 0.2), "elu": lambda x: F.elu(x, 1.5),
            "softplus": F.softplus, "log_sigmoid": F.logsigmoid,
            # F.hardsigmoid's gradient has 1/6 in f32.
            "hard_sigmoid": lambda x: torch.clamp(x / 6 + 0.5, 0, 1),
            "hard_swish": F.hardswish}.items():
        case(name, function, normal(40) * 3)
    case("clamp", lambda x: torch.clamp(x, -0.5, 1), normal(30))
    case("broadcast", lambda a, b: a * b + a, normal(4, 1, 3), normal(5, 1))
    save("elementwise")


def shape():
    case("transpose", lambda x: x.permute(2, 0, 3, 1).contiguous(), normal(2, 3, 4, 5))
    case("slice", lambda x: x[1:6:2, 2:9:3].contiguous(), normal(7, 9))
    case("narrow", lambda x: x[:, -3:].contiguous(), normal(4, 6))
    case("flip", lambda x: x.flip(0, 2), normal(3, 2, 4))
    case("pad", lambda x: F.pad(x, (2, 1, 0, 3), value=0.5), normal(2, 3, 4))
    case("pad_cut", lambda x: F.pad(x, (-1, 2, 1, -2)), normal(5, 4))
    case("concat", lambda a, b: torch.cat([a, b], 1), normal(2, 3, 2), normal(2, 1, 2))
    case("stack", lambda a, b: torch.stack([a, b], -1), normal(2, 3), normal(2, 3))
    case("tril", lambda x: torch.tril(x, 1), normal(2, 4, 5))
    case("triu", lambda x: torch.triu(x, -1), normal(5, 4))
    case("broadcast_to", lambda x: x.expand(4, 2, 5, 3).contiguous(), normal(2, 1, 3))
    case("eye", lambda: torch.eye(4, dtype=torch.float64), grad=False)
    case("reshape", lambda x: x.permute(1, 0).reshape(2, 10), normal(4, 5))
    save("shape")


def reduce():
    x = normal(3, 4, 5)
    holes = normal(4, 6)
    holes[1, 2], holes[2, 0], holes[3, 5] = np.nan, np.inf, -np.inf
    case("sum", lambda x: x.sum((0, 2)), x)
    case("sum_all", torch.sum, x)
    case("mean", lambda x: x.mean(1, keepdim=True), x)
    case("prod", lambda x: x.prod(1), np.where(rng.uniform(size=(3, 4, 5)) < 0.15, 0, x))
    case("max", lambda x: torch.amax(x, (1, 2)), np.round(x))
    case("min", lambda x: torch.amin(x, 0), np.round(x))
    case("var", lambda x: x.var((0, 2)), x)
    case("var_biased", lambda x: x.var(correction=0), x)
    case("logsumexp", lambda x: x.logsumexp(1), x * 100)
    case("cumsum", lambda x: x.cumsum(1), x)
    case("argmax", lambda x: x.argmax(1), np.round(x), grad=False)
    case("argmin", lambda x: x.argmin(0), np.round(x), grad=False)
    case("any", lambda x: x.any(1), x[0] > 0.8, grad=False)
    case("all", lambda x: x.all(1), x[0] > -0.8, grad=False)
    for name, function in {"sum": lambda x: x.sum(1), "max": lambda x: torch.amax(x, 1),
                           "min": lambda x: torch.amin(x, 1), "argmax": lambda x: x.argmax(1),
                           "argmin": lambda x: x.argmin(1), "cumsum": lambda x: x.cumsum(1),
                           "logsumexp": lambda x: x.logsumexp(1)}.items():
        case(f"{name} with NaN and infinity", function, holes, grad=False)
    for kind in (np.int8, np.uint8, np.int32, np.int64, np.bool_):
        name = np.dtype(kind).name
        high = 2 if kind == np.bool_ else 100
        case(f"sum {name}", lambda x: x.sum(1), index(high, 4, 9).astype(kind), grad=False)
        case(f"prod {name}", lambda x: x.prod(1), index(high, 4, 9).astype(kind), grad=False)
    case("sum of nothing", lambda x: x.sum(0), normal(0, 3))
    case("prod of nothing", lambda x: x.prod(0), normal(0, 3))
    save("reduce")


def matmul():
    for name, a, b in [("matrices", (3, 4), (4, 5)), ("batches", (2, 3, 4), (2, 4, 2)),
                       ("batches broadcast", (2, 1, 3, 4), (3, 4, 2)), ("vectors", (4,), (4,)),
                       ("matrix by vector", (3, 4), (4,)), ("vector by matrix", (4,), (4, 3)),
                       ("rows", (2, 3, 4), (4, 5)), ("nothing", (3, 0), (0, 2))]:
        case(name, torch.matmul, normal(*a), normal(*b))
    case("transposed", lambda a, b: a.mT @ b.mT, normal(2, 4, 3), normal(2, 5, 4))
    case("linear", F.linear, normal(2, 3, 5), normal(4, 5), normal(4))
    case("int32", torch.matmul, index(100, 3, 4, low=-100).astype(np.int32),
         index(100, 4, 2, low=-100).astype(np.int32), grad=False)
    save("matmul")


def conv():
    def add(name, function, x, weight, **options):
        bias = weight[1] * options.get("groups", 1) if "transpose" in name else weight[0]
        case(name, lambda x, w, b: function(x, w, b, **options), normal(*x), normal(*weight),
             normal(bias))
    add("1d", F.conv1d, (2, 3, 9), (4, 3, 3))
    add("1d all", F.conv1d, (2, 4, 11), (6, 2, 3), stride=2, padding=2, dilation=2, groups=2)
    add("2d", F.conv2d, (2, 3, 6, 5), (4, 3, 3, 3), padding=1)
    add("2d stride", F.conv2d, (1, 2, 7, 8), (3, 2, 3, 2), stride=(2, 3), padding=(1, 0))
    add("2d dilation", F.conv2d, (1, 2, 9, 8), (2, 2, 3, 3), padding=2, dilation=(2, 3))
    add("2d groups", F.conv2d, (2, 4, 5, 5), (6, 2, 3, 3), groups=2)
    add("2d depthwise", F.conv2d, (1, 3, 5, 4), (6, 1, 3, 3), stride=2, padding=1, groups=3)
    add("3d", F.conv3d, (1, 2, 4, 5, 3), (3, 2, 2, 3, 2), stride=(1, 2, 1), padding=(1, 1, 0))
    add("1d transpose", F.conv_transpose1d, (2, 3, 5), (3, 2, 4), stride=2, padding=1)
    add("2d transpose", F.conv_transpose2d, (1, 4, 3, 4), (4, 3, 3, 2), stride=(2, 3),
        padding=(1, 0), output_padding=(1, 2))
    add("2d transpose groups", F.conv_transpose2d, (2, 4, 3, 3), (4, 3, 3, 3), groups=2,
        dilation=2)
    add("3d transpose", F.conv_transpose3d, (1, 2, 2, 3, 2), (2, 2, 2, 2, 3), stride=2)
    save("conv")


def pool():
    def separate(*shape):
        return rng.permutation(int(np.prod(shape))).reshape(shape).astype(np.float64)

    def add(name, function, shape, *arguments, **options):
        case(name, lambda x: function(x, *arguments, **options), separate(*shape))
    add("max 1d", F.max_pool1d, (2, 3, 10), 3, 2)
    add("max 2d", F.max_pool2d, (2, 3, 6, 8), 2)
    add("max 2d padding", F.max_pool2d, (1, 2, 7, 5), 3, 2, 1)
    add("max 2d dilation", F.max_pool2d, (1, 2, 9, 8), (3, 2), 2, 1, (2, 3))
    add("max 2d ceil", F.max_pool2d, (1, 2, 8, 6), (3, 2), 2, (1, 0), ceil_mode=True)
    add("max 3d", F.max_pool3d, (1, 2, 4, 5, 4), (2, 3, 2), 2, 1)
    case("max of negative numbers beside padding", lambda x: F.max_pool2d(x, 3, 2, 1),
         -1 - separate(1, 1, 5, 5))
    case("max NaN", lambda x: F.max_pool1d(x, 2),
         np.array([[[1, np.nan, 2, 3, -np.inf, -np.inf]]]), grad=False)
    add("avg 1d", F.avg_pool1d, (2, 3, 10), 3, 2, 1)
    add("avg 2d", F.avg_pool2d, (2, 3, 6, 8), 2)
    add("avg 2d padding", F.avg_pool2d, (1, 2, 7, 5), 3, 2, 1)
    add("avg 2d padding not counted", F.avg_pool2d, (1, 2, 7, 5), 3, 2, 1, count_include_pad=False)
    add("avg 2d ceil", F.avg_pool2d, (1, 2, 8, 6), 3, 2, 1, ceil_mode=True,
        count_include_pad=False)
    add("avg 2d ceil counted", F.avg_pool2d, (1, 2, 8, 6), 3, 2, 1, ceil_mode=True)
    add("avg 3d", F.avg_pool3d, (1, 2, 4, 5, 4), (2, 3, 2), 2, 1)
    add("adaptive avg", F.adaptive_avg_pool2d, (1, 2, 7, 5), (3, 4))
    add("adaptive avg divides", F.adaptive_avg_pool2d, (1, 2, 6, 4), (3, 2))
    add("adaptive max", F.adaptive_max_pool2d, (1, 2, 7, 5), (3, 4))
    save("pool")


def indexing():
    case("gather", lambda x, i: x[:, i], normal(2, 6, 3), index(6, 2, 4))
    case("embedding", lambda t, i: F.embedding(i, t), normal(10, 4), index(10, 3, 2))
    case("scatter_add", lambda x, i, u: x.index_add(0, i, u), normal(5, 3), index(5, 7),
         normal(7, 3))
    case("gather_elements", lambda x, i: x.gather(1, i), normal(3, 4, 2), index(4, 2, 6, 1))
    case("scatter_elements add", lambda x, i, u: x.scatter_add(1, i, u), normal(3, 4),
         index(4, 3, 6), normal(3, 6))
    case("scatter_elements set", lambda x, i, u: x.scatter(0, i, u), normal(5, 3),
         np.stack([rng.permutation(5)[:2] for _ in range(3)], 1), normal(2, 3))
    case("one_hot", lambda i: F.one_hot(i, 5), index(5, 3, 2), grad=False)
    mixed = np.round(normal(4, 9))
    mixed[0, 3], mixed[1, 2], mixed[1, 5], mixed[2, 2] = np.nan, np.inf, np.nan, -np.inf
    for descending in (False, True):
        suffix = " descending" if descending else ""
        case("sort" + suffix,
             lambda x, d=descending: torch.sort(x, dim=1, descending=d, stable=True), mixed,
             grad=False)
        case("sort columns" + suffix, lambda x, d=descending: torch.sort(x, 0, d), normal(6, 3))
    case("sort int16", lambda x: torch.sort(x, dim=1, stable=True),
         index(9, 2, 30, low=-9).astype(np.int16), grad=False)
    case("sort bool", lambda x: torch.sort(x, dim=0, stable=True), index(2, 12).astype(bool),
         grad=False)
    case("topk", lambda x: torch.topk(x, 3), normal(4, 9))
    case("topk least", lambda x: torch.topk(x, 2, 0, largest=False), normal(6, 3))
    save("index")


def losses():
    case("softmax", lambda x: x.softmax(1), normal(3, 5, 2))
    case("log_softmax", lambda x: x.log_softmax(-1), normal(3, 5) * 200)
    logits, targets, weight = normal(8, 4), index(4, 8), uniform(0.5, 2, 4)
    targets[2] = 1

    def cross_entropy(name, **options):
        case(f"cross_entropy {name}", lambda x, t: F.cross_entropy(x, t, **options), logits,
             targets)
    cross_entropy("mean")
    cross_entropy("sum", reduction="sum")
    cross_entropy("none", reduction="none")
    cross_entropy("ignored", ignore_index=1)
    cross_entropy("smoothed", label_smoothing=0.1)
    w = torch.from_numpy(weight)
    arrays["cross_entropy weighted.in2"] = weight
    cross_entropy("weighted", weight=w)
    arrays["cross_entropy all.in2"] = weight
    cross_entropy("all", weight=w, label_smoothing=0.2, ignore_index=1)
    case("cross_entropy images", F.cross_entropy, normal(2, 3, 4, 2), index(3, 2, 4, 2))
    probabilities = uniform(0, 1, 8, 4)
    case("cross_entropy probabilities",
         lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1), logits,
         probabilities / probabilities.sum(1, keepdims=True))
    case("nll_loss", lambda x, t: F.nll_loss(x.log_softmax(1), t), logits, targets)
    a, b = normal(3, 7), normal(3, 7)
    case("mse_loss", F.mse_loss, a, b)
    case("l1_loss", F.l1_loss, a, b)
    case("huber_loss", lambda a, b: F.huber_loss(a, b, delta=0.7), a, b)
    case("smooth_l1_loss", lambda a, b: F.smooth_l1_loss(a, b, beta=0.5), a, b)
    case("bce_with_logits", F.binary_cross_entropy_with_logits, a * 50, uniform(0, 1, 3, 7))
    positive = uniform(0.5, 3, 7)
    arrays["bce_with_logits weighted.in2"] = positive
    case("bce_with_logits weighted",
         lambda x, t: F.binary_cross_entropy_with_logits(
             x, t, pos_weight=torch.from_numpy(positive)), a, uniform(0, 1, 3, 7))
    log_a, p = np.log(uniform(0.1, 1, 3, 7)), uniform(0.1, 1, 3, 7)
    case("kl_div", lambda a, b: F.kl_div(a, b, reduction="batchmean"), log_a, p)
    case("kl_div log", lambda a, b: F.kl_div(a, b, reduction="sum", log_target=True), log_a,
         np.log(p))
    save("loss")


def norms():
    case("batch_norm", lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
         normal(4, 3, 2, 5), normal(3), normal(3))
    case("batch_norm plain", lambda x: F.batch_norm(x, None, None, training=True, eps=1e-3),
         normal(6, 3))
    case("batch_norm statistics",
         lambda x: [x.mean((0, 2)), x.var((0, 2), correction=0), x.var((0, 2))], normal(4, 3, 5))
    case("batch_norm_inference",
         lambda x, m, v, w, b: F.batch_norm(x, m.detach(), v.detach(), w, b), normal(2, 3, 4),
         normal(3), uniform(0.5, 2, 3), normal(3), normal(3), grad=False)
    case("layer_norm", lambda x, w, b: F.layer_norm(x, (3, 5), w, b), normal(2, 3, 5), normal(3, 5),
         normal(3, 5))
    case("layer_norm plain", lambda x: F.layer_norm(x, (5,)), normal(2, 3, 5))
    case("rms_norm", lambda x, w: F.rms_norm(x, (5,), w), normal(2, 3, 5), normal(5))
    case("rms_norm epsilon", lambda x: F.rms_norm(x, (3, 5), eps=0.1), normal(2, 3, 5))
    case("group_norm", lambda x, w, b: F.group_norm(x, 2, w, b), normal(2, 4, 3, 2), normal(4),
         normal(4))
    case("instance_norm", lambda x: F.instance_norm(x), normal(2, 4, 3, 2))
    save("norm")


def philox(counter, key):
    """Philox4x32-10 of Salmon et al. (2011); counter and key: arrays of words."""
    c, k = [int(word) for word in counter], [int(word) for word in key]
    for _ in range(10):
        low, high = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(high >> 32) ^ c[1] ^ k[0], high & 0xFFFFFFFF, (low >> 32) ^ c[3] ^ k[1],
             low & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def random():
    # Known answers of the authors' Random123 library.
    assert philox([0] * 4, [0] * 2) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2) == [
        0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    for name, seed, step, stream in [("small", 1, 0, 0), ("large", 2**40 + 5, 77, -(2**50) - 3)]:
        stream_word = stream % 2**64
        words = []
        for i in range(13):
            words += philox([i, step, stream_word % 2**32, stream_word >> 32],
                            [seed % 2**32, seed >> 32])
        upper = (np.array(words[:50], np.uint64) >> np.uint64(8)).astype(np.float64)
        for op in ("uniform", "normal"):
            arrays[f"{op} {name}.in0"] = np.array([seed, step], np.uint64)
            arrays[f"{op} {name}.in1"] = np.array(stream, np.int64)
        arrays[f"uniform {name}.out0"] = (upper * 2.0**-24).astype(np.float32)
        u = torch.from_numpy((upper + 0.5) * 2.0**-24)
        arrays[f"normal {name}.out0"] = (2**0.5 * torch.erfinv(2 * u - 1)).float().numpy()
    save("random")


if __name__ == "__main__":
    for family in (elementwise, shape, reduce, matmul, conv, pool, indexing, losses, norms, random):
        family()
