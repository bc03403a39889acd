"""Depth maps in the files that people have -> stored values, and what the file says of them.

In the flow: a path or an array -> StoredDepth; ``fit`` makes z-depth of the photo's pixels of it.
Read are pictures of one channel (PNG and TIFF, 16 and 32 bits), .npy, .npz (of MoGe and of Depth
Anything 3 as well), EXR with the extra ``exr``, and Record3D's archives.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from maquette.containers import MEMORY, MemoryBudget, read_bytes, read_npy, read_npz, read_picture
from maquette.errors import InputError, MissingExtraError, contained
from maquette.given.record3d import read_record3d
from maquette.given.stored import StoredDepth
from maquette.types import Arrays, StrPath

DepthSource: TypeAlias = StrPath | np.ndarray | Image.Image

REMEDY = "give a depth map as 16-bit PNG or TIFF, .npy, .npz or .exr"
DEPTH_KEYS = ("depth", "depth_map", "depths", "z", "arr_0")  # of an archive, in this order
EXR_CHANNELS = ("Z", "Depth", "depth.Z", "R", "Y", "V")


def read_depth(source: DepthSource, photo: str = "") -> StoredDepth:
    """A depth map from a file, an array (H, W) or a picture; photo: the name of the picture, where
    a file has several frames. Raises InputError.
    """
    if isinstance(source, np.ndarray):
        return _of_array(source, f"the array of shape {source.shape}")
    if isinstance(source, Image.Image):
        return _of_picture(source, "the picture in memory")
    path = Path(source)
    budget = MemoryBudget(MEMORY)
    suffix = path.suffix.lower()
    if suffix == ".r3d":
        return read_record3d(path, photo, budget)
    if suffix == ".npz":
        return _of_archive(read_npz(path, path, budget), str(path))
    if suffix == ".npy":
        return _of_array(read_npy(path, budget), str(path))
    content = read_bytes(path, REMEDY, budget)
    if suffix == ".exr":
        return _of_exr(path)
    return _of_picture(read_picture(content, path, budget), str(path))


def read_points(source: StrPath | np.ndarray) -> StoredDepth:
    """A map (H, W, 3) of points in the camera's OpenCV axes, whose z is the depth. InputError."""
    if not isinstance(source, np.ndarray):
        path = Path(source)
        budget = MemoryBudget(MEMORY)
        if path.suffix.lower() == ".exr":
            return _of_points(_points_of_exr(path), str(path))
        if path.suffix.lower() == ".ply":
            raise InputError(
                f"{path}: a cloud does not say which point belongs to which pixel; give the map of "
                "points (H, W, 3) as .npy, .npz or .exr"
            )
        if path.suffix.lower() == ".npz":
            arrays = read_npz(path, path, budget)
            if "points" not in arrays:
                raise InputError(f"{path}: has no array 'points' but {_listed(arrays)}")
            return _of_points(arrays["points"], str(path))
        source = read_npy(path, budget)
        return _of_points(source, str(path))
    return _of_points(source, f"the array of shape {source.shape}")


def _of_points(points: np.ndarray, name: str) -> StoredDepth:
    if points.ndim != 3 or points.shape[2] != 3 or points.dtype.kind not in "fiu":
        raise InputError(
            f"{name}: points are (H, W, 3) numbers in camera axes (x right, y down, z forward), "
            f"got shape {points.shape} of {points.dtype}"
        )
    stored = _of_array(np.asarray(points[..., 2]), name)
    return StoredDepth(stored.values, False, stored.bits, name, points=np.asarray(points, float))


def _of_array(array: np.ndarray, name: str) -> StoredDepth:
    plane = np.squeeze(array) if array.ndim > 2 else array
    if plane.ndim != 2 or 0 in plane.shape:
        raise InputError(f"{name}: a depth map has the shape (H, W), got {array.shape}")
    if plane.dtype.kind not in "fiu":
        raise InputError(f"{name}: a depth map holds numbers, got {array.dtype}")
    whole = plane.dtype.kind in "iu"
    return StoredDepth(np.asarray(plane, np.float64), whole, 8 * plane.dtype.itemsize, name)


def _of_picture(image: Image.Image, name: str) -> StoredDepth:
    bands = len(image.getbands())
    if image.mode == "P" or bands > 1:
        holds = "a palette" if image.mode == "P" else f"{bands} channels"
        raise InputError(
            f"{name}: a picture with {holds} (mode {image.mode}), not a depth map; give one of one "
            "channel of plain numbers, not its coloured view"
        )
    if image.mode == "F":
        return StoredDepth(np.asarray(image, np.float64), False, 32, name)
    bits = 8 if image.mode in ("L", "1") else 16
    return StoredDepth(np.asarray(image).astype(np.float64), True, bits, name)


def _of_archive(arrays: Mapping[str, np.ndarray], name: str) -> StoredDepth:
    """MoGe: depth, mask and intrinsics in shares of the picture. Depth Anything 3: depth and
    intrinsics of each picture in a row.
    """
    key = next((key for key in DEPTH_KEYS if key in arrays), None)
    if key is None and len(arrays) == 1:
        (key,) = arrays
    if key is None and "points" in arrays:
        stored = _of_points(arrays["points"], name)
    elif key is None:
        raise InputError(f"{name}: has no array 'depth' but {_listed(arrays)}")
    else:
        stored = _of_array(_single(arrays[key], 2, f"{name}: {key!r}"), f"{name}: {key!r}")
    values = stored.values
    mask = arrays.get("mask")
    if mask is not None and mask.shape == values.shape:
        values = np.where(mask.astype(bool), values, np.nan)
    intrinsics = next((arrays[k] for k in ("intrinsics", "K") if k in arrays), None)
    if intrinsics is not None:
        intrinsics = np.asarray(_single(intrinsics, 2, f"{name}: 'intrinsics'"), np.float64)
    return StoredDepth(values, stored.whole, stored.bits, name, intrinsics, stored.points)


def _single(array: np.ndarray, dimensions: int, name: str) -> np.ndarray:
    """An array without a leading axis of one picture; InputError when it has several."""
    if array.ndim == dimensions + 1 and array.shape[-1] == 1 and array.shape[0] != 1:
        return array[..., 0]
    while array.ndim > dimensions:
        if len(array) != 1:
            raise InputError(f"{name} has {len(array)} pictures; save the one of this photo alone")
        array = array[0]
    return array


def _exr_channels(path: Path) -> Arrays:
    try:
        import OpenEXR
    except ImportError as error:
        line = "pip install 'maquette[exr]'"
        raise MissingExtraError(f"{path}: reading EXR needs OpenEXR: {line}") from error
    with contained(f"{path}: not a sound EXR file", "save it again"):
        channels = OpenEXR.File(str(path), separate_channels=True).channels()
        return {name: np.asarray(channel.pixels) for name, channel in channels.items()}


def _of_exr(path: Path) -> StoredDepth:
    channels = _exr_channels(path)
    name = next((name for name in EXR_CHANNELS if name in channels), None)
    if name is None:
        raise InputError(f"{path}: has no channel of depth but {_listed(channels)}")
    return _of_array(channels[name], f"{path}: {name}")


def _points_of_exr(path: Path) -> np.ndarray:
    """(H, W, 3) as MoGe writes them: x, y, z in the channels of red, green, blue."""
    channels = _exr_channels(path)
    for names in (("R", "G", "B"), ("X", "Y", "Z")):
        if all(name in channels for name in names):
            return np.stack([channels[name] for name in names], axis=-1)
    raise InputError(f"{path}: has no three channels of points but {_listed(channels)}")


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(sorted(names)[:8]) or "nothing"
