"""Writes data/composites.npz: inputs, outputs and gradients of composite ops as PyTorch computes
them in f64. Run with PyTorch installed: python make_expected.py. Arrays of a case are
<case>/in/<input>, <case>/out/<i>, <case>/g/<i> (the gradient that is sent back into output i) and
<case>/d/<input> (the gradient that arrives). """

import pathlib

import numpy as np
import torch
import torch.nn.functional as F

torch.manual_seed(0)
arrays = {}


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def case(name, function, **inputs):
    """Runs function(**inputs) -> tensor or tuple, and sends normal numbers back into it."""
    for key, value in inputs.items():
        if value.is_floating_point():
            value.requires_grad_()
        arrays[f"{name}/in/{key}"] = value.detach().numpy()
    outputs = function(**inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    upstream = [torch.randn_like(y) for y in outputs]
    for i, (y, g) in enumerate(zip(outputs, upstream)):
        arrays[f"{name}/out/{i}"] = y.detach().numpy()
        arrays[f"{name}/g/{i}"] = g.numpy()
    wrt = {k: v for k, v in inputs.items() if v.requires_grad}
    used = [(y, g) for y, g in zip(outputs, upstream) if y.requires_grad]
    gradients = torch.autograd.grad(
        [y for y, _ in used], list(wrt.values()), [g for _, g in used], allow_unused=True
    )
    for key, d in zip(wrt, gradients):
        if d is not None:
            arrays[f"{name}/d/{key}"] = d.numpy()


# softmax
for axis in (0, 1, 2):
    case(f"softmax_{axis}", lambda x: F.softmax(x, axis), x=normal(3, 4, 5))
    case(f"log_softmax_{axis}", lambda x: F.log_softmax(x, axis), x=normal(3, 4, 5))
case("softmax_large", lambda x: F.softmax(x, -1), x=normal(3, 7) * 1000)
case("log_softmax_large", lambda x: F.log_softmax(x, -1), x=normal(3, 7) * 1000)

# cross_entropy with classes; class 2 is ignored in some cases
shapes = {"2d": ((6, 5), (6,)), "4d": ((2, 5, 3, 2), (2, 3, 2)), "1d": ((5,), ())}
for shape, (logits, targets) in shapes.items():
    for reduction in ("mean", "sum", "none"):
        for smoothing in (0.0, 0.1):
            if shape != "2d" and smoothing != (0.0 if reduction == "sum" else 0.1):
                continue
            x, t = normal(*logits) * 3, torch.randint(0, 5, targets)
            label = f"{shape}_{reduction}_{'smooth' if smoothing else 'plain'}"
            case(
                f"cross_entropy_{label}",
                lambda x, t: F.cross_entropy(x, t, reduction=reduction, label_smoothing=smoothing),
                x=x,
                t=t,
            )
            x, w = normal(*logits) * 3, torch.rand(5, dtype=torch.float64) + 0.5
            ignored = 2 if shape != "1d" else -100
            case(
                f"cross_entropy_weighted_{label}",
                lambda x, t, w: F.cross_entropy(
                    x,
                    t,
                    w.detach(),
                    reduction=reduction,
                    ignore_index=ignored,
                    label_smoothing=smoothing,
                ),
                x=x,
                t=t,
                w=w,
            )
for reduction in ("mean", "sum", "none"):
    for smoothing in (0.0, 0.1):
        p = F.softmax(normal(2, 5, 3), 1)
        label = f"{reduction}_{'smooth' if smoothing else 'plain'}"
        case(
            f"cross_entropy_probabilities_{label}",
            lambda x, t: F.cross_entropy(x, t, reduction=reduction, label_smoothing=smoothing),
            x=normal(2, 5, 3),
            t=p,
        )
        case(
            f"cross_entropy_probabilities_weighted_{label}",
            lambda x, t, w: F.cross_entropy(
                x, t, w.detach(), reduction=reduction, label_smoothing=smoothing
            ),
            x=normal(2, 5, 3),
            t=p.detach().clone(),
            w=torch.rand(5, dtype=torch.float64) + 0.5,
        )
case(
    "cross_entropy_all_ignored",
    lambda x, t: F.cross_entropy(x, t, reduction="sum"),
    x=normal(2, 3),
    t=torch.tensor([-100, -100]),
)
for reduction in ("mean", "sum", "none"):
    case(
        f"nll_{reduction}",
        lambda x, t: F.nll_loss(x, t, reduction=reduction, ignore_index=1),
        x=F.log_softmax(normal(6, 4), 1).detach(),
        t=torch.tensor([0, 1, 2, 3, 1, 0]),
    )
    case(
        f"nll_weighted_{reduction}",
        lambda x, t, w: F.nll_loss(x, t, w.detach(), reduction=reduction),
        x=F.log_softmax(normal(2, 4, 3), 1).detach(),
        t=torch.randint(0, 4, (2, 3)),
        w=torch.rand(4, dtype=torch.float64) + 0.5,
    )

# losses of equal shapes
for reduction in ("mean", "sum", "none"):
    pair = lambda: {"x": normal(4, 3) * 2, "t": normal(4, 3) * 2}
    case(f"mse_{reduction}", lambda x, t: F.mse_loss(x, t, reduction=reduction), **pair())
    case(f"l1_{reduction}", lambda x, t: F.l1_loss(x, t, reduction=reduction), **pair())
    case(
        f"huber_{reduction}",
        lambda x, t: F.huber_loss(x, t, reduction=reduction, delta=1.5),
        **pair(),
    )
    case(
        f"smooth_l1_{reduction}",
        lambda x, t: F.smooth_l1_loss(x, t, reduction=reduction, beta=0.5),
        **pair(),
    )
    targets = torch.rand(4, 3, dtype=torch.float64)
    targets[0] = torch.tensor([0.0, 1.0, 0.0])
    case(
        f"bce_{reduction}",
        lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction=reduction),
        x=normal(4, 3) * 40,
        t=targets.clone(),
    )
    case(
        f"bce_weighted_{reduction}",
        lambda x, t, w, p: F.binary_cross_entropy_with_logits(
            x, t, w.detach(), reduction=reduction, pos_weight=p.detach()
        ),
        x=normal(4, 3),
        t=targets.clone(),
        w=torch.rand(4, 3, dtype=torch.float64),
        p=torch.rand(3, dtype=torch.float64) + 0.5,
    )
