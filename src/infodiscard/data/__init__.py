"""Images with labels and masks, from a spec on the command line to an `ImageSet`; and texts, in tokens."""

from .imageset import ImageSet
from .load import load
from .textset import TextSet, text

__all__ = ["ImageSet", "TextSet", "load", "text"]
