"""Figures that notebooks show by themselves, whether or not pyplot is imported."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A figure of Matplotlib that is the picture where it is the last expression of a cell."""

    def _repr_png_(self) -> bytes:
        """Returns the picture as PNG; IPython asks for it."""
        file = BytesIO()
        self.savefig(file, format="png", dpi=100)
        return file.getvalue()
