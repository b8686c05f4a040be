"""The one error that users meet, and what is said about others."""

from collections.abc import Sequence


class InfodiscardError(ValueError):
    """Input that cannot be measured.

    The message is one sentence (or two) that says what was given, what is allowed and how to mend it. The command line
    prints it without a traceback and exits with code 2.
    """


class SampleError(InfodiscardError):
    """Some samples cannot be measured at a layer; the others can.

    Attributes:
        rows: their places among the samples that were given.
        reason: one of `infodiscard.core.metrics.variable.FAILURES`.
    """

    def __init__(self, sentence: str, rows: Sequence[int], reason: str) -> None:
        super().__init__(sentence)
        self.rows, self.reason = tuple(rows), reason


def nearest(given: str, allowed: list[str] | tuple[str, ...], count: int = 3) -> str:
    """Returns the names in `allowed` nearest to `given`, quoted and comma-separated, for an error message."""
    from difflib import get_close_matches

    close = get_close_matches(given, list(allowed), n=count, cutoff=0.3) or list(allowed)[:count]
    return ", ".join(f"'{name}'" for name in close)


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, or its kind if it has none."""
    return next((line.strip().rstrip(".;") for line in str(error).splitlines() if line.strip()), type(error).__name__)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error reports that a device's memory did not suffice."""
    kinds = {kind.__name__ for kind in type(error).__mro__}  # torch's own has that name; importing torch takes seconds
    return not kinds.isdisjoint({"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(error)
