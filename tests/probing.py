"""A small network with an awkward order, and what the tests of reading layers compare."""

from hashlib import sha256

import torch
from torch import nn

from infodiscard.networks.preserve import preserved
from infodiscard.networks.probe import Probe


class Small(nn.Module):
    """Declared in another order than it runs, with a module that is called twice and one that never is."""

    def __init__(self, inplace=False):
        super().__init__()
        self.head = nn.Linear(4, 5)
        self.relu = nn.ReLU(inplace=inplace)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.unused = nn.Linear(2, 2)

    def forward(self, x):
        x = self.relu(self.stem(x))
        out = self.block(x)
        out += x
        return self.head(self.relu(out).mean((2, 3)))


class Lambda(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *args):
        return self.function(*args)


def seeded(factory, *args, seed=0, **kwargs):
    """A module with the same random weights every time, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return factory(*args, **kwargs).eval()


def images(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def read(model, address, x):
    with preserved(model) as plain:
        return Probe(plain, address)(x)


def snapshot(model):
    """Everything about a network that must not change."""
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    return {
        "state": {k: sha256(v.detach().numpy().tobytes()).hexdigest() for k, v in tensors.items()},
        "addresses": {k: (id(v), v.data_ptr()) for k, v in tensors.items()},
        "requires_grad": {k: p.requires_grad for k, p in model.named_parameters()},
        "grad": {
            k: None if p.grad is None else (id(p.grad), p.grad.clone().tolist()) for k, p in model.named_parameters()
        },
        "training": {k: m.training for k, m in model.named_modules()},
        "hooks": {
            k: (
                len(m._forward_hooks),
                len(m._forward_pre_hooks),
                len(m._backward_hooks),
                len(m._forward_hooks_always_called),
            )
            for k, m in model.named_modules()
        },
    }


def mixed(inplace=True):
    """A network with some parameters frozen, some with a gradient, and a hook of the user's own."""
    model = seeded(Small, inplace=inplace)
    model.stem.weight.requires_grad_(False)
    model.head.bias.grad = torch.full((5,), 3.0)
    model.unused.train()
    model.relu.register_forward_hook(lambda module, args, output: None)
    return model
