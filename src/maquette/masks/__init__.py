"""Which pixels belong to which object: masks in every common form, and tools to make them.

Files and arrays (read, labels, arrays, coco, documents, annotations, write), for people (diagnose,
overlay), and in the making (background, regions, grabcut, segment, edit).
"""

from maquette.masks.read import read_masks
from maquette.masks.write import write_masks

__all__ = ["read_masks", "write_masks"]
