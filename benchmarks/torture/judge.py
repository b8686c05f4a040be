"""The judge: what a σ is worth on noise that no solver has seen. Plain PyTorch; nothing here knows a solver.

    feature = Feature(network, inputs, tau)
    feature.ratio(sigma, draws, seed)            E‖f(x + σ∘δ) − f(x)‖² / δ_f², and its standard error
    uniform(feature, alpha, cap)                 the uniform σ that meets the constraint
    improved(feature, sigma, …)                  a σ with more entropy, by changing it block by block

σ and x have the shape of one input, as the network takes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter

import torch

CONSTANT = 0.5 * math.log(2 * math.pi * math.e)
"""Entropy of a standard normal variable, nats."""

AT_ONCE = 2048
"""Noisy inputs in one forward pass."""

DRAWS, MOST = 2048, 32_768
"""Draws of an estimate, and most of one that is drawn again until it is precise."""

SEARCH_DRAWS = 256
"""Draws of one step of the search for a better σ."""

ROUNDS, BLOCKS = 6, 8
"""Steps of that search, and most blocks of one."""

MOVES = (-1.0, -0.3, 0.3, 1.0, 4.0)
"""What a block's log σ is changed by; by the last, what tolerates any noise once it tolerates much is found."""


def entropy(sigma: torch.Tensor) -> float:
    """Mean entropy of the noise, nats per element of the input."""
    return float(sigma.double().log().mean()) + CONSTANT


@dataclass(frozen=True)
class Ratio:
    """E(σ) / δ_f² with both sides on the same noise.

    Attributes:
        value, se: of the ratio; NaN where the feature did not react to the small noise.
        draws: noisy inputs behind it.
    """

    value: float
    se: float
    draws: int


