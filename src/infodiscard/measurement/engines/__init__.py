"""Where the work runs: in this process, or on a Ray cluster; the same unit of work either way."""

from __future__ import annotations

from ...errors import InfodiscardError
from .local import LocalEngine
from .work import Engine, Finished, Work

__all__ = ["Engine", "Finished", "LocalEngine", "Work", "find_engine"]

ENGINES = ("local", "ray")


def find_engine(given: str | Engine) -> Engine:
    """Returns the engine of a name, with its usual settings, or the one that is given.

    Raises:
        InfodiscardError: there is none of that name.
    """
    if not isinstance(given, str):
        return given
    if given == "local":
        return LocalEngine()
    if given == "ray":
        from .ray import RayEngine

        return RayEngine()
    raise InfodiscardError(f"engine was '{given}'; it can be {' or '.join(ENGINES)}.")
