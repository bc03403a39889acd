"""Which masks belong to which photo, and where its results go. First step of a batch: arguments of
the command line -> Jobs.

Names decide. ``X.jpg`` or ``X_rgb.jpg`` (see PHOTO_WORDS) goes with ``X_seg.png``,
``X_masks.json``, a folder ``X_masks`` and so on (see MASK_WORDS), and, in another folder than the
photo's, also with plain ``X.png``. A pattern says it explicitly: ``masks/{name}_ids.png``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maquette.errors import InputError

PHOTO_SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".tif",
    ".tiff",
    ".bmp",
    ".gif",
    ".avif",
    ".jp2",
)
MASK_PICTURES = (".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
MASK_DATA = (".json", ".npy", ".npz")
PHOTO_WORDS = "rgb|color|colour|image|img|photo"
MASK_WORDS = "seg|segmentation|mask|masks|label|labels|instance|instances|ids"


@dataclass(frozen=True)
class Job:
    """One photo to be made into a scene."""

    photo: Path
    masks: Path | None  # None: see ``problem``
    folder: Path  # of the results
    problem: str = ""  # why no masks were found


def plan(
    photos: Sequence[str | Path], masks: str | Path, out: str | Path
) -> tuple[list[Job], bool]:
    """Jobs for photos and folders of photos, and whether that is a batch (each job then has a
    folder of its own below ``out``).

    masks: for one photo whatever ``read_masks`` takes; otherwise a folder with a file or folder per
    photo, one COCO file for all, or a pattern with {stem} (the photo's file name without suffix) or
    {name} (the same without _rgb and the like). Raises InputError.
    """
    found = [path for photo in photos for path in _expanded(Path(photo))]
    if len(found) == 1 and not Path(photos[0]).is_dir():
        return [_job(found[0], *_masks_of_one(found[0], str(masks)), Path(out))], False
    if Path(masks).is_file() and Path(masks).suffix.lower() != ".json":
        raise InputError(
            f"{masks}: is one mask file for {len(found)} photos; give a folder, a pattern with {{stem}}, or one COCO .json"
        )
    index = _index(Path(masks)) if Path(masks).is_dir() else {}
    matched = {photo: _masks_of_many(photo, str(masks), index) for photo in dict.fromkeys(found)}
    taken = {path.resolve() for path, _ in matched.values() if path is not None}
    jobs = [
        _job(photo, *pair, Path(out) / photo.stem)
        for photo, pair in matched.items()
        if photo.resolve() not in taken
    ]
    repeated = [
        stem for stem, count in Counter(job.photo.stem.lower() for job in jobs).items() if count > 1
    ]
    if repeated:
        twins = ", ".join(str(job.photo) for job in jobs if job.photo.stem.lower() == repeated[0])
        raise InputError(
            f"{twins}: would all be written to {Path(out) / repeated[0]}; rename one, or run them apart with another -o"
        )
    return jobs, True


def plain_name(photo: Path) -> str:
    """The photo's file name without suffix and without _rgb and the like: what its masks are called
    after.
    """
    return re.sub(rf"[_.-](?:{PHOTO_WORDS})$", "", photo.stem, flags=re.IGNORECASE)


def _job(photo: Path, masks: Path | None, problem: str, folder: Path) -> Job:
    return Job(photo, masks, folder, problem)


def _expanded(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    pictures = sorted(
        p
        for p in path.iterdir()
        if p.suffix.lower() in PHOTO_SUFFIXES and p.is_file() and not p.name.startswith(".")
    )
    if not pictures:
        raise InputError(
            f"{path}: the folder has no photos ({', '.join(PHOTO_SUFFIXES)}); check the path"
        )
    return pictures


def _masks_of_one(photo: Path, masks: str) -> tuple[Path | None, str]:
    """A folder may hold the masks of many photos, or one picture per object of this photo."""
    if not Path(masks).is_dir():
        return _masks_of_many(photo, masks, {})
    fitting = _fitting(photo, Path(masks), _index(Path(masks)))
    return (Path(masks), "") if not fitting else _only(photo, fitting)


def _masks_of_many(
    photo: Path, masks: str, index: dict[str, list[Path]]
) -> tuple[Path | None, str]:
    if Path(masks).is_dir():
        return _only(photo, _fitting(photo, Path(masks), index), f"in {masks}")
    unknown = set(re.findall(r"\{([^{}]*)\}", masks)) - {"stem", "name"}
    if unknown and not Path(masks).exists():
        raise InputError(
            f"{masks}: the pattern has {{{min(unknown)}}}; it may have {{stem}} and {{name}}, as in masks/{{name}}_seg.png"
        )
    return Path(masks.replace("{stem}", photo.stem).replace("{name}", plain_name(photo))), ""


def _only(photo: Path, fitting: list[Path], where: str = "") -> tuple[Path | None, str]:
    name = plain_name(photo)
    if not fitting:
        return (
            None,
            f"{photo}: no masks {where} go with it; expected a name such as {name}_seg.png, {name}_masks.json or a folder {name}",
        )
    if len(fitting) > 1:
        several = ", ".join(path.name for path in fitting)
        return (
            None,
            f"{photo}: several masks go with it ({several}); choose by a pattern, for example --masks 'masks/{{name}}_seg.png'",
        )
    return fitting[0], ""


def _index(folder: Path) -> dict[str, list[Path]]:
    """What may be masks in a folder, by the name without _seg and the like."""
    index: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and (
            path.is_dir() or path.suffix.lower() in MASK_PICTURES + MASK_DATA
        ):
            index.setdefault(_mask_name(path), []).append(path)
    return index


def _mask_name(path: Path) -> str:
    return re.sub(
        rf"[_.-](?:{MASK_WORDS})$",
        "",
        path.name if path.is_dir() else path.stem,
        flags=re.IGNORECASE,
    )


def _fitting(photo: Path, folder: Path, index: dict[str, list[Path]]) -> list[Path]:
    """Masks with the photo's full name, otherwise those with its plain name; beside photos, plain
    pictures are photos themselves.
    """
    beside = folder.resolve() == photo.parent.resolve()
    for name in dict.fromkeys((photo.stem, plain_name(photo))):
        fitting = [
            p
            for p in index.get(name, [])
            if p != photo and not (beside and p.suffix.lower() in MASK_PICTURES and p.stem == name)
        ]
        if fitting:
            return fitting
    return []
