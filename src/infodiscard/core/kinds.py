"""The kinds of input: how each lies in the form `C × H × W` that is worked in, and what its parts are called.

A position (a pixel, a token, a time step, a feature of a table) has a row and a column in that form; its values are the
channels, which share σ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import InfodiscardError, one_of

if TYPE_CHECKING:
    import torch


SPECIAL = -1
"""The word of a token that stands for no part of the text, such as `[CLS]`, and of padding."""


@dataclass(frozen=True)
class Layout:
    """A kind of input.

    Attributes:
        name: as users give it.
        axes: which of C, H and W each dimension of such an input is; those that it lacks have size one inside.
        dims: the names of a map's dimensions.
        unit: what one position is called.
        shape: of a batch, in words.
    """

    name: str
    axes: str
    dims: tuple[str, ...]
    unit: str
    shape: str

    @property
    def _order(self) -> str:
        """Every axis: those of the input, then those it lacks."""
        return self.axes + "".join(axis for axis in "CHW" if axis not in self.axes)

    def inside(self, native: torch.Tensor) -> torch.Tensor:
        """Converts inputs as the network takes them to `n × C × H × W`; a view."""
        whole = native.reshape(*native.shape, *[1] * (3 - len(self.axes)))
        return whole.permute(0, *(1 + self._order.index(axis) for axis in "CHW"))

    def outside(self, values: torch.Tensor) -> torch.Tensor:
        """Converts `n × C × H × W` to inputs as the network takes them; exact, differentiable, inverts `inside`."""
        if self.axes == "CHW":
            return values
        native = values.permute(0, *(1 + "CHW".index(axis) for axis in self._order))
        return native.reshape(native.shape[: 1 + len(self.axes)]).contiguous()

    def chart(self, values: Any) -> Any:
        """Converts a tensor or an array `… × H × W` to one with the map's dimensions, `…` and `dims`."""
        return values if len(self.dims) == 2 else values.squeeze(-2)

    def unchart(self, values: Any) -> Any:
        """Inverts `chart`."""
        return values if len(self.dims) == 2 else values[..., None, :]

    def words(self, text: str) -> str:
        """Returns a text about pixels in the words of this kind of input."""
        return text.replace("pixel", self.unit)

    def size(self, channels: int, height: int, width: int) -> str:
        """The size of one input, as `C×H×W` in its own order."""
        sizes = {"C": channels, "H": height, "W": width}
        return "×".join(str(sizes[axis]) for axis in self.axes)


IMAGE = Layout("image", "CHW", ("y", "x"), "pixel", "n × channels × height × width")
TOKENS = Layout("tokens", "WC", ("token",), "token", "n × tokens × values")
SERIES = Layout("series", "CW", ("time",), "step", "n × channels × time")
TABLE = Layout("table", "W", ("feature",), "feature", "n × features")

LAYOUTS = {layout.name: layout for layout in (IMAGE, TOKENS, SERIES, TABLE)}


def find_layout(kind: str | None, shape: tuple[int, ...]) -> Layout:
    """Returns the layout of inputs of `shape` (`n × …`), which is what the user named or else what the shape says.

    Raises:
        InfodiscardError: there is no such kind, the shape is not its, or a shape of three dimensions is not named.
    """
    if kind is not None:
        one_of("kind", kind, tuple(LAYOUTS))
    named = [LAYOUTS[kind]] if kind else [item for item in LAYOUTS.values() if len(item.axes) + 1 == len(shape)]
    if len(named) > 1:
        raise InfodiscardError(
            f"The inputs have shape {shape}; say what they are: {' or '.join(map(_described, named))}; or give images "
            f"as {IMAGE.shape}."
        )
    if not named or len(shape) != len(named[0].axes) + 1 or 0 in shape:
        what, wanted = ("images", IMAGE.shape) if kind in (None, "image") else ("inputs", _described(named[0]))
        raise InfodiscardError(f"The {what} have shape {shape}; give at least one, as {wanted}.")
    return named[0]


def _described(layout: Layout) -> str:
    return f"kind='{layout.name}' ({layout.shape})"
