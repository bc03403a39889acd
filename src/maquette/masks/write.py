"""Masks -> files in each of the forms that ``masks`` reads. Reading a written file gives the same
masks back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from maquette.errors import InputError, OutputError
from maquette.masks.annotations.labelme import labelme_document
from maquette.masks.coco import coco_document
from maquette.masks.labels import TABLE_KEY, hex_color, painted_labels
from maquette.masks.overlay import Rgb, instance_color
from maquette.output import atomic_folder, atomic_write, refuse_overwrite
from maquette.types import InstanceMask, StrPath

_SUFFIXES = {  # of the forms; of those that share one, the first is the default
    "label": ".png",
    "rgb": ".png",
    "folder": "",
    "coco": ".json",
    "coco-rle": ".json",
    "labelme": ".json",
    "npz": ".npz",
}
FORMS = tuple(_SUFFIXES)


def write_masks(
    masks: Sequence[InstanceMask],
    path: StrPath,
    form: str | None = None,
    *,
    overwrite: bool = False,
    image_name: str = "",
) -> Path:
    """Write masks; ``form`` is one of FORMS and defaults to what the suffix of ``path`` says (.png
    label, .json coco, .npz, none folder).

    "label": PNG of labels with a palette, 16-bit grey for labels above 255. "rgb": PNG with a
    colour per object on black. Where masks overlap, the smaller object is on top in these two.
    "folder": one PNG per object. "coco": polygons, "coco-rle": run lengths, "labelme": bitmaps.
    ``image_name`` is the photo's file name for COCO and LabelMe. Raises InputError, OutputError.
    """
    path = Path(path)
    form = form or form_of(path)
    if form not in FORMS:
        raise InputError(f"form {form!r} is not known; choose one of {', '.join(FORMS)}")
    wanted = _SUFFIXES[form]
    if path.suffix.lower() != wanted:
        raise InputError(
            f"{path}: "
            f"the form {form!r} needs the suffix {wanted or '(none, a folder)'}; rename the output"
        )
    if not masks:
        raise InputError(f"{path}: there are no masks to write")
    refuse_overwrite(path, overwrite)
    if form == "folder":
        _write_folder(masks, path)
    elif form in ("label", "rgb"):
        _write_picture(masks, path, colored=form == "rgb")
    elif form == "npz":
        _write_npz(masks, path)
    else:
        photo = image_name or f"{path.stem}.png"
        size = masks[0].mask.shape
        if form == "labelme":
            document = labelme_document(masks, size, photo)
        else:
            document = coco_document(masks, size, photo, polygons=form == "coco")
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(document), encoding="utf-8")
    return path


def form_of(path: Path) -> str:
    """Return the form that a path's suffix stands for; InputError names the suffixes."""
    for form, suffix in _SUFFIXES.items():
        if path.suffix.lower() == suffix:
            return form
    raise InputError(
        f"{path}: no form of masks has the suffix {path.suffix}; "
        "use .png, .json, .npz, or a folder's name"
    )


def label_map(masks: Sequence[InstanceMask]) -> np.ndarray:
    """Paint masks into one (H, W) int32 map of labels, larger objects first; InputError when one is
    covered completely.
    """
    labels = painted_labels(masks, masks[0].mask.shape)
    covered = sorted({m.label for m in masks} - set(np.unique(labels).tolist()))
    if covered:
        raise InputError(
            f"labels {covered} are covered completely by others, a label picture cannot hold them; "
            "use coco, npz or a folder"
        )
    return labels


def _write_picture(masks: Sequence[InstanceMask], path: Path, *, colored: bool) -> None:
    labels = label_map(masks)
    highest = int(labels.max())
    if highest > 65535:
        raise InputError(
            f"{path}: label {highest} does not fit into a 16-bit picture; use coco or npz"
        )
    colors = _distinct_colors([m.label for m in masks])
    palette = np.zeros((max(highest, 255) + 1, 3), np.uint8)
    palette[list(colors)] = list(colors.values())
    if colored:
        image = Image.fromarray(palette[labels])
    elif highest > 255:
        image = Image.fromarray(labels.astype(np.uint16))
    else:
        image = Image.fromarray(labels.astype(np.uint8)).convert("P")
        image.putpalette(palette.tobytes())
    written = {label: hex_color(color) for label, color in colors.items()}
    table = [
        {
            "label": m.label,
            "name": m.name,
            "color": written[m.label],
        }
        for m in masks
    ]
    text = PngImagePlugin.PngInfo()
    text.add_itxt(TABLE_KEY, json.dumps(table))
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG", pnginfo=text)


def _distinct_colors(labels: Sequence[int]) -> dict[int, Rgb]:
    colors: dict[int, Rgb] = {}
    for label in labels:
        color = instance_color(label)
        while color in colors.values():  # two labels rounded to one colour: the nearest free blue
            color = (color[0], color[1], (color[2] + 1) % 256)
        colors[label] = color
    return colors


def _write_npz(masks: Sequence[InstanceMask], path: Path) -> None:
    planes = np.stack([m.mask for m in masks])
    labels = np.array([m.label for m in masks], np.int64)
    names = np.array([m.name for m in masks], np.str_)
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            masks=planes,
            labels=labels,
            names=names,
        )


def _write_folder(masks: Sequence[InstanceMask], path: Path) -> None:
    foreign = [f.name for f in path.glob("*") if f.suffix.lower() != ".png"]
    if foreign:
        raise OutputError(
            f"{path}: has other files than masks ({foreign[0]}) and is not replaced; "
            "choose another folder"
        )
    with atomic_folder(path) as folder:
        for m in masks:
            text = re.sub(r"[^\w. -]", "_", m.name)
            name = "_".join(filter(None, [f"{m.label:03d}", text])) + ".png"
            Image.fromarray(m.mask.astype(np.uint8) * 255).save(folder / name)
