"""Writes data/optimizers.npz and data/schedules.npz: five steps of each optimiser, and learning
rates of each schedule, by PyTorch.

Usage: python make_expected.py    (needs torch and numpy)
"""
import os

import numpy as np
import torch
from torch import optim
from torch.optim import lr_scheduler as schedules

torch.manual_seed(0)
folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")

# The gradient of sum((a p - b)^2) changes from step to step as p moves.
start, a, b = torch.randn(2, 3), torch.randn(2, 3), torch.randn(2, 3)
arrays = {"start": start.numpy(), "a": a.numpy(), "b": b.numpy()}


def trajectory(name, kind, **options):
    p = start.clone().requires_grad_()
    optimizer = kind([p], **options)
    points = []
    for _ in range(5):
        optimizer.zero_grad()
        ((a * p - b) ** 2).sum().backward()
        optimizer.step()
        points.append(p.detach().numpy().copy())
    arrays[name] = np.stack(points)


trajectory("sgd", optim.SGD, lr=0.05)
trajectory("sgd_momentum", optim.SGD, lr=0.05, momentum=0.9, weight_decay=0.1)
trajectory("sgd_dampening", optim.SGD, lr=0.05, momentum=0.9, dampening=0.3)
trajectory("sgd_nesterov", optim.SGD, lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.01)
trajectory("adam", optim.Adam, lr=0.1)
trajectory("adam_decay", optim.Adam, lr=0.1, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2)
trajectory("adam_amsgrad", optim.Adam, lr=0.1, betas=(0.5, 0.6), amsgrad=True)
trajectory("adamw", optim.AdamW, lr=0.1, weight_decay=0.3)
trajectory("rmsprop", optim.RMSprop, lr=0.05)
trajectory("rmsprop_centered", optim.RMSprop, lr=0.05, alpha=0.9, momentum=0.7, centered=True,
           weight_decay=0.1)
trajectory("adagrad", optim.Adagrad, lr=0.3)
trajectory("adagrad_decay", optim.Adagrad, lr=0.3, lr_decay=0.2, weight_decay=0.1,
           initial_accumulator_value=0.4)

gradients = [torch.randn(2, 3), torch.randn(4)]
parameters = [torch.zeros(2, 3, requires_grad=True), torch.zeros(4, requires_grad=True)]
for p, g in zip(parameters, gradients):
    p.grad = g.clone()
arrays["clip/norm"] = torch.nn.utils.clip_grad_norm_(parameters, 1.5).numpy()
for i, (p, g) in enumerate(zip(parameters, gradients)):
    arrays[f"clip/before{i}"], arrays[f"clip/after{i}"] = g.numpy(), p.grad.numpy()
np.savez(os.path.join(folder, "optimizers.npz"), **arrays)

rates = {}


def schedule(name, make, steps=40, losses=None):
    p = torch.zeros(1, requires_grad=True)
    optimizer = optim.SGD([p], lr=0.5)
    scheduler = make(optimizer)
    values = []
    for i in range(steps):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step(losses[i]) if losses is not None else scheduler.step()
    rates[name] = np.array(values)


schedule("step", lambda o: schedules.StepLR(o, 7, 0.3))
schedule("multi_step", lambda o: schedules.MultiStepLR(o, [4, 5, 20], 0.5))
schedule("exponential", lambda o: schedules.ExponentialLR(o, 0.9))
schedule("cosine", lambda o: schedules.CosineAnnealingLR(o, 40, 0.01))
schedule("one_cycle", lambda o: schedules.OneCycleLR(o, 0.5, total_steps=40))
losses = np.array([1, 0.9, 0.9, 0.89995, 0.95, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.5,
                   0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6])
rates["losses"] = losses
schedule("plateau",
         lambda o: schedules.ReduceLROnPlateau(o, factor=0.3, patience=2, min_lr=0.02), 20, losses)
np.savez(os.path.join(folder, "schedules.npz"), **rates)
