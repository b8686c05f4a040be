"""Variables of a run: dimensions, type and unit, and those that every run holds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..kinds import IMAGE, Layout

CELL = ("network", "layer", "sample")
MAP = (*CELL, "y", "x")
UNIT_MAP = (*CELL, "channel", "y", "x")


@dataclass(frozen=True)
class Variable:
    """One quantity of a run.

    Attributes:
        dims: the names of its dimensions, in order.
        dtype: float cells start as NaN, the others as 0 or False (`done` tells which were measured).
        units: its unit, as stored in the variable's attributes.
        long_name: what it is, in words.
        needs_masks: whether only a run with masks holds it.
    """

    dims: tuple[str, ...]
    dtype: str
    units: str
    long_name: str
    needs_masks: bool = False

    def of_kind(self, layout: Layout) -> Variable:
        """Returns the variable as inputs of this kind have it: dimensions and units are named for them."""
        dims = self.dims[:-2] + layout.dims if self.dims[-2:] == IMAGE.dims else self.dims
        return replace(self, dims=dims, units=layout.words(self.units), long_name=layout.words(self.long_name))


GENERAL = {
    "failure": Variable(CELL, "uint8", "1", "why the cell could not be measured; 0 where it could"),
    "done": Variable(CELL, "bool", "1", "whether the cell has been dealt with"),
}
"""What every run holds, whatever it measures."""

FAILURES = (
    "measured",
    "input_unreadable",
    "feature_not_finite",
    "feature_constant",
    "noise_rounded_away",
    "layer_not_called",
)
"""What the values of `failure` mean, in their order; stored the CF way, as `flag_values` and `flag_meanings`."""

PICTURE = Variable(("sample", "channel", "y", "x"), "float32", "1", "the input as an image")
MASK = Variable(("sample", "y", "x"), "bool", "1", "whether the pixel belongs to the object")


def cells(units: str, long_name: str, dtype: str = "float32", needs_masks: bool = False) -> Variable:
    """Returns a variable with one value per network, layer and sample."""
    return Variable(CELL, dtype, units, long_name, needs_masks)


def maps(units: str, long_name: str) -> Variable:
    """Returns a variable with one value per network, layer, sample and pixel."""
    return Variable(MAP, "float32", units, long_name)
