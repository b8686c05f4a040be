"""What a network raises itself, in one sentence: which error, in which of its layers, and why."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb

from torch import nn

from ..errors import InfodiscardError, first_line, out_of_memory


@contextmanager
def network_errors(
    model: nn.Module,
    doing: str = "cannot be run",
    mend: str = "run it on such inputs yourself to see where, and fix it",
) -> Iterator[None]:
    """Turns whatever a network raises in the block, also `sys.exit`, into one sentence, but for a lack of memory.

    Args:
        model: the network.
        doing: what it did not do, such as "does not take an input of shape (1, 3, 8, 8)".
        mend: what to do about it.

    Raises:
        InfodiscardError: the block raised something.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, InfodiscardError) or out_of_memory(error):
            raise
        layer = _raising_layer(error, model)
        where = f" in '{layer}'" if layer else ""
        raise InfodiscardError(
            f"The network {doing} ({type(error).__name__}{where}: {first_line(error)}); {mend}."
        ) from error


def _raising_layer(error: BaseException, model: nn.Module) -> str:
    """Returns the name of the innermost layer that an error was raised in; empty for the network itself."""
    names = {id(module): name for name, module in model.named_modules()}
    called = [id(frame.f_locals.get("self")) for frame, _ in walk_tb(error.__traceback__)]
    return next((names[each] for each in reversed(called) if each in names), "")
