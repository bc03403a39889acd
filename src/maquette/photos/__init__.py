"""Photos from files and memory, upright, 8-bit, sRGB; and what they tell of their lens."""

from maquette.photos.read import read_image

__all__ = ["read_image"]
