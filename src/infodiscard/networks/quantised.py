"""Quantised networks in floats: 8-bit integers pass no gradient, but the same rounded weights in floats do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import nn
from torch.ao.nn import quantized as static
from torch.ao.nn.intrinsic import quantized as fused
from torch.ao.nn.intrinsic.quantized import dynamic as fused_dynamic
from torch.ao.nn.quantized import dynamic
from torch.nn import functional as F

from ..errors import InfodiscardError, number, quoted
from .network import Network
from .preserve import unwrap
from .probe import Call, arguments
from .raised import network_errors

TOLERANCE = 0.1
"""How far the outputs may be from those of the integers, relative to their size."""

N = TypeVar("N", nn.Module, Network)
CONVOLUTIONS = {
    static.Conv1d: nn.Conv1d,
    static.Conv2d: nn.Conv2d,
    static.Conv3d: nn.Conv3d,
}
RELUS = (
    fused.ConvReLU1d,
    fused.ConvReLU2d,
    fused.ConvReLU3d,
    fused.LinearReLU,
    fused.BNReLU2d,
    fused.BNReLU3d,
    fused_dynamic.LinearReLU,
)
RECURRENT = {dynamic.LSTM: nn.LSTM, dynamic.GRU: nn.GRU}
EMBEDDINGS = {static.Embedding: nn.Embedding, static.EmbeddingBag: nn.EmbeddingBag}


class Saturate(nn.Module):
    """Clips values to the range of the integers that they were rounded to."""

    def __init__(self, scale: float, zero_point: int, dtype: torch.dtype = torch.quint8) -> None:
        super().__init__()
        info = torch.iinfo(torch.uint8 if dtype == torch.quint8 else torch.int8)
        self.low, self.high = ((end - zero_point) * scale for end in (info.min, info.max))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Returns values of any shape, clipped."""
        return values.clamp(self.low, self.high)


def dequantise(network: N, example: Call, tolerance: float = TOLERANCE) -> N:
    """Returns a copy of a quantised network that can be measured: its own rounded weights, computed with in floats.

    It is for networks that `torch.ao.quantization` has made, dynamic and static ones (eager or FX). Features of the
    copy saturate where those of the integers do, but are not rounded to their grid, which has no gradient. Layers have
    the names that they had.

    Args:
        network: a module of integers, or a `Network` with such.
        example: an input, `batch × …`, as the module takes it; of several, a tuple, or a dict by their names.
        tolerance: how far the outputs for the example may be from those of the integers, in norm, relative to these.

    Raises:
        InfodiscardError: nothing in the network is quantised, a part of it has no equivalent in floats, or the outputs
            are not those of the integers.
    """
    tolerance = number("tolerance", tolerance, "a number above 0")
    module = network.module if isinstance(network, Network) else network
    if not isinstance(module, nn.Module):
        raise InfodiscardError(f"network was {quoted(network)}; it must be a torch.nn.Module or a Network.")
    module = unwrap(module)
    if not any(map(_is_quantised, module.modules())) and not isinstance(module, torch.fx.GraphModule):
        raise InfodiscardError(f"Nothing in the {type(module).__name__} is quantised; measure it as it is.")
    twin = _in_floats(copy.deepcopy(module))
    _compare(module, twin, example, tolerance)
    return replace(network, module=twin) if isinstance(network, Network) else twin  # type: ignore[return-value]


def _compare(module: nn.Module, twin: nn.Module, example: Call, tolerance: float) -> None:
    """Raises InfodiscardError if the outputs of the two networks are too far apart."""
    outputs = []
    for each in (module, twin):
        args, kwargs = arguments(example)
        with torch.no_grad(), network_errors(each):
            output = each(*args, **kwargs)
        output = output[0] if isinstance(output, tuple) else output
        if not isinstance(output, torch.Tensor):
            raise InfodiscardError(f"The network returns a {type(output).__name__}; wrap it to return a tensor.")
        outputs.append(output.dequantize().double())
    whole, floats = outputs
    off = float((floats - whole).norm() / whole.norm().clamp_min(1e-12))
    if not off <= tolerance:
        raise InfodiscardError(
            f"In floats, the network's outputs are {off:.1%} from those of its integers, more than the {tolerance:.0%} "
            "allowed, so what rounds its features matters, and a measurement in floats would not be of it; give a "
            "tolerance if that is meant."
        )


def _in_floats(module: nn.Module) -> Any:
    """Returns a module in floats; its parts are replaced in place."""
    if _is_quantised(module):
        return _part_in_floats(module)
    for name, child in module.named_children():
        setattr(module, name, _in_floats(child))
    return _graph_in_floats(module) if isinstance(module, torch.fx.GraphModule) else module


def _is_quantised(module: nn.Module) -> bool:
    """Whether a module computes with integers, or makes such of floats."""
    home = type(module).__module__
    return home.startswith("torch.ao.nn.") and ".quantized" in home and ".reference" not in home


