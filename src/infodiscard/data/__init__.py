"""Images with labels and masks, from a spec on the command line to an `ImageSet`."""

from .imageset import ImageSet
from .load import load

__all__ = ["ImageSet", "load"]