@dataclass(frozen=True)
class Feature:
    """The feature of one input, and how far noise moves it.

    Attributes:
        network: `m × …` to features `m × …`.
        inputs: x, the shape of one input.
        tau: variance of the small noise that defines δ_f².
    """

    network: Callable[[torch.Tensor], torch.Tensor]
    inputs: torch.Tensor
    tau: float
    _clean: dict[int, torch.Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def _of(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.network(inputs).flatten(1).double()

    def noise(self, draws: int, seed: int) -> Iterator[torch.Tensor]:
        """Yields δ, at most `AT_ONCE` at a time, `m × …`; the same for every σ."""
        generator = torch.Generator().manual_seed(seed)
        for start in range(0, draws, AT_ONCE):
            yield torch.randn(min(AT_ONCE, draws - start), *self.inputs.shape, generator=generator)

    def levels(self, sigma: torch.Tensor | float, draws: int, seed: int) -> torch.Tensor:
        """‖f(x + σ∘δ) − f(x)‖² of each draw."""
        parts = self.noise(draws, seed)
        return torch.cat([self._far(self._of(self.inputs + sigma * unit)) for unit in parts])

    def _far(self, feature: torch.Tensor) -> torch.Tensor:
        """Squared distance of features (`m × units`) from f(x), which is computed in as large a batch.

        Another batch may be rounded in another way, and a feature that is constant would seem to react.
        """
        if len(feature) not in self._clean:
            self._clean[len(feature)] = self._of(self.inputs.expand(len(feature), *self.inputs.shape).contiguous())
        return (feature - self._clean[len(feature)]).square().sum(1)

    def small(self, draws: int, seed: int) -> torch.Tensor:
        """The same of the noise that defines δ_f²."""
        return self.levels(self.tau**0.5, draws, seed)

    def ratio(self, sigma: torch.Tensor | float, draws: int, seed: int, wanted: float = math.inf) -> Ratio:
        """E(σ) / δ_f² from `draws` draws, or of more of them until its standard error is `wanted`, relatively."""
        while True:
            level, small = self.levels(sigma, draws, seed), self.small(draws, seed)
            value = float(level.mean() / small.mean())
            se = float((level - value * small).std() / small.mean()) / draws**0.5
            if not se > wanted * value or draws >= MOST:
                return Ratio(value, se, draws)
            draws *= 4

    def reacts(self, draws: int, seed: int, beyond: float = 0.0) -> float:
        """Share of small noises that move the feature by more than `beyond`, in units of its own size."""
        size = float(self._of(self.inputs[None]).square().sum())
        return float((self.small(draws, seed) > beyond**2 * size).double().mean())


@dataclass(frozen=True)
class Bound:
    """The entropy of a σ that meets the constraint, and its standard error; nats per element of the input."""

    value: float
    se: float
    sigma: torch.Tensor


def at_constraint(feature: Feature, sigma: torch.Tensor, alpha: float, cap: float, draws: int, seed: int) -> Bound:
    """Scales σ by one number to the constraint, by bisection on common noise from below.

    Where E never reaches it, σ ends at the cap.
    """
    small = float(feature.small(draws, seed).mean())

    def miss(shift: float) -> float:
        """log E / α δ_f² after log σ has moved."""
        level = float(feature.levels(_moved(sigma, shift, cap), draws, seed).mean())
        return math.log(max(level, 1e-300) / (alpha * small))

    # From below, in steps: E need not grow everywhere, and the first crossing is what anyone can reach.
    step, low = 0.5, 0.0
    while miss(low) > 0 and low > -30:
        low -= step
    high = low + step
    highest = max(math.log(cap / float(sigma.min())), low + step)
    while miss(high) <= 0:
        if high >= highest:
            return Bound(entropy(_moved(sigma, high, cap)), 0.0, _moved(sigma, high, cap))
        low, high = high, high + step
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (middle, high) if miss(middle) <= 0 else (low, middle)
    place = _moved(sigma, low, cap)
    ratio = feature.ratio(place, draws, seed)
    power = (miss(low + 0.05) - miss(low - 0.05)) / 0.1
    return Bound(entropy(place), ratio.se / ratio.value / max(power, 0.05), place)


def uniform(feature: Feature, alpha: float, cap: float, draws: int = DRAWS, seed: int = 1) -> Bound:
    """The uniform σ that meets the constraint: a value that any solution must reach."""
    return at_constraint(feature, torch.full(feature.inputs.shape, feature.tau**0.5), alpha, cap, draws, seed)


def improved(
    feature: Feature, sigma: torch.Tensor, parameters: torch.Tensor, alpha: float, cap: float, seed: int
) -> torch.Tensor:
    """Searches for a σ with more entropy at the constraint, without a gradient.

    Each round divides the parameters into blocks, by their place and by their σ in turn, tries to change the log σ of
    every block by each of `MOVES`, and takes the changes that gain something together, or only the best.

    Args:
        feature: of the input.
        sigma: where the search begins.
        parameters: number of the parameter of σ behind each element of the input, in its shape.
        alpha, cap: the constraint.
        seed: of the search's noise, other noise every round.

    Returns:
        The best σ found on the search's own noise, to be judged on other noise.
    """
    size = 1.0
    for turn in range(ROUNDS):
        own = 1000 * seed + turn
        place = at_constraint(feature, sigma, alpha, cap, SEARCH_DRAWS, own)
        gains = _gains(feature, place.sigma, _blocks(place.sigma, parameters, turn), size, cap, own)
        found = place
        for chosen in (gains, [max(gains, key=itemgetter(0))]) if gains else ():
            shift = sum(move * member for _, _, move, member in chosen)
            moved = (place.sigma * shift.exp()).clamp(max=cap)
            new = at_constraint(feature, moved, alpha, cap, SEARCH_DRAWS, own)
            found = new if new.value > found.value else found
        size = size if found is not place else size / 2
        sigma = found.sigma
    return sigma


def _blocks(sigma: torch.Tensor, parameters: torch.Tensor, turn: int) -> list[torch.Tensor]:
    """Returns blocks of parameters, as 1 on their members and 0 elsewhere."""
    count = int(parameters.max()) + 1
    values = torch.zeros(count).scatter_(0, parameters.flatten(), sigma.flatten().float())
    order = torch.arange(count) if turn % 2 == 0 else values.argsort()
    return [torch.isin(parameters, part).to(sigma) for part in order.chunk(BLOCKS)]


def _gains(
    feature: Feature, sigma: torch.Tensor, members: list[torch.Tensor], size: float, cap: float, seed: int
) -> list[tuple[float, int, float, torch.Tensor]]:
    """Returns what the best move of each block gains, if anything: the gain, the block's number, the move, the block.

    The scaling back to the constraint is taken as d log E / d log σ says.
    """
    level, less = (float(feature.levels(sigma * by, SEARCH_DRAWS, seed).mean()) for by in (1.0, math.exp(-0.1)))
    if level == 0:  # nothing reacts to such a σ
        return []
    power = max(math.log(level / max(less, 1e-300)) / 0.1, 0.3)
    gains = []
    for number, member in enumerate(members):
        for move in MOVES:
            changed = (sigma * (size * move * member).exp()).clamp(max=cap)
            far = float(feature.levels(changed, SEARCH_DRAWS, seed).mean())
            gain = entropy(changed) - entropy(sigma) - math.log(max(far, 1e-300) / level) / power
            gains.append((gain, number, size * move, member))
    best = (max((each for each in gains if each[1] == number), key=itemgetter(0)) for number in range(len(members)))
    return [each for each in best if each[0] > 0]


def _moved(sigma: torch.Tensor, shift: float, cap: float) -> torch.Tensor:
    """Scales σ, up to the cap."""
    return (sigma * math.exp(shift)).clamp(max=cap)
