"""How much information about its input a neural network discards, layer by layer and pixel by pixel.

    import infodiscard
    run = infodiscard.measure(model, images, layers=["layer*"], out="runs/mine")
    run.summary()

Everything public is here; see the README for a tour.
"""

from .addresses import Layer
from .compare import compare
from .data import ImageSet
from .errors import InfodiscardError
from .forecast import Forecast, forecast
from .gate import check
from .measure import measure
from .network import Network
from .probes import list_layers
from .run import Run, open_run

__all__ = [
    "Forecast",
    "ImageSet",
    "InfodiscardError",
    "Layer",
    "Network",
    "Run",
    "check",
    "compare",
    "forecast",
    "list_layers",
    "measure",
    "open_run",
]
