"""Engines: in this process, or on a Ray cluster; the unit of work is the same."""

from __future__ import annotations

from ...errors import one_of
from .local import LocalEngine
from .ray import RayEngine
from .work import Engine, Finished, Work

__all__ = ["Engine", "Finished", "LocalEngine", "RayEngine", "Work", "find_engine"]

ENGINES = ("local", "ray")


def find_engine(engine: str | Engine) -> Engine:
    """Returns the engine of a name, with its default options, or the one that is given.

    Raises:
        InfodiscardError: there is none of that name.
    """
    if hasattr(engine, "run") and hasattr(engine, "device_type"):
        return engine  # type: ignore[return-value]
    one_of("engine", engine, ENGINES)
    return LocalEngine() if engine == "local" else RayEngine()
