"""Read masks in any form, see what may go wrong with them, draw them over the photo, and write them
in another form.

Uses `photo.png` and `masks.png` of example 01.
"""

from PIL import Image

from maquette.masks import read_masks, write_masks
from maquette.masks.diagnose import diagnose
from maquette.masks.overlay import overlay
from maquette.photos import read_image

photo = read_image("photo.png")
masks = read_masks(
    "masks.png", photo.shape[:2]
)  # a folder, COCO JSON, .npy, .npz and arrays work as well

for found in diagnose(masks):
    borders = f", cut off at the {' and '.join(found.borders)}" if found.borders else ""
    print(f"{found.label}: {found.pixels} pixels ({100 * found.share:.1f} %){borders}")
    for warning in found.warnings:
        print("   ", warning)

Image.fromarray(overlay(photo, masks)).save("overlay.png")
write_masks(masks, "masks.json", "coco-rle", image_name="photo.png", overwrite=True)
again = read_masks("masks.json", photo.shape[:2])
assert all((a.mask == b.mask).all() for a, b in zip(masks, again, strict=True))
