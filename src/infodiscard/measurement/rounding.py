"""Rounding of the noise: inputs so large that the network's numbers cannot hold them and the noise at once."""

from __future__ import annotations

import torch

from ..core.kinds import TABLE
from ..data.inputs import Inputs
from ..errors import SampleError
from .prepared_network import PreparedNetwork

SPACINGS, HALF_SPACINGS = 20, 2
"""Least √τ, in distances of neighbouring numbers: of float32 and float64, in which a layer's sums are rounded as well;
and of float16 and bfloat16, whose sums are formed in float32. Measured: SID is then exact to 0.02 nats."""


def check_noise(network: PreparedNetwork, part: Inputs, tau: float) -> None:
    """Checks that noise of variance `tau` survives being added to samples, in the numbers the network computes in.

    What counts are the values that share one σ, together: a token or pixel with one large value among many is measured.
    The first layer of a network on tables sums over the whole row, so there it is the row.

    Raises:
        SampleError: some samples are too large.
    """
    dtype = torch.bfloat16 if network.precision == "bf16" else network.dtype
    half = torch.finfo(dtype).bits < 32
    values = network.normalised(part)
    squares = values.double().square()
    if half:
        spacing = squares.mean(1).sqrt()
    else:
        spacing = squares.sum((1, 3) if part.layout is TABLE else 1).sqrt()
    spacing = torch.finfo(dtype).eps * spacing.flatten(1).amax(1)
    drowned = (HALF_SPACINGS if half else SPACINGS) * spacing > tau**0.5
    if drowned.any():
        rows = drowned.nonzero()[:, 0].tolist()
        largest = float(values[rows].abs().max())
        raise SampleError(
            f"The noise has a standard deviation of {tau**0.5:.3g}, which {str(dtype).removeprefix('torch.')} rounds "
            f"away beside inputs as large as {largest:.3g}; centre and standardise the inputs, "
            + ("or measure in float32." if half else "or measure in float64 (model.double()) or with a larger tau."),
            rows,
            "noise_rounded_away",
        )
