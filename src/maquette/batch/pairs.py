"""Which masks belong to which photo, and where its results go. First step of a batch: arguments of
the command line -> Jobs.

Names decide. ``X.jpg`` or ``X_rgb.jpg`` (see PHOTO_WORDS) goes with ``X_seg.png``,
``X_masks.json``, a folder ``X_masks`` and so on (see MASK_WORDS), and, in another folder than the
photo's, also with plain ``X.png``. A pattern says it explicitly: ``masks/{name}_ids.png``. All of
them may be URLs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from maquette.errors import InputError
from maquette.execute.store import path_at
from maquette.options import GeometryOptions
from maquette.types import StrPath

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
GEOMETRY_SUFFIXES = {
    "depth": (".png", ".tif", ".tiff", ".npy", ".npz", ".exr", ".r3d"),
    "points": (".npy", ".npz", ".exr"),
    "intrinsics": (".txt", ".json", ".yaml", ".yml", ".npy", ".npz"),
}
MASK_WORDS = "seg|segmentation|mask|masks|label|labels|instance|instances|ids"


@dataclass(frozen=True)
class Job:
    """One photo to be made into a scene."""

    photo: Path
    masks: Path | None  # None: to be proposed, or see ``problem``
    folder: Path  # of the results
    problem: str = ""  # why it cannot be made: no masks, or no depth, go with the photo
    geometry: GeometryOptions = field(default_factory=GeometryOptions)  # of this photo alone


def plan(
    photos: Sequence[StrPath],
    masks: StrPath | None,
    out: StrPath,
    geometry: GeometryOptions | None = None,
) -> tuple[list[Job], bool]:
    """Jobs for photos and folders of photos, and whether that is a batch (each job then has a
    folder of its own below ``out``).

    masks: for one photo whatever ``read_masks`` takes; otherwise a folder with a file or folder per
    photo, one COCO file for all, or a pattern with {stem} (the photo's file name without suffix) or
    {name} (the same without _rgb and the like); None: they are proposed. geometry: of all photos;
    its files may be folders or patterns, too. Raises InputError.
    """
    known = geometry or GeometryOptions()
    found = [path for photo in photos for path in _expanded(path_at(photo))]
    if masks is None:
        return _without_masks(photos, found, path_at(out), known)
    masks = path_at(masks)
    index = _index(masks) if masks.is_dir() else {}
    if len(found) == 1 and not path_at(photos[0]).is_dir():
        # a folder may hold the masks of many photos, or one picture per object of this photo
        fitting = _candidates(found[0], masks, index) or [masks]
        job = _job(found[0], fitting, masks, path_at(out))
        return [_with_geometry(job, known)], False
    if masks.is_file() and masks.suffix.lower() != ".json":
        raise InputError(
            f"{masks}: is one mask file for {len(found)} photos; "
            "give a folder, a pattern with {stem}, or one COCO .json"
        )
    jobs = []
    for photo in found:
        if not _is_depth(photo, found):
            fitting = _candidates(photo, masks, index)
            jobs.append(_job(photo, fitting, masks, path_at(out) / photo.stem))
    taken = {job.masks.resolve() for job in jobs if job.masks is not None}
    jobs = [_with_geometry(job, known) for job in jobs if job.photo.resolve() not in taken]
    _refuse_twins(jobs)
    return jobs, True


def _without_masks(
    photos: Sequence[StrPath],
    found: Sequence[Path],
    out: Path,
    known: GeometryOptions,
) -> tuple[list[Job], bool]:
    single = len(found) == 1 and not path_at(photos[0]).is_dir()
    kept = [photo for photo in found if not _is_depth(photo, found)]
    folders = [out] if single else [out / photo.stem for photo in kept]
    jobs = [Job(photo, None, folder) for photo, folder in zip(kept, folders)]
    _refuse_twins(jobs)
    return [_with_geometry(job, known) for job in jobs], not single


def plain_name(photo: Path) -> str:
    """The photo's file name without suffix and without _rgb and the like: what its masks are called
    after.
    """
    return re.sub(rf"[_.-](?:{PHOTO_WORDS})$", "", photo.stem, flags=re.IGNORECASE)


def _is_depth(picture: Path, pictures: Sequence[Path]) -> bool:
    """Whether a picture is X_depth.* of a photo X that is there as well."""
    name = re.sub(r"[_.-]depth$", "", picture.stem, flags=re.IGNORECASE)
    beside = (other for other in pictures if other.parent == picture.parent)
    return name != picture.stem and any(name in (p.stem, plain_name(p)) for p in beside)


def _with_geometry(job: Job, known: GeometryOptions) -> Job:
    """The job with the depth and the camera that go with its photo, or with what is missing."""
    try:
        depth, points, intrinsics = (
            _of_photo(job.photo, getattr(known, word), word, suffixes)
            for word, suffixes in GEOMETRY_SUFFIXES.items()
        )
    except InputError as error:
        return replace(job, problem=job.problem or str(error))
    own = replace(
        known,
        depth=depth,
        points=points,
        intrinsics=intrinsics,
    )
    return replace(job, geometry=own)


def _of_photo(
    photo: Path,
    given: str | None,
    word: str,
    suffixes: Sequence[str],
) -> str | None:
    """The file of one photo: of a folder X_word.*, of a pattern its own; anything else as it is.
    InputError when a folder has none.
    """
    if given is None:
        return None
    folder = path_at(given)
    if not folder.is_dir():
        return str(_of_pattern(photo, given)) if "{" in given else given
    names = [f"{name}_{word}" for name in (photo.stem, plain_name(photo))]
    for name in names:
        for suffix in suffixes:
            path = folder / f"{name}{suffix}"
            if path.is_file():
                return str(path)
    raise InputError(
        f"{given}: holds no {word} of {photo.name}; expected {names[-1]} with one of "
        f"{', '.join(suffixes)}"
    )


def _refuse_twins(jobs: Sequence[Job]) -> None:
    """Some file systems ignore case, so photos must not differ in that alone."""
    by_folder: dict[str, list[Job]] = {}
    for job in jobs:
        by_folder.setdefault(job.photo.stem.lower(), []).append(job)
    for twins in by_folder.values():
        if len(twins) > 1:
            names = ", ".join(str(job.photo) for job in twins)
            raise InputError(
                f"{names}: would all be written to {twins[0].folder}; "
                "rename one, or run them apart with another -o"
            )


def _job(
    photo: Path,
    fitting: Sequence[Path],
    masks: Path,
    folder: Path,
) -> Job:
    """A job with the only masks that go with a photo, or with what is wrong when not one does."""
    if len(fitting) == 1:
        return Job(photo, fitting[0], folder)
    name = plain_name(photo)
    problem = (
        f"{photo}: no masks in {masks} go with it; "
        f"expected a name such as {name}_seg.png, {name}_masks.json or a folder {name}"
    )
    if fitting:
        several = ", ".join(path.name for path in fitting)
        problem = (
            f"{photo}: several masks go with it ({several}); "
            "choose by a pattern, for example --masks 'masks/{name}_seg.png'"
        )
    return Job(photo, None, folder, problem)


def _expanded(path: Path) -> list[Path]:
    """A photo itself, or the photos of a folder."""
    if not path.is_dir():
        return [path]
    files = (p for p in sorted(path.iterdir()) if p.is_file() and not p.name.startswith("."))
    pictures = [p for p in files if p.suffix.lower() in PHOTO_SUFFIXES]
    if not pictures:
        raise InputError(
            f"{path}: the folder has no photos ({', '.join(PHOTO_SUFFIXES)}); check the path"
        )
    return pictures


def _candidates(photo: Path, masks: Path, index: Mapping[str, list[Path]]) -> list[Path]:
    """What may be the masks of a photo: the file of a pattern, or of the folder of an index those
    with the photo's full name, otherwise those with its plain name.
    """
    if not masks.is_dir():
        return [_of_pattern(photo, str(masks))]
    beside = masks == photo.parent or masks.resolve() == photo.parent.resolve()
    for name in (photo.stem, plain_name(photo)):
        fitting = [p for p in index.get(name, []) if p != photo]
        if beside:  # plain pictures are photos themselves
            fitting = [
                p for p in fitting if p.stem != name or p.suffix.lower() not in MASK_PICTURES
            ]
        if fitting:
            return fitting
    return []


def _of_pattern(photo: Path, pattern: str) -> Path:
    """The file that a pattern means for a photo; InputError for other words in braces."""
    unknown = set(re.findall(r"\{([^{}]*)\}", pattern)) - {"stem", "name"}
    if unknown and not path_at(pattern).exists():
        raise InputError(
            f"{pattern}: the pattern has {{{min(unknown)}}}; "
            "it may have {stem} and {name}, as in masks/{name}_seg.png"
        )
    return path_at(pattern.replace("{stem}", photo.stem).replace("{name}", plain_name(photo)))


def _index(folder: Path) -> dict[str, list[Path]]:
    """What may be masks in a folder, by the name without _seg and the like."""
    index: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        is_mask = path.is_dir() or path.suffix.lower() in MASK_PICTURES + MASK_DATA
        if is_mask and not path.name.startswith("."):
            full = path.name if path.is_dir() else path.stem
            name = re.sub(rf"[_.-](?:{MASK_WORDS})$", "", full, flags=re.IGNORECASE)
            index.setdefault(name, []).append(path)
    return index
