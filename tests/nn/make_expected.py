"""Writes data/layers.npz: each layer's parameters, input, output, gradients and buffers by PyTorch.

Usage: python make_expected.py    (needs torch and numpy)

Keys are CASE/x, CASE/state/NAME, CASE/y, CASE/gradient/NAME (of sum(y * y) by parameters and x) and
CASE/after/NAME (buffers after one call in training mode), CASE/eval (output afterwards in
evaluation mode).
"""
import os

import numpy as np
import torch
from torch import nn

torch.manual_seed(0)
arrays = {}


def real(*shape):
    return torch.randn(*shape)


def store(name, tensor):
    value = tensor.detach().numpy()
    arrays[name] = np.ascontiguousarray(value) if value.ndim else value


def case(name, module, x, call=None):
    """Records one call of `module` on x; call(module, x) gives the output to compare."""
    call = call or (lambda m, v: m(v))
    for parameter in module.parameters():  # no gradient should hide behind zeros or ones
        with torch.no_grad():
            parameter += 0.1 * torch.randn_like(parameter)
            if getattr(module, "padding_idx", None) is not None:
                parameter[module.padding_idx] = 0
    for key, value in module.state_dict().items():
        store(f"{name}/state/{key}", value.clone())
    module.train()
    differentiable = x.is_floating_point()
    x = x.clone().requires_grad_(differentiable)
    y = call(module, x)
    (y * y).sum().backward()
    store(f"{name}/x", x)
    store(f"{name}/y", y)
    if differentiable:
        store(f"{name}/gradient/x", x.grad)
    for key, parameter in module.named_parameters():
        store(f"{name}/gradient/{key}", parameter.grad)
    for key, value in module.named_buffers():
        store(f"{name}/after/{key}", value)
    module.eval()
    with torch.no_grad():
        store(f"{name}/eval", call(module, x))


case("linear", nn.Linear(5, 3), real(2, 4, 5))
case("linear_no_bias", nn.Linear(5, 3, bias=False), real(2, 5))
case("conv1d", nn.Conv1d(3, 4, 3, stride=2, padding=1), real(2, 3, 9))
case("conv2d", nn.Conv2d(3, 4, 3, padding=1), real(2, 3, 6, 5))
case("conv2d_groups",
     nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2),
     real(2, 4, 7, 6))
case("conv2d_same", nn.Conv2d(2, 3, 4, padding="same", dilation=1), real(2, 2, 6, 5))
case("conv3d", nn.Conv3d(2, 3, 2), real(1, 2, 3, 4, 3))
case("conv_transpose1d",
     nn.ConvTranspose1d(3, 2, 3, stride=2, padding=1, output_padding=1), real(2, 3, 4))
case("conv_transpose2d",
     nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2), real(2, 4, 3, 4))
case("max_pool2d", nn.MaxPool2d(3, stride=2, padding=1), real(2, 3, 7, 6))
case("max_pool2d_ceil", nn.MaxPool2d(2, ceil_mode=True), real(1, 2, 5, 7))
case("avg_pool1d", nn.AvgPool1d(3, stride=2, padding=1), real(2, 3, 8))
case("avg_pool2d", nn.AvgPool2d(2, padding=1, count_include_pad=False), real(2, 3, 6, 4))
case("adaptive_avg_pool2d", nn.AdaptiveAvgPool2d((3, 2)), real(2, 3, 7, 5))
case("adaptive_max_pool1d", nn.AdaptiveMaxPool1d(4), real(2, 3, 10))
case("batch_norm1d", nn.BatchNorm1d(4), real(6, 4))
case("batch_norm2d", nn.BatchNorm2d(3, momentum=0.3, eps=1e-3), real(4, 3, 3, 2))
case("batch_norm2d_average", nn.BatchNorm2d(3, momentum=None, affine=False), real(4, 3, 3, 2))
case("layer_norm", nn.LayerNorm([4, 5]), real(3, 4, 5))
case("group_norm", nn.GroupNorm(2, 6), real(3, 6, 4))
case("rms_norm", nn.RMSNorm(5, eps=1e-6), real(3, 5))
case("embedding", nn.Embedding(7, 3, padding_idx=2), torch.tensor([[0, 2, 6], [3, 3, 1]]))
case("gelu", nn.GELU(), real(3, 5))
case("gelu_tanh", nn.GELU(approximate="tanh"), real(3, 5))
case("silu", nn.SiLU(), real(3, 5))
case("elu", nn.ELU(0.7), real(3, 5))
case("leaky_relu", nn.LeakyReLU(0.2), real(3, 5))
case("softplus", nn.Softplus(), real(3, 5))
case("hard_swish", nn.Hardswish(), 3 * real(3, 5))
case("log_softmax", nn.LogSoftmax(1), real(3, 5))


def outputs(module, x):
    return module(x)[0]


def states(module, x):
    state = module(x)[1]
    return torch.cat(state, -1) if isinstance(state, tuple) else state


case("rnn", nn.RNN(4, 3), real(5, 2, 4), outputs)
case("rnn_relu", nn.RNN(4, 3, nonlinearity="relu", bias=False), real(5, 2, 4), outputs)
case("lstm", nn.LSTM(4, 3, num_layers=2, batch_first=True), real(2, 5, 4), outputs)
case("lstm_bidirectional", nn.LSTM(4, 3, num_layers=2, bidirectional=True), real(5, 2, 4), outputs)
case("lstm_states", nn.LSTM(4, 3, num_layers=2, bidirectional=True), real(5, 2, 4), states)
case("gru", nn.GRU(4, 3, batch_first=True, bidirectional=True), real(2, 5, 4), outputs)
case("gru_states", nn.GRU(4, 3, num_layers=2), real(5, 2, 4), states)
case("gru_unbatched", nn.GRU(4, 3), real(5, 4), outputs)


def attend(module, x):
    return module(x, x, x, need_weights=False)[0]


def attend_other(module, x):
    return module(x[:, :2], x, x * 2, need_weights=False)[0]


def attend_causal(module, x):
    mask = nn.Transformer.generate_square_subsequent_mask(x.shape[0])
    return module(x, x, x, attn_mask=mask, need_weights=False)[0]


def attend_padded(module, x):
    padding = torch.tensor([[False, False, False, True], [False, True, False, True]])
    return module(x, x, x, key_padding_mask=padding, need_weights=False)[0]


case("attention", nn.MultiheadAttention(6, 2, batch_first=True), real(2, 4, 6), attend)
case("attention_other", nn.MultiheadAttention(6, 3, batch_first=True), real(2, 4, 6), attend_other)
case("attention_causal", nn.MultiheadAttention(6, 2), real(4, 2, 6), attend_causal)
case("attention_padded", nn.MultiheadAttention(6, 2, batch_first=True, bias=False), real(2, 4, 6),
     attend_padded)
case("encoder_layer", nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0), real(4, 2, 6))
case("encoder_layer_norm_first",
     nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, activation="gelu", batch_first=True,
                                norm_first=True),
     real(2, 4, 6))
case("encoder",
     nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True), 2,
                           norm=nn.LayerNorm(6), enable_nested_tensor=False),
     real(2, 4, 6))

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "layers.npz")
np.savez_compressed(path, **arrays)
print(len(arrays), "arrays,", os.path.getsize(path), "bytes")
