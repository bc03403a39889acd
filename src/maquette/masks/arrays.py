"""Masks as arrays, in memory or in .npy and .npz files -> instances. Used by masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maquette.containers import MemoryBudget, read_npy, read_npz
from maquette.errors import InputError
from maquette.masks.labels import MAX_INSTANCES, labels_from_colors
from maquette.photos.read import check_size
from maquette.types import Arrays, InstanceMask

NPY_MAGIC = b"\x93NUMPY"


def masks_from_label_map(
    labels: np.ndarray, name: str, names: Mapping[int, str] | None = None
) -> Iterator[InstanceMask]:
    """Split labels (H, W) of any integer type, 0 = background, into one mask per label. Raises
    InputError.
    """
    found = np.unique(labels)
    if found[0] < 0:
        raise InputError(
            f"{name}: has the negative label {found[0]}; "
            "use 0 for the background and positive numbers for objects"
        )
    if len(found) == 1:
        what = f"has one value everywhere ({found[0]})"
        if found[0] == 0:
            what = "is empty: every pixel is background"
        raise InputError(
            f"{name}: {what}; "
            "mark the pixels of each object with its own value and leave the background 0"
        )
    found = found[found > 0]
    _check_count(found, name)
    called = names or {}
    return (InstanceMask(k, labels == k, called.get(k, "")) for k in found.tolist())


def masks_from_numpy_file(path: Path, warnings: list[str]) -> Iterator[InstanceMask]:
    """Yield the masks of an .npy or .npz file, never unpickling anything; ``warnings`` is extended.
    Raises InputError.
    """
    with open(path, "rb") as file:
        is_array = file.read(len(NPY_MAGIC)) == NPY_MAGIC
    if is_array:
        return masks_from_array(read_npy(path, MemoryBudget()), str(path), warnings)
    return _from_archive(read_npz(path, path, MemoryBudget()), path, warnings)


def _from_archive(arrays: Arrays, path: Path, warnings: list[str]) -> Iterator[InstanceMask]:
    if len(arrays) == 1:
        (masks,) = arrays.values()
    elif "masks" in arrays:
        masks = arrays["masks"]
    else:
        raise InputError(
            f"{path}: has the arrays {sorted(arrays)}; "
            "expected 'masks' (and optionally 'labels' and 'names')"
        )
    if "labels" not in arrays and "names" not in arrays:
        return masks_from_array(masks, str(path), warnings)
    masks = without_single_axes(masks)
    count = len(masks) if masks.ndim == 3 else -1
    labels = arrays.get("labels", np.arange(1, count + 1))
    names = arrays.get("names", np.full(max(count, 0), ""))
    one_each = labels.shape == names.shape == (count,)
    if not one_each or labels.dtype.kind not in "iu" or (labels < 1).any():
        raise InputError(
            f"{path}: masks {masks.shape}, "
            f"labels {labels.shape} and names {names.shape} do not belong together; "
            "expected (K, H, W), positive whole numbers (K,), and (K,)"
        )
    return (
        InstanceMask(int(label), binary_plane(plane, str(path)), str(text))
        for label, plane, text in zip(labels, masks, names)
    )


def masks_from_array(array: np.ndarray, name: str, warnings: list[str]) -> Iterator[InstanceMask]:
    """Yield the masks of labels (H, W), masks (K, H, W) or (K, 1, H, W), or colours (H, W, 3 or 4)
    uint8; ``warnings`` is extended. Raises InputError.
    """
    array = without_single_axes(array)
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise InputError(
            f"{name}: has shape {array.shape}; expected labels (H, W), masks (K, H, W) or "
            "(K, 1, H, W), or colours (H, W, 3)"
        )
    if array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8:
        check_size((array.shape[1], array.shape[0]), name)
        transparent = np.zeros(array.shape[:2], bool)
        if array.shape[2] == 4:
            transparent = array[..., 3] < 128
        colors = array[..., :3].copy()
        colors[transparent] = 0
        picture = labels_from_colors(colors, transparent, False, name)
        warnings.extend(picture.warnings)
        return masks_from_label_map(picture.labels, name)
    check_size((array.shape[-1], array.shape[-2]), name)
    if array.ndim == 3:
        _check_count(array, name)
        return (InstanceMask(k, binary_plane(plane, name)) for k, plane in enumerate(array, 1))
    whole = _whole_numbers(np.asarray(array), name)
    if np.unique(whole).tolist() == [0, 255]:  # black and white: one object
        whole = (whole > 0).astype(np.uint8)
    return masks_from_label_map(whole, name)


def as_array(values: Any) -> np.ndarray:
    """An array-like as an array; torch tensors may be on any device and of any precision."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
        return values.numpy()
    return np.asarray(values)


def without_single_axes(array: np.ndarray) -> np.ndarray:
    """Masks without the axes of length one that segmenters add: (K, 1, H, W), (1, K, H, W)."""
    if array.ndim <= 3:
        return array
    single = [axis for axis in range(array.ndim - 2) if array.shape[axis] == 1]
    return np.squeeze(array, axis=tuple(single[: array.ndim - 3]))


def _check_count(objects: np.ndarray, name: str) -> None:
    if len(objects) > MAX_INSTANCES:
        raise InputError(
            f"{name}: has {len(objects)} objects; "
            f"at most {MAX_INSTANCES} are supported, select fewer"
        )


def binary_plane(plane: Any, name: str) -> np.ndarray:
    """Return an array-like (H, W) with two values, one of them 0, as bool. Raises InputError."""
    plane = as_array(plane)
    if plane.ndim == 3 and plane.shape[0] == 1:
        plane = plane[0]
    if plane.dtype == np.bool_ and plane.ndim == 2:
        return np.array(plane)
    if plane.ndim != 2 or 0 in plane.shape:
        raise InputError(f"{name}: a mask has shape {plane.shape}; expected (H, W)")
    whole = _whole_numbers(plane, name)
    values = np.unique(whole)
    if len(values) > 2 or values[0] < 0 or (len(values) == 2 and values[0]):
        raise InputError(
            f"{name}: a mask has the values {values[:4].tolist()}; "
            "expected 0 and 1 (threshold probabilities: masks > 0.5)"
        )
    return whole > 0


def _whole_numbers(array: np.ndarray, name: str) -> np.ndarray:
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind != "f":
        raise InputError(f"{name}: has type {array.dtype}; expected whole numbers or booleans")
    bad = int((~np.isfinite(array)).sum())
    if bad:
        raise InputError(
            f"{name}: has {bad} NaN or infinite values; "
            "expected whole numbers or booleans, replace them by 0"
        )
    if (array != np.rint(array)).any() or np.abs(array).max() > 2**31:
        raise InputError(
            f"{name}: has fractions; "
            "expected labels or masks (threshold probabilities first: masks > 0.5)"
        )
    return array.astype(np.int64)
