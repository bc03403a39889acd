"""How long the lens was: what a photo's EXIF data tell of its focal length, checked before it is
believed.

In the flow: a decoded picture -> Focal, or the reason why its file is not believed. A single
picture shows its focal length badly, while nearly every camera writes it down.
"""

from __future__ import annotations

import math

from PIL import ExifTags, Image

from maquette.errors import InputError
from maquette.types import Focal

FILM_DIAGONAL = math.hypot(
    36.0, 24.0
)  # mm; equivalent focal lengths compare diagonals (CIPA DCG-001)
# of the longer side; below is no pinhole any more, above no photo of a scene on the ground
SHORTEST = 0.2
LONGEST = 25.0
SENSOR = (2.0, 80.0)  # mm, longer sides of sensors that exist
CROP = 0.02  # by which the aspect ratio may differ from the one that the camera wrote down
_MILLIMETRES = {
    1: 25.4,
    2: 25.4,
    3: 10.0,
    4: 1.0,
    5: 0.001,
}  # of EXIF's FocalPlaneResolutionUnit; 1 = none, which means inches in practice
_BASE = ExifTags.Base


def focal_from_fov(degrees: float, width: int, height: int) -> Focal:
    """Focal length of a photo of a vertical field of view in degrees. InputError when no camera has
    it.
    """
    if 0.0 < degrees < 180.0:
        ratio = 0.5 * height / math.tan(math.radians(degrees) / 2) / max(width, height)
        if SHORTEST <= ratio <= LONGEST:
            return Focal(ratio, f"given, {degrees:g} degrees")
    low, high = (
        math.degrees(2 * math.atan(0.5 * height / max(width, height) / ratio))
        for ratio in (LONGEST, SHORTEST)
    )
    limits = f"{math.ceil(10 * low) / 10:g} to {math.floor(high):g}"
    raise InputError(
        f"a vertical field of view of {degrees:g} degrees is not one of a {width} x {height} photo; give {limits} degrees"
    )


def fov_from_focal(ratio: float, width: int, height: int) -> float:
    """Vertical field of view in degrees of a focal length in longer sides; the inverse of
    ``focal_from_fov``.
    """
    return math.degrees(2 * math.atan(0.5 * height / (ratio * max(width, height))))


def focal_of(image: Image.Image) -> tuple[Focal | None, str]:
    """Focal length from a picture's EXIF data, and a sentence when there are data that are not
    believed.

    FocalLengthIn35mmFilm first; otherwise FocalLength with the sensor's size, as the resolution of
    the focal plane tells it. A picture whose aspect ratio is not the one that its camera wrote down
    was cropped, nobody knows where.
    """
    exif = image.getexif()
    tags = {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    width, height = image.size
    taken = sorted(_number(tags.get(tag)) for tag in (_BASE.ExifImageWidth, _BASE.ExifImageHeight))
    if (
        taken[0] > 0
        and abs(math.log(taken[1] / taken[0] * min(width, height) / max(width, height))) > CROP
    ):
        was = f"{taken[1]:.0f} x {taken[0]:.0f} to {max(width, height)} x {min(width, height)}"
        return (
            None,
            f"its EXIF focal length is not used, for the photo was cropped ({was} pixels)"
            if _tells(tags)
            else "",
        )
    film = _number(tags.get(_BASE.FocalLengthIn35mmFilm))
    if film > 0:
        return _believed(
            film / FILM_DIAGONAL * math.hypot(width, height) / max(width, height),
            f"EXIF, {film:g} mm on 35-mm film",
        )
    length = _number(tags.get(_BASE.FocalLength))
    pitch = _pixels_per_millimetre(tags)
    sensor = (taken[1] or max(width, height)) / pitch if pitch > 0 else 0.0
    if length > 0 and SENSOR[0] <= sensor <= SENSOR[1]:
        return _believed(length / sensor, f"EXIF, {length:g} mm on a sensor of {sensor:.1f} mm")
    return None, ""


def _tells(tags: dict[int, object]) -> bool:
    return (
        _number(tags.get(_BASE.FocalLengthIn35mmFilm)) > 0
        or _number(tags.get(_BASE.FocalLength)) > 0
    )


def _believed(ratio: float, source: str) -> tuple[Focal | None, str]:
    if SHORTEST <= ratio <= LONGEST:
        return Focal(ratio, source), ""
    return (
        None,
        f"its focal length ({source}) is not used, for no such camera takes pictures without distortion",
    )


def _pixels_per_millimetre(tags: dict[int, object]) -> float:
    resolution = max(
        _number(tags.get(_BASE.FocalPlaneXResolution)),
        _number(tags.get(_BASE.FocalPlaneYResolution)),
    )
    return resolution / _MILLIMETRES.get(
        int(_number(tags.get(_BASE.FocalPlaneResolutionUnit)) or 2), 25.4
    )


def _number(value: object) -> float:
    """A tag's number; 0 for what is missing, not a number, or nonsense such as 1 / 0."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0
