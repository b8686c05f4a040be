"""Networks with what is needed to feed them, from a spec on the command line."""

from .load import load, names

__all__ = ["load", "names"]
