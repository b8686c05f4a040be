"""The one error that users meet."""

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


class NotCalledError(InfodiscardError):
    """A layer is not called in a forward pass, or not as often as its address says; for other inputs it may be."""


def nearest(given: str, allowed: list[str] | tuple[str, ...], count: int = 3) -> str:
    """Returns the names in `allowed` nearest to `given`, quoted and comma-separated, for an error message."""
    from difflib import get_close_matches

    close = get_close_matches(given, list(allowed), n=count, cutoff=0.3) or list(allowed)[:count]
    return ", ".join(f"'{name}'" for name in close)
