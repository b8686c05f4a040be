"""Noise that belongs to its sample: the same in every batch, order and run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch


def on_host(samples: torch.Tensor) -> torch.Tensor:
    """Returns a copy of samples of any shape in a CPU's memory, in float32: what their noise is chosen by."""
    return samples.detach().to("cpu", torch.float32).contiguous()


class SampleNoise:
    """Standard normal noise that depends on a sample's content, the seed and a purpose; on nothing else.

    The same noise serves every layer and every network that takes the same input, so that comparisons are paired.

    Args:
        samples: `n × C × H × W`, the inputs that the noise belongs to.
        seed: the run's seed.
        purpose: a word that keeps independent streams apart.
        host: `on_host(samples)`, where that is known already.
    """

    def __init__(self, samples: torch.Tensor, seed: int, purpose: str, host: torch.Tensor | None = None) -> None:
        self._shape, self._device, self._dtype = samples.shape[1:], samples.device, samples.dtype
        self._generators = []
        for sample in on_host(samples) if host is None else host:
            content = sample.numpy().tobytes()
            digest = hashlib.sha256(f"{seed}/{purpose}/".encode() + content).digest()
            generator = torch.Generator(device=samples.device)
            generator.manual_seed(int.from_bytes(digest[:8], "little") % 2**63)
            self._generators.append(generator)

    def draw(self, rows: Sequence[int], count: int) -> torch.Tensor:
        """Returns the next `count` draws of each of the samples `rows`: `r × count × C × H × W`."""
        drawn = torch.empty((len(rows), count, *self._shape), device=self._device, dtype=self._dtype)
        for row, own in zip(rows, drawn, strict=True):
            own.normal_(generator=self._generators[row])
        return drawn

    def position(self) -> torch.Tensor:
        """Where the streams are, `n × …` bytes."""
        return torch.stack([generator.get_state() for generator in self._generators])

    def go_to(self, position: torch.Tensor) -> None:
        """Continues from a `position`."""
        for generator, state in zip(self._generators, position, strict=True):
            generator.set_state(state.cpu().clone())  # not a view, which it misreads
