"""How much information about its input a neural network discards, layer by layer and pixel by pixel.

    import infodiscard
    run = infodiscard.measure(model, images, out="runs/mine")
    print(run)

Everything public is here; see the README for a tour. Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api.check import check
    from .api.compare import compare
    from .api.forecast import forecast
    from .api.layers import list_layers
    from .api.measure import measure
    from .api.run import Run, open_run
    from .data.imageset import ImageSet
    from .errors import InfodiscardError
    from .measurement.forecast import Forecast
    from .networks.addresses import Layer
    from .networks.network import Network
    from .networks.quantised import dequantise

_HOMES = {
    "Forecast": "measurement.forecast",
    "ImageSet": "data.imageset",
    "InfodiscardError": "errors",
    "Layer": "networks.addresses",
    "Network": "networks.network",
    "Run": "api.run",
    "check": "api.check",
    "compare": "api.compare",
    "dequantise": "networks.quantised",
    "forecast": "api.forecast",
    "list_layers": "api.layers",
    "measure": "api.measure",
    "open_run": "api.run",
}

_PACKAGES = ("data", "plots", "report", "training", "zoo")

_VERSION = "__version__"

__all__ = [
    "Forecast",
    "ImageSet",
    "InfodiscardError",
    "Layer",
    "Network",
    "Run",
    "check",
    "compare",
    "dequantise",
    "forecast",
    "list_layers",
    "measure",
    "open_run",
]


def __getattr__(name: str) -> Any:
    """Imports a public name, or a package, when it is first used (PEP 562)."""
    if name in _HOMES:
        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    if name == _VERSION:
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version(__name__)
        except PackageNotFoundError:
            return "unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Lists the public names and packages, whether or not they are imported yet, and nothing else."""
    return sorted({*__all__, *_PACKAGES, _VERSION, "__doc__", "__file__", "__name__", "__path__", "__spec__"})
