"""Metrics: all that tables, pictures and pages have to know of a quantity that can be measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from .variable import Variable

DIAGNOSTICS = ("converged", "feature_distance", "passes", "gap", "capped_share", "cap_matters")
"""What a solver may say of its solutions; a metric's variables of these names begin with its prefix."""

SHARE = "share"
"""Format of a share that is printed so that a small one does not look like none."""


class Column(NamedTuple):
    """A column of printed tables.

    Attributes:
        heading: with line breaks between words.
        form: format of the number, or `SHARE`.
        error: whether the standard error follows.
    """

    heading: str
    form: str = ".3f"
    error: bool = False


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A quantity that can be measured, in nats per pixel.

    Its variables have fixed names: the mean over pixels is called as the metric is; maps `NAME_map`; the decoder's own
    error `NAME_floor`; the mean of the background minus that of the object `PREFIXconcentration`; the noise
    `PREFIXsigma`; and the solver's `PREFIX` followed by one of `DIAGNOSTICS`.

    Attributes:
        name: as users give it.
        title: in print.
        long_name: its name in full.
        prefix: what the names of its variables begin with where other metrics have the same ones.
        passes: most passes per sample and layer by default.
        least_passes: fewest that may be allowed.
        passes_key: under which name a run's settings hold the most passes.
        needs_decoders: whether it is measured through decoders, whose reconstructions are stored and drawn.
        kinds: of input that it is for; `None` for all.
        variables: what a run holds of it.
        corrected: what the search reached → the estimate of the same at the optimum.
        identity: α and τ → its value at a layer that passes its input on unchanged, in nats per pixel; `None` where it
            is not known.
        meaning: of its values, as printed below tables.
        ends: of its axis in words, lower and higher.
        columns: variable → how a table prints it, in the order of the table; a run may lack some.
        reached_columns: the same of what a run without corrected values shows in place of them.
        labels: variable → label of an axis.
    """

    name: str
    title: str
    long_name: str
    prefix: str
    passes: int
    least_passes: int
    passes_key: str
    needs_decoders: bool = False
    kinds: tuple[str, ...] | None = None
    variables: Mapping[str, Variable]
    corrected: Mapping[str, str] = field(default_factory=dict)
    identity: Callable[[float, float], float] | None = None
    meaning: str
    ends: tuple[str, str] = ("lower", "higher")
    columns: Mapping[str, Column]
    reached_columns: Mapping[str, Column] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def map(self) -> str:
        """The variable of its maps."""
        return f"{self.name}_map"

    @property
    def floor(self) -> str | None:
        """The variable of what is measured without noise, if it has one."""
        return self._known(f"{self.name}_floor")

    @property
    def concentration(self) -> str | None:
        """The variable of the mean of the background minus that of the object, if it has one."""
        return self._known(f"{self.prefix}concentration")

    @property
    def scalars(self) -> tuple[str, ...]:
        """Its value, its floor and its concentration, where it has them, as reached."""
        return tuple(name for name in (self.name, self.floor, self.concentration) if name)

    @property
    def means(self) -> tuple[str, ...]:
        """Its value and its concentration, each followed by its corrected twin: means that have a standard error."""
        names = [name for name in self.scalars if name != self.floor]
        return tuple(each for name in names for each in (name, self.corrected.get(name)) if each)

    @property
    def diagnostics(self) -> dict[str, str]:
        """What its solver says of its solutions: one of `DIAGNOSTICS` → the variable."""
        return {name: own for name in DIAGNOSTICS if (own := self.own(name)) in self.variables}

    def at_identity(self, alpha: float | None, tau: float | None) -> float | None:
        """Returns its value at a layer that passes its input on unchanged, in nats per pixel, where that is known."""
        return self.identity(alpha, tau) if self.identity and alpha and tau else None

    def own(self, name: str) -> str:
        """Returns what a variable, or column of the summary, that other metrics have too is called for this one."""
        return f"{self.prefix}{name}"

    def _known(self, name: str) -> str | None:
        return name if name in self.variables else None