for reduction in ("mean", "sum", "none", "batchmean"):
    q = F.softmax(normal(4, 3), 1).detach()
    q[0] = torch.tensor([0.0, 0.25, 0.75])
    case(
        f"kl_{reduction}",
        lambda x, t: F.kl_div(x, t.detach(), reduction=reduction),
        x=F.log_softmax(normal(4, 3), 1).detach(),
        t=q,
    )
    case(
        f"kl_log_{reduction}",
        lambda x, t: F.kl_div(x, t, reduction=reduction, log_target=True),
        x=F.log_softmax(normal(4, 3), 1).detach(),
        t=F.log_softmax(normal(4, 3), 1).detach(),
    )


# normalisation
def batch_norm(x, w=None, b=None):
    mean, variance = torch.zeros(x.shape[1]).double(), torch.zeros(x.shape[1]).double()
    y = F.batch_norm(x, mean, variance, w, b, training=True, momentum=1.0)
    axes = [0] + list(range(2, x.dim()))
    return y, x.mean(axes), x.var(axes, correction=0), x.var(axes, correction=1)


case("batch_norm_2d", batch_norm, x=normal(6, 3) + 2, w=normal(3), b=normal(3))
case("batch_norm_4d", batch_norm, x=normal(2, 3, 2, 3) * 2, w=normal(3), b=normal(3))
case("batch_norm_plain", batch_norm, x=normal(2, 3, 4))
case(
    "batch_norm_inference",
    lambda x, mean, variance, w, b: F.batch_norm(x, mean.detach(), variance.detach(), w, b),
    x=normal(2, 3, 2, 3),
    mean=normal(3),
    variance=torch.rand(3, dtype=torch.float64) + 0.1,
    w=normal(3),
    b=normal(3),
)
case(
    "layer_norm",
    lambda x, w, b: F.layer_norm(x, (5,), w, b),
    x=normal(2, 3, 5) + 1,
    w=normal(5),
    b=normal(5),
)
case("layer_norm_plain", lambda x: F.layer_norm(x, (3, 5)), x=normal(2, 3, 5))
case(
    "layer_norm_2",
    lambda x, w, b: F.layer_norm(x, (3, 5), w, b),
    x=normal(2, 3, 5),
    w=normal(3, 5),
    b=normal(3, 5),
)
case(
    "layer_norm_whole",
    lambda x, w, b: F.layer_norm(x, (5,), w, b),
    x=normal(5),
    w=normal(5),
    b=normal(5),
)
case("rms_norm", lambda x, w: F.rms_norm(x, (5,), w, 1e-6), x=normal(2, 3, 5) + 1, w=normal(5))
case("rms_norm_plain", lambda x: F.rms_norm(x, (5,)), x=normal(2, 3, 5))
case(
    "group_norm",
    lambda x, w, b: F.group_norm(x, 2, w, b),
    x=normal(2, 6, 3, 2),
    w=normal(6),
    b=normal(6),
)
case("group_norm_plain", lambda x: F.group_norm(x, 3), x=normal(2, 6, 3))
case(
    "instance_norm",
    lambda x, w, b: F.instance_norm(x, weight=w, bias=b),
    x=normal(2, 3, 4, 2),
    w=normal(3),
    b=normal(3),
)


