"""The one error that users meet, and what is said about others."""

import math
import traceback
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from pathlib import Path
from traceback import FrameSummary, extract_tb
from typing import Any

LARGE = 2**63


class InfodiscardError(ValueError):
    """Input that cannot be measured.

    The message is one sentence (or two) that says what was given, what is allowed and how to mend it. The command line
    prints it without a traceback and exits with code 2; notebooks show it with the line that led to it.
    """

    def _render_traceback_(self) -> list[str]:
        """Returns what IPython shows in place of a traceback: the sentence, and the lines of the user's own code."""
        lines, deepest = [f"{type(self).__name__}: {self}"], self.__cause__
        while deepest is not None and deepest.__cause__ is not None:
            deepest = deepest.__cause__
        for what, error, frame in (("at", self, 0), ("raised at", deepest, -1)):
            frames = [] if error is None else [each for each in extract_tb(error.__traceback__) if _is_users(each)]
            if frames:
                place = f"{frames[frame].filename}:{frames[frame].lineno}"
                lines.append(f"  {what} {place}: {frames[frame].line or '…'}")
        return lines


def _is_users(frame: FrameSummary) -> bool:
    """Whether a line of code belongs to neither this package nor an installed one, nor to Python."""
    folders = (str(Path(__file__).parent), str(Path(traceback.__file__).parent))
    return not frame.filename.startswith((*folders, "<frozen")) and "site-packages" not in frame.filename


class SampleError(InfodiscardError):
    """Some samples cannot be measured at a layer; the others can.

    Attributes:
        rows: their places among the samples that were given.
        reason: one of `infodiscard.core.metrics.variable.FAILURES`.
    """

    def __init__(self, sentence: str, rows: Sequence[int], reason: str) -> None:
        super().__init__(sentence)
        self.rows, self.reason = tuple(rows), reason


class NotCalledError(InfodiscardError):
    """A layer is not called in a forward pass, or not as often as its address says; for other inputs it may be."""


def nearest(given: str, allowed: list[str] | tuple[str, ...], count: int = 3) -> str:
    """Returns the names in `allowed` nearest to `given`, quoted and comma-separated, for an error message."""
    from difflib import get_close_matches

    names = list(dict.fromkeys(allowed))
    close = get_close_matches(given, names, n=count, cutoff=0.3) or names[:count]
    return ", ".join(f"'{name}'" for name in close)


def unboxed(value: Any) -> Any:
    """Returns Python's own number for a scalar of NumPy or torch, and anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def quoted(value: Any) -> str:
    """Returns a value as an error message shows it, on one line."""
    text = " ".join(repr(unboxed(value)).split())
    return text if len(text) <= 60 else f"{text[:59]}…"


def number(
    name: str,
    value: Any,
    wanted: str = "a positive number",
    allowed: Callable[[float], bool] = lambda given: given > 0,
) -> float:
    """Returns a number that a user gives, also a scalar of NumPy or torch, as one of Python's own.

    Args:
        name: of the argument.
        value: as given.
        wanted: what is allowed, in words.
        allowed: whether a finite number is.

    Raises:
        InfodiscardError: it is no number (nor is True), not finite, or not allowed.
    """
    given = unboxed(value)
    if isinstance(given, bool) or not isinstance(given, Real) or not math.isfinite(given) or not allowed(float(given)):
        raise InfodiscardError(f"{name} was {quoted(value)}; it must be {wanted}.")
    return float(given)


def whole(name: str, value: Any, wanted: str = "a whole number", least: int = -LARGE) -> int:
    """Returns a whole number that a user gives as one of Python's own; arguments and errors as for `number`."""
    number(name, value, wanted, lambda given: given >= least and given == int(given))
    number(name, value, f"{wanted}, below 2⁶³", lambda given: given < LARGE)
    return int(unboxed(value))


def flag(name: str, value: Any) -> bool:
    """Returns what a user switches on or off, also a scalar of NumPy or torch.

    Raises:
        InfodiscardError: it is neither true nor false.
    """
    if not isinstance(unboxed(value), bool):
        raise InfodiscardError(f"{name} was {quoted(value)}; it must be True or False.")
    return unboxed(value)


def one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    """Raises InfodiscardError unless a user gives one of the words that are allowed."""
    if not isinstance(value, str) or value not in allowed:
        *others, last = map(repr, allowed)
        raise InfodiscardError(f"{name} was {quoted(value)}; it can be {', '.join(others)} or {last}.")


def pixels(name: str, size: Any) -> tuple[int, int] | None:
    """Returns a side of a square, or (height, width), as the latter; `None` where none is given.

    Raises:
        InfodiscardError: it is neither, in whole pixels.
    """
    if size is None:
        return None
    wanted = "(height, width), or one number for both, in whole pixels, such as (224, 224)"
    both = [size, size] if isinstance(size, str) or not isinstance(size, Iterable) else list(size)
    if len(both) != 2:
        raise InfodiscardError(f"{name} was {quoted(size)}; it must be {wanted}.")
    height, width = (whole(name, side, wanted, 1) for side in both)
    return height, width


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, or its kind if it has none."""
    return next((line.strip().rstrip(".;") for line in str(error).splitlines() if line.strip()), type(error).__name__)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error reports that a device's memory did not suffice."""
    kinds = {kind.__name__ for kind in type(error).__mro__}  # torch's own has that name; importing torch takes seconds
    return not kinds.isdisjoint({"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(error)
