"""Strict information discarding: maximise Σ log σ_i subject to E(σ) = α δ_f² (paper, section 3.1; docs/solver.md).

In s = log σ the condition of the optimum is that g_j = ∂E/∂s_j is the same for every input unit. The Newton step
towards it is −(g_j / ḡ − 1) / c with the curvature c = 1 + ½ min(p, 2), where E grows with the power p of σ: 2 in the
linear regime. Its noise is white across pixels, while the solution is smooth on many scales, so the average Newton
target is estimated scale by scale: each scale is kept in proportion to how far its signal stands above its noise (a
Wiener filter, both powers measured from two independent halves of the draws), around a prediction from the gradient's
size (`ascent`, `wavelets`).

The search ends where fresh draws give the value at the optimum precisely enough (`correction`), not where σ has stopped
moving.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch

from .ascent import AscentState, advance
from .correction import GROUPS, SYSTEMATIC, Correction, FreshDraws
from .effort import FRESH_DRAWS, SLOPE_DRAWS, Effort
from .expectation import HEAVY_ERROR, Estimate, draw_gradients, expected_distance, feature_variation, ratio_to_small
from .problem import Problem
from .rows import Rows
from .saturation import BENT, at_cap, hides
from .scaling import scale_to_target, scaled
from .stage import Snapshot, Stage, Watch

ROUNDS = 8
"""Most ascents: another one follows a correction that is too large to be trusted."""

LEFT, DRAWN, PLACED = 0.8, 0.35, 0.48
"""Shares of the tolerance that may come from the correction's systematic error, from its draws, and from what is known
of the distance; their squares sum to 1."""

SLOPE_STEP, SLOPE_ERROR = 0.05, 0.25
"""Step of log σ for E's measured slope, and how far Σ g may be from it, relatively: a gradient that is not the
derivative (straight-through estimators, hooks that change it) shows there."""

FARTHEST = 0.3
"""Most that log σ is scaled by after the last look at its distance."""

MOST_CHECKED = 4096
"""Most noisy inputs from which the distance is measured that is reported."""

NO_VALUE = 0.1
"""Relative miss of the feature distance beyond which nothing is claimed about the optimum."""

NO_SURE, NO_ERROR = 0.5, 2.0
"""The same for twice the relative error of the distance, and for the error of what is missing, nats per input unit."""

TINY = 1e-30

KNOWN = ("log_cap", "scales", "weights", "taken")
"""What an ascent's state has of the problem, or twice, and a snapshot need not hold."""


@dataclass(frozen=True)
class Solution:
    """The maximiser's answer for n samples; tensors without a shape are `n`.

    Attributes:
        log_sigma: log σ of the free parameters, `n × planes × rows × columns`.
        distance: E / δ_f² on fresh noise.
        distance_se: its standard error, that of δ_f² included.
        gap: an upper estimate of the entropy missing to the optimum, nats per input unit; NaN where `correction` is.
        correction: the value at the optimum of the mean of log σ over the input units, minus that mean; NaN where the
            distance is far off its target or the gradient is not E's.
        correction_se: its standard error, with the systematic part.
        shift: log σ at the optimum minus `log_sigma`, to first order, in its shape; its noise is white, so that it
            serves for means over regions.
        shift_se: its standard error, parameter by parameter, without the systematic part.
        converged: whether `correction_se`, the distance and twice its error are within their tolerances.
        passes: forward-and-backward passes used; a forward pass alone counts one third.
        capped_share: share of the input units whose σ is at the cap.
        cap_matters: whether a cap ten times as large would move the mean by more than the tolerance.
    """

    log_sigma: torch.Tensor
    distance: torch.Tensor
    distance_se: torch.Tensor
    gap: torch.Tensor
    correction: torch.Tensor
    correction_se: torch.Tensor
    shift: torch.Tensor
    shift_se: torch.Tensor
    converged: torch.Tensor
    passes: torch.Tensor
    capped_share: torch.Tensor
    cap_matters: torch.Tensor


