"""Pictures of a run: the curve by layer, and sheets of maps, reconstructions and other methods' maps."""

from .layer_curves import identity_level, layer_curve
from .map_sheets import map_sheet
from .method_sheets import method_sheet
from .reconstruction_sheets import reconstruction_sheet
from .style import paper_style

__all__ = ["identity_level", "layer_curve", "map_sheet", "method_sheet", "paper_style", "reconstruction_sheet"]
