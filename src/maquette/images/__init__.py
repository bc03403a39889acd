"""Photos and masks in every common form, crops, overlays, and what may be wrong with them."""

from maquette.images.inputs import read_scene_input
from maquette.images.masks import read_masks
from maquette.images.read import read_alpha, read_image
from maquette.images.write import write_masks

__all__ = ["read_alpha", "read_image", "read_masks", "read_scene_input", "write_masks"]