def maximise_entropy(
    problem: Problem,
    effort: Effort = Effort(),
    start: torch.Tensor | None = None,
    watch: Watch | None = None,
    snapshot: Snapshot | None = None,
) -> Solution:
    """Finds the σ of largest entropy for every sample of a problem, each by itself.

    Args:
        problem: what is maximised, and the constraint.
        effort: when to stop.
        start: log σ of a similar problem, such as the layer before, `n × planes × rows × columns`; uniform by default.
        watch: is told every stage.
        snapshot: of the same search, made by another call, from where this one continues.

    Raises:
        SampleError: δ_f² is zero (the feature does not react to the input) or not finite.
    """
    return _Search(problem, effort, start, watch, snapshot).solution()


class _Search:
    """An ascent, repeated until fresh draws give the value at the optimum; tensors have a row per sample.

    Attributes:
        state: of the ascent.
        place: log σ at the end of the last ascent, scaled to the target, `n × planes × rows × columns`.
        fresh: draws at `place`.
        forwards: forward passes other than the steps', `n`.
        least: mean log σ that is known to be within reach, `n`.
        false_gradient: whether Σ g is not the slope of E, `n`.
        unsure: how far it may be from that, relatively, `n`; 1 where it is not known.
        active: whether the present ascent is of this sample, `n`.
        fewest: passes of a sample in it, `n`; 0 where it ends by itself.
        round: ascents before it.
    """

    def __init__(
        self,
        problem: Problem,
        effort: Effort,
        start: torch.Tensor | None,
        watch: Watch | None,
        snapshot: Snapshot | None,
    ) -> None:
        self.problem, self.effort, self.all, self.watch = problem, effort, problem.all, watch
        self.streams = {name: problem.stream(name) for name in ("solve", "correct", "check")}
        first = problem.stream("solve").draw(self.all.numbers, max(2, effort.draws // 2))
        problem.distance.normalise(problem.tau**0.5 * first)
        begin = problem.uniform if start is None else start
        none = torch.zeros_like(begin[:, 0, 0, 0])
        self.state = AscentState.begin(begin, problem.space, none, problem.log_cap)
        self.place, self.fresh = self.state.log_sigma.clone(), FreshDraws.none(begin)
        self.unsure = torch.ones_like(none)
        self.false_gradient, self.active = torch.zeros_like(none, dtype=torch.bool), torch.ones_like(none).bool()
        self.fewest, self.round = torch.zeros_like(self.all.index), 0
        # A σ that is always within reach: the small noise itself, where E is δ_f² and thus at most α δ_f².
        self.least = torch.full_like(none, math.log(problem.tau) / 2 if problem.alpha >= 1 else -math.inf)
        self.forwards = torch.zeros_like(self.all.index)
        if snapshot is not None:
            self._restore(snapshot)
            return
        # Enough to steer by: what is reported are ratios to δ_f² on common noise.
        variation = feature_variation(problem, *effort.coarse)
        self.state.target = problem.alpha * variation.mean
        self.forwards = variation.draws + first.shape[1]
        if start is None:
            self._look_at_uniform(first)
            self.place = self.state.log_sigma.clone()

    def _tensors(self) -> dict[str, tuple[object, str]]:
        """Returns where every tensor is that a snapshot holds: its owner and its attribute."""
        owners = {"": self, "state.": self.state, "fresh.": self.fresh}
        names = {
            "": ["place", "forwards", "least", "false_gradient", "unsure", "active", "fewest"],
            "state.": [each.name for each in fields(AscentState) if each.name not in KNOWN],
            "fresh.": [each.name for each in fields(FreshDraws)],
        }
        return {prefix + name: (owners[prefix], name) for prefix, each in names.items() for name in each}

    def _snapshot(self) -> Snapshot:
        """Returns all that the search has come to."""
        tensors = {name: getattr(*place).clone() for name, place in self._tensors().items()}
        positions = {f"stream.{name}": stream.position() for name, stream in self.streams.items()}
        return tensors | positions | {"round": torch.tensor(self.round)}

    def _restore(self, snapshot: Snapshot) -> None:
        """Continues from a snapshot."""
        for name, (owner, attribute) in self._tensors().items():
            setattr(owner, attribute, snapshot[name].to(getattr(owner, attribute)).clone())
        for name, stream in self.streams.items():
            stream.go_to(snapshot[f"stream.{name}"])
        self.round, self.state.taken = int(snapshot["round"]), self.state.steps.tolist()

    def _look_at_uniform(self, first: torch.Tensor) -> None:
        """Takes the first step; its draws δ, and the same as small noise, tell the uniform σ that meets the constraint.

        Args:
            first: δ of the first step, `n × draws × C × H × W`.
        """
        alpha = self.problem.alpha
        small = self.problem.distance(self.all.index, self.problem.tau**0.5 * first).mean(1)
        self.forwards = self.forwards + first.shape[1]
        self._step(self.all)
        ratio = self.state.level / small
        level = self.problem.uniform.mean((1, 2, 3)) - (ratio / alpha).log() / self.state.power()
        # Where the power of E changes on the way, this is inexact far off: only what is near is claimed.
        near = (ratio / alpha).log().abs() < 0.5
        self.least = torch.where(near, torch.maximum(self.least, level), self.least)

    def solution(self) -> Solution:
        """Ascends and corrects alternately, until what is left can be corrected or the passes are spent."""
        effort = self.effort
        while self.round < ROUNDS and len(rows := self.all.kept(self.active)):
            self.ascend(rows)
            self.settle(rows)
            released = self.release(rows)
            self.draw_fresh(rows)
            excess = self.correction().systematic / (LEFT * effort.tolerance)
            able = self.spent() + 2 * effort.draws + effort.end_passes <= effort.max_passes
            self.active &= able & ((excess > 1) | released) & ~self.false_gradient
            # Where noise is what keeps it from the optimum, a gap falls more slowly than 1 / passes.
            self.fewest = (self.state.passes * (excess.nan_to_num(1).clamp(min=0) ** 1.5).clamp(1.3, 3)).ceil().long()
            self.round += 1
        return self._checked()

    def ascend(self, rows: Rows) -> None:
        """Takes steps of `rows`: in the first round until little seems to be left, later `fewest` passes."""
        effort, state = self.effort, self.state

        def unfinished() -> torch.Tensor:
            """Whether each of `rows` needs another step, `r`."""
            able = self.spent() + effort.draws + effort.end_passes <= effort.max_passes
            # Where the passes will not do for another round, this one must not end by luck.
            again = self.spent() + state.passes / 3 + 2 * effort.end_passes <= effort.max_passes
            seems_far = SYSTEMATIC * state.left > LEFT * effort.tolerance * torch.where(again, 1.0, 0.5)
            far = (state.passes < self.fewest if self.round else seems_far) | state.growing()
            return ((far & able) | (state.steps < 2))[rows.index]

        while len(active := rows.kept(unfinished())):
            self._step(active)
            if self.watch is not None:
                self.watch(Stage(self.spent(), self.expected(), self._snapshot))

    def _step(self, rows: Rows) -> None:
        """Takes one step of the samples `rows`."""
        advance(self.problem, self.state, self.streams["solve"], rows, self.effort.draws)

    def spent(self) -> torch.Tensor:
        """Passes of each sample until now, `n`, a forward pass counted as a third."""
        return self.state.passes + (self.forwards + 2) // 3

    def expected(self) -> torch.Tensor:
        """Passes that each sample will have taken in the end, `n`, by what is left now; the most, before that is known.

        What noise keeps from the optimum falls as 1 / passes, what has not been travelled yet more slowly.
        """
        excess = SYSTEMATIC * self.state.left / (LEFT * self.effort.tolerance)
        more = self.state.passes * (excess.clamp(min=1, max=1e6) ** 1.5 - 1)
        return (self.spent() + more + self.effort.end_passes).clamp(max=self.effort.max_passes)

    def settle(self, rows: Rows) -> None:
        """Scales the ascent's estimate of `rows` to the target, or takes the uniform σ where that is better."""
        self.place[rows.index] = self.state.estimate(rows.index)
        self._scale(rows, self.effort.looks)
        reached = self.problem.space.unit_mean(self.place)
        worse = rows.kept(~(reached >= self.least - 0.01)[rows.index])
        if len(worse):
            within = self.least.clamp(min=self._log_small()) if self.problem.alpha >= 1 else self.least
            self.place[worse.index] = within[worse.index][:, None, None, None]
            self._scale(worse, 1)
        self.fresh.forget(rows.index)

    def release(self, rows: Rows) -> torch.Tensor:
        """Puts the parameters of largest σ to the cap where that is better (`saturation`).

        Args:
            rows: samples.

        Returns:
            Of which samples, `n`.
        """
        power, released = self.state.power(), torch.zeros_like(self.active)
        able = self.spent() + self.effort.end_passes <= self.effort.max_passes
        rows = rows.kept(((power < BENT) & able)[rows.index])
        if not len(rows):
            return released
        moved, gain, forwards = at_cap(self.problem, self.place, self.state.target, power, rows)
        self.forwards = self.forwards + forwards
        rows = rows.kept((gain > self.effort.tolerance)[rows.index])
        if not len(rows):
            return released
        before, reached = self.place.clone(), self.problem.space.unit_mean(self.place)
        self.place[rows.index] = moved[rows.index]
        self._scale(rows, self.effort.looks)
        better = self.problem.space.unit_mean(self.place) > reached
        self.place = torch.where(better[:, None, None, None], self.place, before)
        rows = rows.kept(better[rows.index])
        released[rows.index] = True
        self.state.go_to(rows.index, self.place)
        self.fresh.forget(rows.index)
        return released

    def _log_small(self) -> float:
        """log √τ, rounded as `problem.small` is."""
        return float(torch.tensor(math.log(self.problem.tau) / 2, dtype=self.place.dtype))

    def _scale(self, rows: Rows, looks: int) -> None:
        """Scales `place` of the samples `rows` to the target in at most `looks` steps."""
        moved, forwards = scale_to_target(
            self.problem, self.place, self.state.power(), self.effort, looks, rows=rows, finish=False
        )
        self.place[rows.index] = moved[rows.index]
        self.forwards = self.forwards + forwards

    def draw_fresh(self, rows: Rows) -> None:
        """Draws at `place` of `rows` until the value at the optimum is known, or more draws would not help.

        None of them has fresh draws yet.
        """
        count, done, effort, problem = FRESH_DRAWS, 0, self.effort, self.problem
        while len(rows):
            task = problem, self.place, self.streams["correct"], rows, count
            for samples, unit, slope, gradient, level in draw_gradients(*task):
                group = samples.index
                small = problem.distance(group, problem.noise(problem.small, group, unit))
                if not done:
                    self._test_slope(group, unit, slope, level)
                self.fresh.add(group, slope, problem.space.gather(gradient.square()), level, small)
            self.forwards[rows.index] += 4 * count
            correction, done = self.correction(), done + count
            # More draws cannot help where the systematic part is most of the error.
            settled = (correction.systematic.square() - correction.unseen.square()).clamp(min=0).sqrt()
            wanted = (0.5 * settled).clamp(min=DRAWN * effort.tolerance)
            unknown = (correction.gap_se > wanted) | (correction.unseen > wanted)
            if done >= effort.fresh_draws:
                break
            rows = rows.kept(unknown[rows.index])
            count = min(max(FRESH_DRAWS, done // 2 // GROUPS * GROUPS), effort.fresh_draws - done)

    def _test_slope(self, rows: torch.Tensor, unit: torch.Tensor, slope: torch.Tensor, level: torch.Tensor) -> None:
        """Compares Σ g of a sample's first draws with the measured slope of E along the scale of σ.

        Args:
            rows: samples, `r`.
            unit: δ, `r × draws × C × H × W`.
            slope: g, `r × draws × planes × rows × columns`.
            level: L, `r × draws`.
        """
        less = self.problem.distance(rows, self.problem.noise(self.place - SLOPE_STEP, rows, unit[:, :SLOPE_DRAWS]))
        self.forwards[rows] += SLOPE_DRAWS
        measured = (level[:, :SLOPE_DRAWS] - less) / SLOPE_STEP
        claimed = slope[:, :SLOPE_DRAWS].sum((2, 3, 4))
        error = (claimed - measured).std(1) / SLOPE_DRAWS**0.5
        miss = (claimed - measured).mean(1).abs()
        allowed = SLOPE_ERROR * measured.mean(1).abs() + SLOPE_STEP * level[:, :SLOPE_DRAWS].mean(1) + 3 * error
        self.false_gradient[rows] = miss > allowed
        self.unsure[rows] = ((miss + error) / measured.mean(1).abs().clamp(min=TINY)).clamp(max=1)

    def correction(self) -> Correction:
        """Estimates from the fresh draws what `place` lacks of the optimum."""
        free = (self.place < self.problem.log_cap).to(self.place)
        return self.fresh.correction(self.problem.space, self.place, free, self.state.scales)

    def _checked(self) -> Solution:
        """Scales σ by what the fresh draws show, measures its distance on other noise, and puts all together."""
        effort, alpha, problem = self.effort, self.problem.alpha, self.problem
        seen, seen_se = ratio_to_small(problem, self.fresh.sums, self.fresh.count)
        power = self.fresh.power().nan_to_num(2.0).clamp(0.25, 4)  # 0 / 0 where nothing reacts to such a σ
        log_sigma = scaled(self.place, (-(seen / alpha).log() / power).clamp(-0.2, 0.2), problem.log_cap)
        if alpha >= 1:  # within reach whatever has been seen
            low = problem.space.unit_mean(log_sigma) < self._log_small()
            log_sigma = torch.where(low[:, None, None, None], problem.small, log_sigma)
        check = self._check(log_sigma, seen_se / alpha / power, power)
        seen_se = torch.where(check.heavy, HEAVY_ERROR * seen_se, seen_se)
        # Both looks at the distance count by their certainty; by construction the first says that it is α now.
        share = seen_se.square() / (seen_se.square() + check.se.square()).clamp(min=TINY)
        off = (share * (check.mean / alpha).log() / power).nan_to_num(0.0).clamp(-FARTHEST, FARTHEST)
        if alpha >= 1:  # not below the small noise, either
            off = torch.minimum(off, (problem.space.unit_mean(log_sigma) - self._log_small()).clamp(min=0))
        log_sigma = scaled(log_sigma, -off, problem.log_cap)
        reached = check.mean * (-off * power).exp()
        off_se = (share * check.se).square() + ((1 - share) * seen_se).square()
        correction = self.correction()
        gap, own = correction.gap, correction.gap_se.square() + correction.systematic.square()
        error = (own + off_se / (alpha * power).square()).sqrt()
        miss, sure = (reached / alpha - 1).abs(), 2 * check.se / alpha
        # How E has answered to the last scaling is as certain as its power is.
        known = off_se / alpha**2 + (self.unsure * off * power).square()
        near = (miss <= effort.distance_tolerance) & (2 * known.sqrt() <= effort.distance_tolerance)
        hidden, forwards = hides(problem, log_sigma)
        self.forwards = self.forwards + forwards
        unknown = self.false_gradient | hidden | ~(miss - sure <= NO_VALUE) | ~(sure <= NO_SURE) | ~(error <= NO_ERROR)
        least = (self.least - problem.space.unit_mean(log_sigma)).clamp(min=0)
        upper = torch.maximum(gap.clamp(min=0) + 1.96 * error, least)
        capped = problem.space.unit_mean((log_sigma >= problem.log_cap - 1e-6).to(log_sigma))
        return Solution(
            log_sigma=log_sigma,
            distance=reached,
            distance_se=check.se,
            gap=torch.where(unknown, math.nan, upper),
            correction=torch.where(unknown, math.nan, gap),
            correction_se=torch.where(unknown, math.nan, error),
            shift=correction.shift,
            shift_se=correction.shift_se,
            converged=near & (error <= effort.tolerance) & ~unknown,
            passes=self.spent(),
            capped_share=capped,
            cap_matters=capped * math.log(10) > effort.tolerance,
        )

    def _check(self, log_sigma: torch.Tensor, known: torch.Tensor, power: torch.Tensor) -> Estimate:
        """Estimates E(σ) / E(√τ) on noise of its own, as precisely as the tolerance needs.

        Args:
            log_sigma: `n × planes × rows × columns`.
            known: standard error of the scale of log σ until now, `n`.
            power: p, `n`.
        """
        effort = self.effort
        wanted = PLACED * effort.tolerance
        rest = (1 / (1 / wanted**2 - 1 / known.square()).clamp(min=TINY)).sqrt()
        precision = torch.where(known > wanted, rest * power, 1.0).clamp(effort.precision / 4, 2.5 * effort.precision)
        # What the search has left of the passes is free.
        most = (3 * (effort.max_passes - self.spent())).clamp(effort.check_draws, MOST_CHECKED)
        stream = self.streams["check"]
        check = expected_distance(self.problem, log_sigma, stream, precision, most, relative=True)
        self.forwards = self.forwards + check.draws
        return check
