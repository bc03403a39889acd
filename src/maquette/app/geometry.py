"""Depth, camera and gravity that a client gives beside a photo: files in, checked, kept as one file
of ours; every job of the photo takes it with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from maquette.app import photos, pictures, uploads
from maquette.app.known import KNOWN, write_known
from maquette.app.problems import file_type
from maquette.app.studio import Studio
from maquette.app.uploads import Named, Received, Upload
from maquette.batch.pairs import GEOMETRY_SUFFIXES
from maquette.errors import InputError
from maquette.given.fit import FittedGeometry, GeometrySource, Shown, check_outlines, fit_geometry
from maquette.masks.edit import Masks
from maquette.masks.labels import painted_labels
from maquette.options import parse_depth_unit
from maquette.photos.pixels import Size
from maquette.types import JsonObject

TOLD = "geometry.json"  # beside it, for people
WORDS = ("depth_unit", "depth_kind", "intrinsics", "gravity")


def put(
    studio: Studio,
    photo: str,
    files: Mapping[str, Named],
    words: Mapping[str, str],
) -> JsonObject:
    """Take in what is known of a photo, in place of what was; returns the photo. files: by field
    (depth, points, intrinsics); words: by WORDS. Raises Problem, InputError.
    """
    size = photos.size_of(studio, photo)
    folder = studio.folders.of("photos", photo)
    if not files and not words:
        raise InputError(
            "nothing is given; send depth, points or intrinsics as files, or intrinsics or gravity "
            "as text"
        )
    with studio.alone("photos", photo), studio.turn():
        fitted = _fitted(studio, folder, size, files, words)
        write_known(folder / KNOWN, fitted.geometry, fitted.focal)
        told = json.dumps(_told(fitted), separators=(",", ":"))
        pictures.write(folder / TOLD, told.encode())
    return _told_of(studio, photo)


def remove(studio: Studio, photo: str) -> JsonObject:
    """Forget what is known of a photo; returns the photo. Problem 404."""
    studio.row("photos", photo)
    folder = studio.folders.of("photos", photo)
    with studio.alone("photos", photo):
        for name in (KNOWN, TOLD):
            (folder / name).unlink(missing_ok=True)
    return _told_of(studio, photo)


def _told_of(studio: Studio, photo: str) -> JsonObject:
    """Tell of a photo that was changed; returns it."""
    studio.news.publish("photo", {"id": photo})
    return photos.get(studio, photo)


def check(folder: Path, masks: Masks) -> None:
    """Refuse known depth whose steps lie elsewhere than the outlines of masks. InputError."""
    path = folder / KNOWN
    if not path.exists():
        return
    with np.load(path) as found:
        if "depth" in found:
            depth = found["depth"]
            check_outlines(depth, painted_labels(masks, depth.shape), str(found["source"]))


def _fitted(
    studio: Studio,
    folder: Path,
    size: Size,
    files: Mapping[str, Named],
    words: Mapping[str, str],
) -> FittedGeometry:
    focal = pictures.focal_of(folder)
    photo = Shown(photos.full_size(folder, size), np.zeros(size, np.int32), focal)
    given: JsonObject = {key: words[key] for key in WORDS if words.get(key)}
    if "depth_unit" in given:
        given["depth_unit"] = parse_depth_unit(given["depth_unit"])
    if not files:
        return fit_geometry(GeometrySource(**given), photo)
    with uploads.incoming(studio.folders, list(files.values()), studio.settings.limits) as received:
        for field, upload in zip(files, received.files):
            given[field] = _taken(field, upload, received)
        fitted = fit_geometry(GeometrySource(**given), photo)
        named = received.renamed(fitted.geometry.source)
        warnings = tuple(received.renamed(line) for line in fitted.warnings)
    return replace(fitted, geometry=replace(fitted.geometry, source=named), warnings=warnings)


def _taken(field: str, upload: Upload, received: Received) -> Path:
    """The path of an upload with its own suffix, after its memory is counted. Problem 415."""
    suffix = PurePosixPath(upload.name).suffix.lower()
    known = GEOMETRY_SUFFIXES[field]
    if suffix not in known:
        raise file_type(f"{upload.path}: {field} is read from {', '.join(known)}")
    uploads.take_known(upload, suffix, received)
    return upload.path.rename(upload.path.with_suffix(suffix))


def _told(fitted: FittedGeometry) -> JsonObject:
    known = fitted.geometry
    told: JsonObject = {
        "source": known.source,
        "unit": fitted.unit,
        "metric": known.metric,
    }
    told["known"] = None if known.depth is None else float(np.isfinite(known.depth).mean())
    told["focal"] = None if fitted.focal is None else fitted.focal.source
    told["camera"] = known.intrinsics is not None
    told["gravity"] = None if known.down is None else known.down.tolist()
    told["warnings"] = list(fitted.warnings)
    return told
