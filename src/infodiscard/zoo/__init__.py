"""Networks with what is needed to feed them, from a spec on the command line."""

from .huggingface import embedding_tau
from .load import load, names

__all__ = ["embedding_tau", "load", "names"]
