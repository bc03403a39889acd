"""Square crops of photos, masks and depth maps, and the cameras that belong to them. Used by
conditioning.

A box is (x0, y0, x1, y1) in continuous pixel coordinates: the corner of the first pixel is (0, 0),
its centre (0.5, 0.5). Boxes may reach beyond the picture.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from maquette.images.pixels import cut, mask_box
from maquette.types import Camera

Box = tuple[float, float, float, float]


def square_box(mask: np.ndarray, margin: float = 0.1) -> Box:
    """Return the square around a mask (H, W) bool with at least one pixel: same centre as its box,
    longer side times 1 + 2 margin.
    """
    x0, y0, x1, y1 = mask_box(mask)
    half = 0.5 * max(x1 - x0, y1 - y0) * (1 + 2 * margin)
    x = 0.5 * (x0 + x1)
    y = 0.5 * (y0 + y1)
    return x - half, y - half, x + half, y + half


def pixel_from_crop(box: Box, size: int) -> np.ndarray:
    """Return the (3, 3) affine from homogeneous pixel coordinates of a ``size`` x ``size`` crop to
    those of the picture.
    """
    x0, y0, x1, y1 = box
    across = [(x1 - x0) / size, 0.0, x0]
    down = [0.0, (y1 - y0) / size, y0]
    return np.array([across, down, [0.0, 0.0, 1.0]])


def crop_resize(
    image: np.ndarray, box: Box, size: int, fill: float | tuple[float, ...] = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Resample the part of a picture inside ``box`` to ``size`` x ``size``; returns it and
    ``pixel_from_crop`` (3, 3).

    ``image`` is (H, W) bool or float, or (H, W[, C]) uint8 or float32. uint8 stays uint8; floats
    stay float32, and a bool mask becomes its float32 coverage in [0, 1]. Reducing averages over the
    pixels that a new pixel covers, enlarging is linear between pixel centres. Beyond the picture
    lies ``fill``: one value, or one per channel.
    """
    x0, y0, x1, y1 = box
    left = int(np.floor(x0))
    top = int(np.floor(y0))
    right = max(int(np.ceil(x1)), left + 1)
    bottom = max(int(np.ceil(y1)), top + 1)
    touched = cut(image, (left, top, right, bottom), fill)
    local = (x0 - left, y0 - top, x1 - left, y1 - top)
    return _resized(touched, local, size), pixel_from_crop(box, size)


def crop_camera(camera: Camera, box: Box, size: int) -> Camera:
    """Return the camera of the crop: the same pose, the intrinsics in the crop's pixels."""
    crop_from_pixel = np.linalg.inv(pixel_from_crop(box, size))
    return Camera(crop_from_pixel @ camera.intrinsics, camera.world_from_camera, size, size)


def _resized(image: np.ndarray, box: Box, size: int) -> np.ndarray:
    """Pillow's filters with a fractional box follow exactly the convention above and widen when
    reducing.
    """

    def resized(plane: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(np.ascontiguousarray(plane))
        return np.array(picture.resize((size, size), Image.Resampling.BILINEAR, box=box))

    if image.dtype == np.uint8 and (image.ndim == 2 or image.shape[2] == 3):
        return resized(image)
    planes = image.reshape(*image.shape[:2], -1).astype(np.float32)
    stacked = np.stack([resized(plane) for plane in np.moveaxis(planes, 2, 0)], axis=-1)
    channels = stacked.reshape(size, size, *image.shape[2:])
    return np.rint(channels).astype(np.uint8) if image.dtype == np.uint8 else channels
