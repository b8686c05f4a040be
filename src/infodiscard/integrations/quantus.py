"""Explanation functions for Quantus: `evaluate({...}, {"SID": explainer("layer3")}, ...)`.

Nothing here needs Quantus. What it evaluates is the importance of SID or RU (`integrations.captum.importance`): its
metrics fold signs and expect that more means more relevant.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import InfodiscardError, nearest
from .captum import OPTIONS, RU, SID


def explain_func(
    model: Any,
    inputs: Any,
    targets: Any = None,
    *,
    layer: str | None = None,
    metric: str = "sid",
    spread: float = 1.0,
    decoders: str | Path | None = None,
    **options: Any,
) -> np.ndarray:
    """Returns how much of each pixel gets through to a layer, as Quantus calls its explanation functions.

    Args:
        model: the network, in eval mode, or Quantus' wrapper of one.
        inputs: in the network's normalised input space, `n × C × H × W`; or a series, `n × C × L`.
        targets: not used: the values are of a layer, not of a class.
        layer: its address.
        metric: `sid` or `ru`.
        spread: the inputs' standard deviation in that space.
        decoders: where RU's decoders are; the user's cache by default.
        options: `batch_size`, the noisy inputs in one forward pass, which changes no result; `kind`, which is `series`
            for a series, while images are recognised by their shape; and those of the solver in
            `integrations.captum.OPTIONS`. Whatever else Quantus adds, such as `method` and `device`, is ignored: the
            work is done where the network is.

    Returns:
        Nats per pixel, none negative, float32, `n × 1 × H × W` (`n × 1 × L`).

    Raises:
        InfodiscardError: no layer was named, or the input cannot be measured.
    """
    if layer is None:
        raise InfodiscardError(
            "No layer was named; use explainer('LAYER') as the explanation function, or put {'layer': 'LAYER'} into "
            "explain_func_kwargs."
        )
    network = model if isinstance(model, nn.Module) or not hasattr(model, "get_model") else model.get_model()
    method = _method(metric, network, layer, decoders)
    known = {name: options[name] for name in ("kind", *OPTIONS) if name in options}
    importance = method.importance(
        torch.as_tensor(np.array(inputs)), spread=spread, internal_batch_size=options.get("batch_size"), **known
    )
    assert isinstance(importance, torch.Tensor)  # as a single tensor went in
    return importance[:, :1].float().numpy()


def explainer(layer: str, **options: Any) -> Callable[..., np.ndarray]:
    """Returns `explain_func` with a layer and other options.

    Args:
        layer: its address.
        options: `metric`, `spread`, `decoders`, `batch_size`, `kind` and those in `integrations.captum.OPTIONS`.

    Raises:
        InfodiscardError: an option does not exist.
    """
    allowed = ("metric", "spread", "decoders", "batch_size", "kind", *OPTIONS)
    unknown = [name for name in options if name not in allowed]
    if unknown:
        raise InfodiscardError(
            f"explainer has no option '{unknown[0]}'; the nearest are {nearest(unknown[0], allowed)}."
        )
    return partial(explain_func, layer=layer, **options)


def _method(metric: str, network: nn.Module, layer: str, decoders: str | Path | None) -> SID:
    if metric == "sid":
        return SID(network, layer)
    if metric == "ru":
        return RU(network, layer, decoders)
    raise InfodiscardError(f"metric was {metric!r}; it can be 'sid' or 'ru'.")
