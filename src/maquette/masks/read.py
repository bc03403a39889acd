"""Masks in every common form -> a tuple of InstanceMask of one size. The way back is in ``write``.

A source is looked at (what kind is it?), read lazily one instance at a time, and each instance is
brought to the photo's size at once, so that hundreds of masks of a large picture never stand in
memory together at full size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from maquette.containers import checked_file
from maquette.errors import InputError, contained
from maquette.masks.annotations.drawn import Effort, check_aspect
from maquette.masks.arrays import (
    as_array,
    binary_plane,
    masks_from_array,
    masks_from_label_map,
    masks_from_numpy_file,
)
from maquette.masks.documents import SUFFIXES as DOCUMENTS
from maquette.masks.documents import Reading, masks_from_document, masks_from_file
from maquette.masks.labels import MAX_INSTANCES, Masks, read_label_picture
from maquette.photos.pixels import Size, resize_mask, shown
from maquette.photos.read import describe_source, open_image, read_pages
from maquette.types import InstanceMask, StrPath, Which

GivenNames = Mapping[int, str] | Sequence[str]  # by label, or in the order of the labels

MOST_WARNINGS = 50
STACK_AXES = 3  # of several masks in one array, at least
IMAGE_SUFFIXES = (".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".jpg", ".jpeg")

# path, paths, array, arrays, {label or name: mask}, COCO dictionary, Pillow image, InstanceMasks
MaskSource = Any


class MaskReading(NamedTuple):
    """Masks and what reading them had to put right."""

    masks: Masks
    warnings: tuple[str, ...]


def read_masks(
    source: MaskSource,
    image_size: Size | None = None,
    *,
    names: GivenNames | None = None,
    image_name: str | None = None,
) -> Masks:
    """Read instance masks, in ascending order of their labels; see ``load_masks``."""
    return load_masks(source, image_size, names=names, image_name=image_name).masks


def load_masks(
    source: MaskSource,
    image_size: Size | None = None,
    *,
    target_size: Size | None = None,
    names: GivenNames | None = None,
    image_name: str | None = None,
) -> MaskReading:
    """Read instance masks and report what had to be put right.

    ``source`` is a label picture, a folder or a list of binary pictures, a TIFF with a page per
    object, .npy or .npz, a file of an annotation tool (COCO, LabelMe, CVAT, YOLO, Label Studio,
    VIA), or the same in memory: an array or tensor (H, W) of labels, (K, H, W) or (K, 1, H, W) of
    masks or (H, W, 3) of colours, a list of masks or of SAM's records, ``{label or name: mask}``, a
    dictionary as the JSON holds it. Masks of another size than
    ``image_size`` (H, W) are resized, nearest pixel, when their aspect ratio agrees. The result has
    ``target_size`` (H, W), by default ``image_size``. ``image_name`` selects the image of a COCO
    file. Raises InputError.
    """
    name = describe_source(source)
    with contained(f"{name}: cannot be read as masks", "export or save them again"):
        return _loaded(source, Reading(name, image_name, image_size, []), target_size, names)


def _loaded(
    source: MaskSource,
    reading: Reading,
    target_size: Size | None,
    names: GivenNames | None,
) -> MaskReading:
    name = reading.name
    warnings = reading.warnings
    image_size = reading.size
    by_label: dict[int, InstanceMask] = {}
    effort = Effort(name)
    for instance in _instances(source, reading):
        effort.add(instance.mask)
        if instance.label in by_label:
            raise InputError(
                f"{name}: label {instance.label} occurs twice; give every object its own label"
            )
        if not instance.mask.any():
            warnings.append(f"label {instance.label}{_called(instance.name)} is empty and left out")
            continue
        if len(by_label) == MAX_INSTANCES:
            raise InputError(
                f"{name}: has more than {MAX_INSTANCES} objects, "
                "which is the most that is supported; select fewer"
            )
        by_label[instance.label] = _fitted(instance, image_size, target_size or image_size, name)
    masks = tuple(by_label[label] for label in sorted(by_label))
    _check_result(masks, name)
    return MaskReading(_renamed(masks, names), _shortened(warnings))


def _shortened(warnings: Sequence[str]) -> tuple[str, ...]:
    """Not more warnings than somebody reads."""
    more = len(warnings) - MOST_WARNINGS
    return (*warnings[:MOST_WARNINGS], *([f"and {more} more of this kind"] if more > 0 else []))


def _instances(source: MaskSource, reading: Reading) -> Iterator[InstanceMask]:
    name = reading.name
    if isinstance(source, StrPath):
        return _from_path(Path(source), reading)
    if isinstance(source, Image.Image):
        return _from_picture(open_image(source), name, reading.warnings)
    if hasattr(source, "detach"):  # a torch tensor
        source = as_array(source)
    if isinstance(source, Mapping):
        stack = source.get("masks")
        if stack is not None and np.ndim(stack) >= STACK_AXES:  # of segmenters, with scores
            return masks_from_array(as_array(stack), name, reading.warnings)
        is_document = bool({"annotations", "shapes", "_via_img_metadata"} & set(source))
        document = masks_from_document if is_document else _from_mapping
        return document(source, reading)
    if isinstance(source, Sequence) and len(source) > 0:
        if all(isinstance(item, InstanceMask) for item in source):
            return iter(source)
        if all(isinstance(item, StrPath) for item in source):
            return _from_files([Path(item) for item in source])
        if all(isinstance(item, Mapping) for item in source):
            return masks_from_document(list(source), reading)
        return _from_mapping(dict(enumerate(source, start=1)), reading)
    if isinstance(source, np.ndarray):
        return masks_from_array(source, name, reading.warnings)
    raise InputError(
        f"{name}: is not a form of masks; "
        "give a label picture, a folder, COCO JSON, .npy, .npz, or arrays"
    )


def _from_path(path: Path, reading: Reading) -> Iterator[InstanceMask]:
    if path.is_dir():
        pictures = (f for f in path.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
        files = sorted(
            (f for f in pictures if not f.name.startswith(".")), key=lambda file: natural(file.stem)
        )
        if not files:
            raise InputError(
                f"{path}: the folder has no mask pictures; "
                "put one black and white PNG per object into it"
            )
        return _from_files(files)
    path = checked_file(path, "a mask file or a folder of masks")
    suffix = path.suffix.lower()
    if suffix in DOCUMENTS:
        return masks_from_file(path, reading)
    if suffix in (".npy", ".npz"):
        return masks_from_numpy_file(path, reading.warnings)
    pages = read_pages(path)
    if len(pages) > 1:
        return (InstanceMask(k, _binary(page, path)) for k, page in enumerate(pages, start=1))
    return _from_picture(pages[0], str(path), reading.warnings)


def _from_picture(image: Image.Image, name: str, warnings: list[str]) -> Iterator[InstanceMask]:
    picture = read_label_picture(image, name)
    warnings.extend(picture.warnings)
    return masks_from_label_map(picture.labels, name, picture.names)


def labels_of_files(stems: Sequence[str]) -> list[tuple[int, str]]:
    """Label and name of each mask file by its name without suffix: "003_chair" carries both;
    otherwise files are numbered in order.
    """
    parts = [re.fullmatch(r"(\d{1,5})(?:[_-](.*))?", stem) for stem in stems]
    numbers = [int(p.group(1)) for p in parts if p]
    numbered = len(numbers) == len(stems) == len(set(numbers)) and min(numbers) > 0
    if not numbered:
        return list(enumerate(stems, start=1))
    return [(int(p.group(1)), p.group(2) or "") for p in parts if p]


def _from_files(files: Sequence[Path]) -> Iterator[InstanceMask]:
    for file, (label, text) in zip(files, labels_of_files([file.stem for file in files])):
        yield InstanceMask(label, _binary_picture(file), text)


def _binary_picture(path: Path) -> np.ndarray:
    return _binary(open_image(path), path)


def _binary(image: Image.Image, path: Path) -> np.ndarray:
    """A black and white picture, or the opacity of a cut-out, as (H, W) bool. Raises InputError."""
    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        if alpha.min() < 128:  # a cut-out
            return alpha >= 128
    deep = image.mode in ("I", "F") or image.mode.startswith("I;")
    values = np.asarray(image if deep else image.convert("RGB").convert("L")).astype(np.float32)
    high = float(values.max())
    if high <= 0:
        return np.zeros(values.shape, bool)
    between = (values > 0.1 * high) & (values < 0.9 * high)
    if between.mean() > 0.02 and between.sum() > 0.3 * (values >= 0.9 * high).sum():
        raise InputError(
            f"{path}: is not a black and white mask; "
            "give a label picture as a file of its own, not in a folder"
        )
    return values > 0.5 * high


def _from_mapping(source: Mapping[Any, Any], reading: Reading) -> Iterator[InstanceMask]:
    name = reading.name
    for k, (key, mask) in enumerate(source.items(), start=1):
        if isinstance(mask, StrPath):
            plane = _binary_picture(checked_file(mask, "a mask picture"))
        else:
            plane = binary_plane(mask, name)
        if not isinstance(key, (int, np.integer)):
            yield InstanceMask(k, plane, str(key))
        elif key > 0:
            yield InstanceMask(int(key), plane)
        else:
            raise InputError(
                f"{name}: has the label {key}; labels are positive, 0 is the background"
            )


def _fitted(
    instance: InstanceMask,
    image_size: Size | None,
    target_size: Size | None,
    name: str,
) -> InstanceMask:
    size = instance.mask.shape
    if image_size is None or target_size is None:
        return instance
    check_aspect(size, image_size, name)
    return replace(instance, mask=resize_mask(instance.mask, target_size))


def _check_result(masks: Masks, name: str) -> None:
    if not masks:
        raise InputError(f"{name}: has no object: all masks are empty; mark at least one")
    first = masks[0]
    for m in masks:
        if m.mask.shape != first.mask.shape:
            has = f"label {m.label} has {shown(m.mask.shape)}"
            other = f"label {first.label} {shown(first.mask.shape)}"
            raise InputError(f"{name}: {has} pixels {other}; give masks of one size")
    if len(masks) == 1 and first.mask.all():
        raise InputError(
            f"{name}: the only mask covers the whole picture; "
            "mark the pixels of each object and leave out the background"
        )


def _renamed(masks: Masks, names: GivenNames | None) -> Masks:
    if names is None:
        return masks
    if not isinstance(names, Mapping):
        if len(names) != len(masks):
            raise InputError(
                f"{len(names)} names for {len(masks)} masks; "
                "give one each, or a dictionary from label to name"
            )
        names = {m.label: text for m, text in zip(masks, names)}
    unknown = sorted(set(names) - {m.label for m in masks})
    if unknown:
        raise InputError(
            f"names for the labels {unknown}, which the masks do not have; "
            f"they have {[m.label for m in masks]}"
        )
    return tuple(replace(m, name=names.get(m.label, m.name)) for m in masks)


def natural(stem: str) -> list[tuple[int, int | str]]:
    """A key that sorts 2 before 10."""
    parts = filter(None, re.split(r"(\d+)", stem.lower()))
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def _called(name: str) -> str:
    return f" ({name})" if name else ""


def select_masks(masks: Iterable[InstanceMask], only: Iterable[Which]) -> Masks:
    """Keep the masks whose label or name is in ``only``; InputError names what there is when
    something is unknown.
    """
    masks = tuple(masks)
    texts = [str(key).strip() for key in only]
    wanted = {int(text) if text.isdigit() else text for text in texts}
    unknown = wanted - {m.label for m in masks} - {m.name for m in masks if m.name}
    if unknown or not wanted:
        have = ", ".join(f"{m.label}{_called(m.name)}" for m in masks)
        raise InputError(
            f"no mask has the label {', '.join(sorted(map(str, unknown))) or '(none given)'}; "
            f"the labels are {have}"
        )
    return tuple(m for m in masks if m.label in wanted or (m.name and m.name in wanted))
