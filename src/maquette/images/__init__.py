"""Photos and masks in every common form, and what may be wrong with them.

Three roles, each of which knows only those before it: reading photos (pixels, focal, read), framing
them for published models (framing, trellis, slots), and masks: in files and arrays (labels, arrays,
coco, masks, write), for people (diagnose, overlay) and in the making (background, regions, grabcut,
segment, edit). ``inputs`` joins a photo and its masks.
"""

from maquette.images.inputs import read_scene_input
from maquette.images.masks import read_masks
from maquette.images.read import read_alpha, read_image
from maquette.images.write import write_masks

__all__ = ["read_alpha", "read_image", "read_masks", "read_scene_input", "write_masks"]
