"""Pictures of a run: the curve by layer, networks as graphs, heat maps, and sheets of maps of all kinds."""

from .heat_maps import heat_map
from .layer_curves import identity_level, layer_curve
from .map_sheets import map_sheet
from .method_sheets import method_sheet
from .network_graphs import network_graph
from .reconstruction_sheets import reconstruction_sheet
from .style import paper_style

__all__ = [
    "heat_map",
    "identity_level",
    "layer_curve",
    "map_sheet",
    "method_sheet",
    "network_graph",
    "paper_style",
    "reconstruction_sheet",
]
