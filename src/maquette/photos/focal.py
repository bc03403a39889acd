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

# mm; equivalent focal lengths compare diagonals (CIPA DCG-001)
FILM_DIAGONAL = math.hypot(36.0, 24.0)
# of the longer side; below is no pinhole any more, above no photo of a scene on the ground
SHORTEST = 0.2
LONGEST = 25.0
SENSOR = (2.0, 80.0)  # mm, longer sides of sensors that exist
CROP = 0.02  # by which the aspect ratio may differ from the one that the camera wrote down
# of EXIF's FocalPlaneResolutionUnit, where it is not the inch
_MILLIMETRES = {
    3: 10.0,
    4: 1.0,
    5: 0.001,
}
_BASE = ExifTags.Base
_TAGS = (
    _BASE.ExifImageWidth,
    _BASE.ExifImageHeight,
    _BASE.FocalLength,
    _BASE.FocalLengthIn35mmFilm,
    _BASE.FocalPlaneXResolution,
    _BASE.FocalPlaneYResolution,
    _BASE.FocalPlaneResolutionUnit,
)


def focal_from_fov(degrees: float, width: int, height: int) -> Focal:
    """Focal length of a photo of a vertical field of view in degrees. InputError when no camera has
    it.
    """
    if 0.0 < degrees < 180.0:
        ratio = 0.5 * height / math.tan(math.radians(degrees) / 2) / max(width, height)
        if SHORTEST <= ratio <= LONGEST:
            return Focal(ratio, f"given, {degrees:g} degrees")
    low = math.ceil(10 * fov_from_focal(LONGEST, width, height)) / 10
    high = math.floor(fov_from_focal(SHORTEST, width, height))
    photo = f"a {width} x {height} photo"
    raise InputError(
        f"a vertical field of view of {degrees:g} degrees is not one of {photo}; give {low:g} to "
        f"{high:g} degrees"
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
    told: dict[int, float] = {tag: _number(tags.get(tag)) for tag in _TAGS}
    film = told[_BASE.FocalLengthIn35mmFilm]
    length = told[_BASE.FocalLength]
    short, long = sorted(image.size)
    narrow, wide = sorted((told[_BASE.ExifImageWidth], told[_BASE.ExifImageHeight]))
    if narrow > 0 and abs(math.log(wide / narrow * short / long)) > CROP:
        was = f"{wide:.0f} x {narrow:.0f} to {long} x {short}"
        doubt = f"its EXIF focal length is not used, for the photo was cropped ({was} pixels)"
        return None, doubt if film > 0 or length > 0 else ""
    if film > 0:
        ratio = film / FILM_DIAGONAL * math.hypot(*image.size) / long
        return _believed(ratio, f"EXIF, {film:g} mm on 35-mm film")
    pitch = _pixels_per_millimetre(told)
    sensor = (wide or long) / pitch if pitch > 0 else 0.0
    if length > 0 and SENSOR[0] <= sensor <= SENSOR[1]:
        return _believed(length / sensor, f"EXIF, {length:g} mm on a sensor of {sensor:.1f} mm")
    return None, ""


def _believed(ratio: float, source: str) -> tuple[Focal | None, str]:
    """A focal length by the longer side, or why it is not used."""
    if SHORTEST <= ratio <= LONGEST:
        return Focal(ratio, source), ""
    return (
        None,
        f"its focal length ({source}) is not used, "
        "for no such camera takes pictures without distortion",
    )


def _pixels_per_millimetre(told: dict[int, float]) -> float:
    """Of the sensor, as EXIF data tell it."""
    resolution = max(told[_BASE.FocalPlaneXResolution], told[_BASE.FocalPlaneYResolution])
    return resolution / _MILLIMETRES.get(int(told[_BASE.FocalPlaneResolutionUnit]), 25.4)


def _number(value: object) -> float:
    """A tag's number; 0 for what is missing, not a number, or nonsense such as 1 / 0."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0