def _part_in_floats(part: Any) -> nn.Module:
    """Returns what computes in floats what one quantised module does.

    Raises:
        InfodiscardError: it is of no known kind.
    """
    relu = [nn.ReLU()] if isinstance(part, RELUS) else []
    if isinstance(part, static.DeQuantize):
        return nn.Identity()
    if isinstance(part, static.Quantize):
        return Saturate(float(part.scale), int(part.zero_point), part.dtype)
    if isinstance(part, static.QFunctional):
        functional: Any = static.FloatFunctional()
        functional.activation_post_process = Saturate(part.scale, part.zero_point)
        return functional
    for kinds, build in ((RECURRENT, _recurrent), (EMBEDDINGS, _embedding), (CONVOLUTIONS, _convolution)):
        for kind, plain in kinds.items():  # type: ignore[attr-defined]
            if isinstance(part, kind):
                made = build(part, plain)
                return made if build is not _convolution else nn.Sequential(made, *relu, _saturate(part))
    if isinstance(part, static.Linear):
        linear = nn.Linear(part.in_features, part.out_features)
        _fill(linear, part.weight(), part.bias())
        rest = [] if isinstance(part, dynamic.Linear) else [_saturate(part)]
        return nn.Sequential(linear, *relu, *rest).eval() if relu or rest else linear.eval()
    plain = next((kind for kind in type(part).__mro__ if kind.__module__.startswith("torch.nn.modules.")), nn.Module)
    if plain in (nn.Module, nn.modules.batchnorm._BatchNorm):
        raise InfodiscardError(
            f"A {type(part).__name__} has no equivalent in floats here; measure a network without it, or the layers "
            "before it."
        )
    part.__class__ = plain  # an activation or a norm, which keeps its own floats
    return nn.Sequential(part, *relu, _saturate(part)) if hasattr(part, "scale") else part


def _saturate(part: Any) -> Saturate:
    return Saturate(float(part.scale), int(part.zero_point))


def _fill(plain: Any, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    """Gives a plain layer the rounded weights of a quantised one."""
    plain.weight = nn.Parameter(weight.dequantize(), requires_grad=False)
    plain.bias = None if bias is None else nn.Parameter(bias.detach().dequantize(), requires_grad=False)


def _convolution(part: Any, plain: Callable[..., nn.Module]) -> nn.Module:
    names = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode")
    made = plain(**{name: getattr(part, name) for name in names})
    _fill(made, part.weight(), part.bias())
    return made.eval()


def _embedding(part: Any, plain: Any) -> nn.Module:
    return plain.from_pretrained(part.weight().dequantize())


def _recurrent(part: Any, plain: Callable[..., nn.Module]) -> nn.Module:
    names = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
    made = plain(**{name: getattr(part, name) for name in names})
    for name, value in (part.get_weight() | part.get_bias()).items():
        setattr(made, name, nn.Parameter(value.detach().dequantize(), requires_grad=False))
    return made.eval()


def _graph_in_floats(module: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """Replaces the functions of an FX graph that compute with integers, in place."""
    for node in list(module.graph.nodes):
        if node.target in ("dequantize", torch.dequantize):
            node.replace_all_uses_with(node.args[0])
            module.graph.erase_node(node)
        elif node.op == "call_function" and node.target is torch.quantize_per_tensor:
            node.target = _clipped
        elif node.op == "call_function" and (plain := FUNCTIONS.get(str(node.target).removesuffix(".default"))):
            node.target = plain
    module.recompile()
    return module


def _clipped(values: torch.Tensor, scale: Any, zero_point: Any, dtype: torch.dtype = torch.quint8) -> torch.Tensor:
    return Saturate(float(scale), int(zero_point), dtype)(values)


def _then_clipped(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Returns a function of tensors, a scale and a zero point, whose result is clipped as integers are."""

    def clipped(*args: Any) -> torch.Tensor:
        *values, scale, zero_point = args
        return _clipped(function(*values), scale, zero_point)

    return clipped


FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "quantized.add": _then_clipped(torch.add),
    "quantized.mul": _then_clipped(torch.mul),
    "quantized.add_relu": _then_clipped(lambda one, other: torch.relu(one + other)),
    "quantized.mul_relu": _then_clipped(lambda one, other: torch.relu(one * other)),
    "quantized.matmul": _then_clipped(torch.matmul),
    "quantized.cat": lambda values, scale, zero_point, dim=0: _clipped(torch.cat(values, dim), scale, zero_point),
    "quantized.hardswish": _then_clipped(F.hardswish),
    "quantized.leaky_relu": lambda values, slope, inplace, scale, zero_point: _clipped(
        F.leaky_relu(values, slope), scale, zero_point
    ),
}
"""Functions of integers → the same of floats."""