# attention
def qkv():
    return {"q": normal(2, 3, 4, 5), "k": normal(2, 3, 6, 5), "v": normal(2, 3, 6, 7)}


sdpa = F.scaled_dot_product_attention
boolean = torch.rand(4, 6) > 0.4
boolean[1] = False  # a query that sees nothing
boolean[2, 0] = True
case("attention", lambda q, k, v: sdpa(q, k, v), **qkv())
case("attention_scale", lambda q, k, v: sdpa(q, k, v, scale=0.3), **qkv())
case("attention_causal", lambda q, k, v: sdpa(q, k, v, is_causal=True), **qkv())
case("attention_boolean", lambda q, k, v, m: sdpa(q, k, v, m), m=boolean, **qkv())
case("attention_additive", lambda q, k, v, m: sdpa(q, k, v, m), m=normal(2, 1, 4, 6), **qkv())
case(
    "attention_matrices",
    lambda q, k, v: sdpa(q, k, v),
    q=normal(4, 5),
    k=normal(6, 5),
    v=normal(6, 2),
)


# recurrent layers: time 4, batch 2, features 3, hidden 5
def recurrent(layer, names, reverse, x, **weights):
    module = layer(3, 5).double()
    parameters = dict(
        zip(
            ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
            (weights[n] for n in ("wi", "wh", "bi", "bh")),
        )
    )
    state = tuple(weights[n].unsqueeze(0) for n in names)
    state = state if len(state) > 1 else state[0] if state else None
    x = x.flip(0) if reverse else x
    y, final = torch.func.functional_call(module, parameters, (x, state))
    final = final if isinstance(final, tuple) else (final,)
    return (y.flip(0) if reverse else y,) + tuple(f.squeeze(0) for f in final)


for name, gates, layer, states in (
    ("rnn", 1, torch.nn.RNN, ("h",)),
    ("lstm", 4, torch.nn.LSTM, ("h", "c")),
    ("gru", 3, torch.nn.GRU, ("h",)),
    ("rnn_relu", 1, lambda i, o: torch.nn.RNN(i, o, nonlinearity="relu"), ("h",)),
):
    weights = lambda: {
        "wi": normal(5 * gates, 3),
        "wh": normal(5 * gates, 5),
        "bi": normal(5 * gates),
        "bh": normal(5 * gates),
    }
    initial = lambda: {state: normal(2, 5) for state in states}
    for reverse in (False, True):
        case(
            f"{name}{'_reverse' if reverse else ''}",
            lambda x, **w: recurrent(layer, states, reverse, x, **w),
            x=normal(4, 2, 3),
            **weights(),
            **initial(),
        )
    case(
        f"{name}_zero",
        lambda x, **w: recurrent(layer, (), False, x, **w),
        x=normal(4, 2, 3),
        **weights(),
    )

path = pathlib.Path(__file__).parent / "data" / "composites.npz"
path.parent.mkdir(exist_ok=True)
np.savez_compressed(path, **arrays)
print(len(arrays), "arrays,", path.stat().st_size, "bytes")
