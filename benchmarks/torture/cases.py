"""Random small networks: every case follows from its number and a seed alone, on every machine."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

SAMPLES = 3
"""Inputs of a case."""


class Of(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Applies the function."""
        return self.function(x)


class Around(nn.Module):
    """A block beside what it is given: added to it (`skip`) or behind its channels (`concatenation`)."""

    def __init__(self, inner: nn.Module, axis: int | None) -> None:
        super().__init__()
        self.inner, self.axis = inner, axis

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Joins x and what the block makes of it."""
        return x + self.inner(x) if self.axis is None else torch.cat([x, self.inner(x)], self.axis)


class Attention(nn.Module):
    """Self-attention with a skip."""

    def __init__(self, width: int, sharpness: float) -> None:
        super().__init__()
        self.inner, self.sharpness = nn.MultiheadAttention(width, 2, batch_first=True), sharpness

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Adds to every token what it attends to."""
        return x + self.inner(self.sharpness * x, x, x, need_weights=False)[0]


class Recurrent(nn.Module):
    """An LSTM or a GRU over tokens: the states of all steps, or the last one."""

    def __init__(self, cell: type[nn.LSTM | nn.GRU], width: int, last: bool) -> None:
        super().__init__()
        self.inner, self.last = cell(width, width, batch_first=True), last

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Returns `n × tokens × width`, or `n × width`."""
        states = self.inner(3 * x)[0]
        return states[:, -1] if self.last else states


@dataclass(frozen=True)
class At:
    """Where a block is built: what it is given, and what chance chooses its details.

    Attributes:
        form: `image`, `series` or `tokens`; `table` is also what global pooling leaves.
        shape: of one input.
        chance: of the case; the weights come from torch's generator.
    """

    form: str
    shape: tuple[int, ...]
    chance: random.Random

    @property
    def width(self) -> int:
        """Channels, or values of a token or a table."""
        return self.shape[self.axis - 1]

    @property
    def axis(self) -> int:
        """The dimension of a batch that holds them."""
        return 2 if self.form == "tokens" else 1

    @property
    def sizes(self) -> tuple[int, ...]:
        """Height and width, or length; none for tokens and tables."""
        return self.shape[1:] if self.form in SPATIAL else ()

    def module(self, name: str) -> type[nn.Module]:
        """A module of PyTorch for as many dimensions."""
        return getattr(nn, f"{name}{len(self.sizes)}d")

    def per_channel(self, values: torch.Tensor) -> torch.Tensor:
        """Shapes a value per channel (`width`) to be broadcast over one input."""
        return values.view(-1, *[1] * (len(self.shape) - self.axis))


SPATIAL = {"image": 2, "series": 1}
EVERY = ("image", "series", "tokens", "table")


@dataclass(frozen=True)
class Block:
    """A kind of layer.

    Attributes:
        make: builds it; its parameters come from torch's generator.
        takes: forms that it can be given.
        gives: the form it returns; the same by default.
    """

    make: Callable[[At], nn.Module]
    takes: tuple[str, ...] = EVERY
    gives: str | None = None


def _spread(module: nn.Module) -> nn.Module:
    """Makes the weights of a layer very unlike, input by input."""
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim > 1:
                weight *= 2 * torch.randn(weight.shape[1], *[1] * (weight.ndim - 2)).mul(0.7).exp()
    return module


def _conv(at: At, **options: int) -> nn.Module:
    kernel = options.pop("kernel_size", at.chance.choice((1, 3)))
    padding = options.get("dilation", 1) * (kernel // 2)
    wide = options.get("groups", 1) * at.chance.randint(1, 4)
    return _spread(at.module("Conv")(at.width, wide, kernel, padding=padding, **options))


def _grouped(at: At) -> nn.Module:
    """Twice the channels, in two groups."""
    wide = at.module("Conv")(at.width, 2 * at.width, 1)
    return nn.Sequential(wide, at.module("Conv")(2 * at.width, 4, 3, padding=1, groups=2))


def _pooled(at: At, name: str) -> nn.Module:
    return at.module(f"Adaptive{name}Pool")(tuple(max(1, size // 2) for size in at.sizes))


def _linear(at: At) -> nn.Module:
    return _spread(nn.Linear(at.width, 2 * at.chance.randint(1, 4)))  # even: for the heads of an attention


def _dense(at: At) -> nn.Module:
    count = int(torch.tensor(at.shape).prod())
    return nn.Sequential(nn.Flatten(), _spread(nn.Linear(count, at.chance.randint(1, 12))))


def _encoder(at: At) -> nn.Module:
    return nn.TransformerEncoderLayer(at.width, 2, 2 * at.width, dropout=0.0, activation="gelu", batch_first=True)


def _batch_norm(at: At) -> nn.Module:
    norm = at.module("BatchNorm")(at.width) if at.sizes else nn.BatchNorm1d(at.width)
    with torch.no_grad():
        norm.running_mean.normal_()
        norm.running_var.copy_(torch.randn(at.width).exp())
        norm.weight.normal_()
    return norm


def _step(x: torch.Tensor, surrogate: bool) -> torch.Tensor:
    """1 where x is positive; with the gradient of a sigmoid, or none."""
    soft = torch.sigmoid(4 * x)
    return (x > 0).to(x) + (soft - soft.detach() if surrogate else 0)


def _rounded(x: torch.Tensor) -> torch.Tensor:
    """Rounds to thirds, straight through."""
    return x + ((3 * x).round() / 3 - x).detach()


def _dead(at: At) -> nn.Module:
    """Channels or values that are far below zero, but for some."""
    alive = torch.rand(at.width) < 0.4
    alive[at.chance.randrange(at.width)] = True
    shift = at.per_channel(torch.where(alive, 0.0, 50.0))
    return Of(lambda x: F.relu(x - shift.to(x)))


def _masked(at: At) -> nn.Module:
    """Looks at some positions alone."""
    seen = torch.rand(at.shape) < 0.5
    seen.flatten()[at.chance.randrange(seen.numel())] = True
    return Of(lambda x: x * seen.to(x))


def _faint(at: At) -> nn.Module:
    """Looks at some positions much less than at others, and at all of them together."""
    strength = 10 ** (-3 * torch.rand(at.shape))
    return nn.Sequential(Of(lambda x: x * strength.to(x)), _dense(at))


def _of(function: Callable[[torch.Tensor], torch.Tensor], *takes: str, gives: str | None = None) -> Block:
    return Block(lambda at: Of(function), takes or EVERY, gives)


def _along(function: Callable[..., torch.Tensor]) -> Block:
    """A function along the channels."""
    return Block(lambda at: Of(partial(function, dim=at.axis)))


def _times(factor: float) -> Block:
    return _of(lambda x: x * factor)


BLOCKS = {
    "conv": Block(_conv, tuple(SPATIAL)),
    "strided": Block(partial(_conv, stride=2, kernel_size=3), tuple(SPATIAL)),
    "dilated": Block(partial(_conv, dilation=2, kernel_size=3), tuple(SPATIAL)),
    "grouped": Block(_grouped, tuple(SPATIAL)),
    "depthwise": Block(lambda at: _conv(at, groups=at.width), tuple(SPATIAL)),
    "transposed": Block(lambda at: at.module("ConvTranspose")(at.width, 2, 2, stride=2), tuple(SPATIAL)),
    "linear": Block(_linear, ("tokens", "table")),
    "dense": Block(_dense, gives="table"),
    "max pool": Block(partial(_pooled, name="Max"), tuple(SPATIAL)),
    "average pool": Block(partial(_pooled, name="Avg"), tuple(SPATIAL)),
    "global average": _of(lambda x: x.flatten(2).mean(2), *SPATIAL, gives="table"),
    "global max": _of(lambda x: x.flatten(2).amax(2), *SPATIAL, gives="table"),
    "top 3": _of(lambda x: x.flatten(1).topk(min(3, x[0].numel())).values, gives="table"),
    "mean of tokens": _of(lambda x: x.mean(1), "tokens", gives="table"),
    "max of tokens": _of(lambda x: x.amax(1), "tokens", gives="table"),
    "relu": _of(F.relu),
    "gelu": _of(F.gelu),
    "sigmoid": _of(torch.sigmoid),
    "tanh": _of(torch.tanh),
    "clamp": _of(lambda x: x.clamp(-0.5, 0.5)),
    "abs": _of(torch.abs),
    "square": _of(torch.square),
    "exp": _of(lambda x: x.clamp(max=20).exp()),
    "softmax": _along(torch.softmax),
    "log softmax": _along(torch.log_softmax),
    "step": _of(partial(_step, surrogate=False)),
    "surrogate step": _of(partial(_step, surrogate=True)),
    "rounded": _of(_rounded),
    "attention": Block(lambda at: Attention(at.width, at.chance.choice((1.0, 5.0))), ("tokens",)),
    "encoder layer": Block(_encoder, ("tokens",)),
    "lstm": Block(lambda at: Recurrent(nn.LSTM, at.width, False), ("tokens",)),
    "gru": Block(lambda at: Recurrent(nn.GRU, at.width, False), ("tokens",)),
    "last of lstm": Block(lambda at: Recurrent(nn.LSTM, at.width, True), ("tokens",), "table"),
    "last of gru": Block(lambda at: Recurrent(nn.GRU, at.width, True), ("tokens",), "table"),
    "batch norm": Block(_batch_norm, ("image", "series", "table")),
    "group norm": Block(lambda at: nn.GroupNorm(1, at.width), tuple(SPATIAL)),
    "instance norm": Block(lambda at: at.module("InstanceNorm")(at.width), tuple(SPATIAL)),
    "layer norm": Block(lambda at: nn.LayerNorm(at.shape[-1]), ("tokens", "table")),
    "skip": Block(lambda at: Around(nn.Sequential(_wide(at), nn.ReLU()), None)),
    "concatenation": Block(lambda at: Around(nn.Sequential(_wide(at), nn.Tanh()), at.axis)),
    "dead": Block(_dead),
    "saturated": _of(lambda x: torch.tanh(20 * x)),
    "masked": Block(_masked),
    "faint": Block(_faint, gives="table"),
    "cropped": _of(lambda x: x[..., : max(1, x.shape[-1] // 2)], *SPATIAL),
    "first token": _of(lambda x: x[:, 0], "tokens", gives="table"),
    "offset": _of(lambda x: x + 1000.0),
    "constant": _of(lambda x: 0 * x + 1.5),
    "all dead": _of(lambda x: F.relu(x - 1e4)),
    **{f"×1e{power}": _times(10.0**power) for power in (-12, -8, -4, 4, 8, 12)},
}


def _wide(at: At) -> nn.Module:
    """A layer that keeps the shape."""
    if at.sizes:
        return at.module("Conv")(at.width, at.width, 3, padding=1)
    return nn.Linear(at.width, at.width)


CONVOLUTIONS = ("conv", "strided", "dilated", "grouped", "depthwise", "transposed")
CURVES = ("relu", "gelu", "sigmoid", "tanh", "softmax", "log softmax", "clamp", "abs", "square", "exp")
POOLS = ("max pool", "average pool", "global average", "global max", "top 3", "mean of tokens", "max of tokens")
FAMILIES = {
    "convolution": CONVOLUTIONS,
    "linear": ("linear", "dense"),
    "pooling": POOLS,
    "curve": CURVES,
    "threshold": ("step", "surrogate step", "rounded"),
    "attention": ("attention", "encoder layer"),
    "recurrence": ("lstm", "gru", "last of lstm", "last of gru"),
    "norm": ("batch norm", "group norm", "instance norm", "layer norm"),
    "branch": ("skip", "concatenation"),
    "dead": ("dead", "saturated"),
    "blind": ("masked", "faint", "cropped", "first token"),
    "scale": ("offset", *(name for name in BLOCKS if name.startswith("×"))),
    "constant": ("constant", "all dead"),
}
"""Kind of network → the blocks of which it has one; the blocks around it are any of the usual ones."""

BEFORE = (*CONVOLUTIONS, "linear", "dense", "batch norm")
BEHIND = (*CURVES, *POOLS, "linear", "dense", "skip")


@dataclass(frozen=True)
class Case:
    """A network, its inputs and the settings that it is measured with.

    Attributes:
        number, seed: all the rest follows from these.
        family: kind of network, one of `FAMILIES`.
        kind: of the inputs, as `infodiscard.measure` has it.
        shape: of one input.
        look: of the inputs: `normal`, `smooth`, `coarse` (of three values) or `empty` (zeros).
        blocks: names in `BLOCKS`, in order.
        sigma, alpha, tau, tolerance: settings.
    """

    number: int
    seed: int
    family: str
    kind: str
    shape: tuple[int, ...]
    look: str
    blocks: tuple[str, ...]
    sigma: str
    alpha: float
    tau: float
    tolerance: float

    @classmethod
    def of(cls, number: int, seed: int = 0) -> Case:
        """Returns the case of a number; numbers go through the families in turn."""
        chance = random.Random(f"{seed} {number}")
        family = list(FAMILIES)[number % len(FAMILIES)]
        special = chance.choice(FAMILIES[family])
        kind = chance.choice(BLOCKS[special].takes)
        return cls(
            number,
            seed,
            family,
            kind,
            _shape(kind, chance),
            chance.choice(("normal", "normal", "smooth", "coarse", "empty")),
            _blocks(kind, special, chance),
            chance.choice(("pixel", "pixel", "pixel", "unit")),
            chance.choice((1.5, 1.5, 1.5, 1.5, 1.0, 0.5, 4.0)),
            chance.choice((0.01, 0.01, 0.01, 1e-4, 0.1)),
            chance.choice((0.02, 0.02, 0.05)),
        )

    def __str__(self) -> str:
        blocks = " – ".join(self.blocks)
        size = "×".join(map(str, self.shape))
        return (
            f"#{self.number} {self.family}: {self.kind} {size} {self.look} – {blocks}; "
            f"σ {self.sigma}, α {self.alpha}, τ {self.tau}, tolerance {self.tolerance}"
        )

    def network(self) -> nn.Sequential:
        """Builds the network, in eval mode."""
        chance, layers = random.Random(f"{self.seed} {self.number} network"), []
        form, x = self.kind, torch.zeros(2, *self.shape)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(chance.getrandbits(32))
            for name in self.blocks:
                block = BLOCKS[name]
                layers.append(block.make(At(form, tuple(x.shape[1:]), chance)).eval())
                form, x = block.gives or form, layers[-1](x)
        return nn.Sequential(*layers).eval()

    def inputs(self) -> torch.Tensor:
        """Returns the inputs, `SAMPLES × …`."""
        generator = torch.Generator().manual_seed(random.Random(f"{self.seed} {self.number} inputs").getrandbits(32))
        x = torch.randn(SAMPLES, *self.shape, generator=generator)
        if self.look == "smooth":
            return x.cumsum(-1) / 2
        if self.look == "coarse":
            return x.round().clamp(-1, 1)
        # Not all of them zeros: the default cap is ten times the range of the inputs.
        return torch.cat([x[:1], torch.zeros_like(x[:1]), x[2:]]) if self.look == "empty" else x


def cases(count: int, seed: int = 0, family: str | None = None) -> list[Case]:
    """Returns the first `count` cases, of one family if it is given."""
    step = len(FAMILIES) if family else 1
    first = list(FAMILIES).index(family) if family else 0
    return [Case.of(first + step * i, seed) for i in range(count)]


def _shape(kind: str, chance: random.Random) -> tuple[int, ...]:
    channels = chance.choice((1, 1, 2, 3))
    if kind == "image":
        height = chance.choice((1, 4, 5, 6))
        return channels, height, chance.choice((4, 6))
    if kind == "series":
        return channels, chance.choice((5, 8, 16))
    return (chance.choice((2, 5, 8)), 4) if kind == "tokens" else (chance.choice((1, 3, 6, 12)),)


def _blocks(kind: str, special: str, chance: random.Random) -> tuple[str, ...]:
    """Chooses blocks of which each can take what the one before gives."""

    def choose(names: tuple[str, ...], form: str) -> list[str]:
        fitting = [name for name in names if form in BLOCKS[name].takes]
        return [chance.choice(fitting)] if fitting else []

    form, blocks = kind, []
    if chance.random() < 0.7:
        keeping = tuple(name for name in BEFORE if (BLOCKS[name].gives or form) in BLOCKS[special].takes)
        blocks += choose(keeping, form)
        form = _form(blocks, form)
    blocks.append(special)
    for _ in range(chance.choice((0, 0, 1, 2))):
        form = _form(blocks[-1:], form)
        blocks += choose(BEHIND, form)
    return tuple(blocks)


def _form(blocks: list[str], form: str) -> str:
    """The form behind the last of these blocks, which were given `form`."""
    return (BLOCKS[blocks[-1]].gives or form) if blocks else form
