"""Photos from files, arrays or Pillow images -> upright 8-bit sRGB arrays.

Whatever cannot be used is refused with one line that says what was found, by content and not by
suffix, and what to do.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from maquette.containers import checked_file
from maquette.errors import InputError, contained
from maquette.photos.focal import focal_of
from maquette.photos.pixels import shown
from maquette.types import Focal, StrPath

MIN_SIDE = 32  # pixels; below, an object is a handful of pixels
MAX_PIXELS = 100 * 10**6  # of a picture in memory; "8K" photos have 33 million
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "JPEG2000")

ImageSource = StrPath | np.ndarray | Image.Image

# What Pillow raises on damaged metadata, which is no reason to refuse sound pixels.
_METADATA_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)
_SIGNATURES = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"II*\x00", "a TIFF or camera raw image"),
    (b"MM\x00*", "a TIFF or camera raw image"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript document"),
    (b"8BPS", "a Photoshop document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"glTF", "a GLB model"),
    (b"\x1a\x45\xdf\xa3", "a video"),
    (b"<svg", "an SVG drawing"),
    (b"<", "HTML or XML text"),
    (b"{", "JSON text"),
    (b"[", "JSON text"),
)


@dataclass(frozen=True, eq=False)
class Photo:
    """What a photo's file tells."""

    image: np.ndarray  # (H, W, 3) uint8, sRGB, upright, transparent parts white
    alpha: np.ndarray | None  # (H, W) uint8 opacity; None = opaque everywhere
    focal: Focal | None  # None = not told, or not believed
    doubt: str  # why it is not believed, for people


def read_image(source: ImageSource) -> np.ndarray:
    """Read a photo as (H, W, 3) uint8 sRGB, upright; transparent parts become white.

    ``source`` is a path, a Pillow image, or an array: (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) of
    uint8, uint16, bool, or floats in [0, 1]. Embedded colour profiles are converted to sRGB. Raises
    InputError.
    """
    return read_photo(source).image


def read_photo(source: ImageSource) -> Photo:
    """Read all that a photo's file tells from one decoding. Raises InputError."""
    name = describe_source(source)
    if isinstance(source, np.ndarray):
        image = _image_from_array(source, name)
    else:
        image = open_image(source)
    if min(image.size) < MIN_SIDE:
        raise InputError(
            f"{name}: the photo has {shown(image.size[::-1])} pixels; "
            f"each side needs at least {MIN_SIDE}, use a larger one"
        )
    check_size(image.size, name)
    focal = None
    doubt = ""
    with contextlib.suppress(*_METADATA_ERRORS), _quiet():
        focal, doubt = focal_of(image)
    unusable = f"{name}: its colours ({image.mode}) cannot be converted to RGB"
    with contained(unusable, "save it as an 8-bit PNG or JPEG"), _quiet():
        rgb, alpha = _rgb_and_alpha(image)
    return Photo(rgb if alpha is None else _on_white(rgb, alpha), alpha, focal, doubt)


def open_image(source: StrPath | Image.Image) -> Image.Image:
    """Open and decode in the file's own mode, turned upright by its EXIF orientation; ``format`` is
    kept. Raises InputError.
    """
    if isinstance(source, Image.Image):
        return _turned_upright(source.copy())
    return read_pages(source, most=1)[0]


def read_pages(source: StrPath, most: int | None = None) -> list[Image.Image]:
    """Open and decode a file as ``open_image`` does: every page of a TIFF, every frame of an
    animation, but not more than ``most``. Raises InputError.
    """
    path = checked_file(source, "an image file")
    damaged = f"{path}: {describe_content(path)} that is truncated or damaged"
    with contained(damaged, "copy or export it again"), _quiet():
        try:
            with Image.open(path, formats=_available_formats()) as image:
                _shrink_jpeg(image)
                pages = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
                pages = pages if most is None else min(pages, most)
                check_size((image.width, image.height * pages), str(path))
                if pages > 1:
                    return [_page(image, k) for k in range(pages)]
                image.load()
                return [_turned_upright(image)]
        except Image.DecompressionBombError as error:
            most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            raise InputError(f"{path}: claims more than {most} pixels; reduce it first") from error
        except Image.UnidentifiedImageError as error:
            raise InputError(_unidentified(path)) from error
        except PermissionError as error:
            raise InputError(
                f"{path}: may not be read (permission denied); change its permissions"
            ) from error


def _shrink_jpeg(image: Image.Image) -> None:
    """Let a JPEG of too many pixels be decoded at a half, a quarter or an eighth of its size."""
    share = MAX_PIXELS / (image.width * image.height)
    if image.format in ("JPEG", "MPO") and share < 1:
        scale = share**0.5
        wanted = (int(image.width * scale) // 2, int(image.height * scale) // 2)
        image.draft(image.mode, wanted)


def _page(image: Image.Image, number: int) -> Image.Image:
    """One picture of several in a file, upright."""
    image.seek(number)
    page = image.copy()
    page.format = image.format  # type: ignore[misc]
    return _turned_upright(page)


def check_size(size: tuple[int, int], name: str) -> None:
    """Refuse a width and height of too many pixels, with an InputError."""
    if size[0] * size[1] > MAX_PIXELS:
        most = f"{MAX_PIXELS // 10**6} million"
        raise InputError(
            f"{name}: has {size[0]} x {size[1]} pixels; {most} may be read at most, reduce it first"
        )


def describe_content(path: Path) -> str:
    """Say in a few words what a file's first bytes look like."""
    with open(path, "rb") as file:
        head = file.read(64)
    if head[4:8] == b"ftyp":
        kinds = {
            b"avif": "an AVIF image",
            b"mp42": "a video",
            b"isom": "a video",
            b"qt  ": "a video",
        }
        heic = head[8:11] in (b"hei", b"hev", b"mif", b"msf")
        return kinds.get(head[8:12], "a HEIC image" if heic else "a video")
    if head[:4] == b"RIFF":
        return "a WebP image" if head[8:12] == b"WEBP" else "a sound or video"
    for signature, description in _SIGNATURES:
        if head.lstrip().startswith(signature) or head.startswith(signature):
            return description
    return "text" if head.isascii() and b"\x00" not in head else "data of an unknown kind"


def _unidentified(path: Path) -> str:
    """Why Pillow cannot open a file, and what to do."""
    found = describe_content(path)
    if found in ("a PNG image", "a JPEG image", "a GIF image", "a WebP image"):
        return f"{path}: {found} that is truncated or damaged; copy or export it again"
    return f"{path}: is not an image that can be read but {found}; convert it to PNG or JPEG"


def describe_source(source: object) -> str:
    """Name a source for messages: its path, or what it is in memory."""
    if isinstance(source, StrPath):
        return str(source)
    if isinstance(source, Image.Image):
        return getattr(source, "filename", "") or "the image in memory"
    if isinstance(source, np.ndarray):
        return f"the array of shape {source.shape}"
    return f"the {type(source).__name__} in memory"


def _available_formats() -> list[str]:
    """Those of FORMATS that this Pillow can open."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # Pillow warns about odd metadata, and about sizes that check_size refuses anyway
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _turned_upright(image: Image.Image) -> Image.Image:
    """Turn an image in place, for copies of large ones are expensive, and return it."""
    with contextlib.suppress(*_METADATA_ERRORS):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _image_from_array(array: np.ndarray, name: str) -> Image.Image:
    """An array as a picture; InputError for shapes, types and values that are none."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    of_pictures = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not of_pictures or 0 in array.shape:
        raise InputError(f"{name}: is not an image; give (H, W), (H, W, 3) or (H, W, 4)")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif array.dtype == np.uint16:
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    elif np.issubdtype(array.dtype, np.floating):
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise InputError(
                f"{name}: has NaN, infinite or out-of-range values; floats must lie in [0, 1]"
            )
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise InputError(
            f"{name}: has type {array.dtype}; give uint8, uint16, bool, or floats in [0, 1]"
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _rgb_and_alpha(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """(H, W, 3) sRGB and (H, W) opacity, None when it is opaque everywhere."""
    alpha = None
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _rgb_from_deep_grey(image), None
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        channel = np.asarray(rgba.getchannel("A"))
        alpha = channel if channel.min() < 255 else None
        # the mode that a colour profile speaks of
        image = rgba.convert("L" if image.mode in ("L", "LA", "La") else "RGB")
    elif image.mode not in ("L", "RGB", "CMYK", "LAB"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return np.array(_srgb(image)), alpha


def _rgb_from_deep_grey(image: Image.Image) -> np.ndarray:
    """(H, W, 3) of 16 bits or floats; ValueError for floats out of range."""
    values = np.asarray(image)
    if image.mode == "F":
        high = 1.0 if values.max() <= 1.0 else 255.0
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= high):
            raise ValueError("floats must lie in [0, 1] or [0, 255]")
        grey = np.rint(values * (255.0 / high))
    else:  # 16 bits, in Pillow's older releases as 32-bit integers
        grey = (np.clip(values.astype(np.int64), 0, 65535) + 128) // 257
    return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)


def _srgb(image: Image.Image) -> Image.Image:
    """The picture in sRGB, by its colour profile when it has a sound one."""
    data = image.info.get("icc_profile")
    if data:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
            if image.mode != "RGB" or "sRGB" not in ImageCms.getProfileDescription(profile):
                return _converted(image, profile, ImageCms.Intent.RELATIVE_COLORIMETRIC)
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a damaged or mismatched profile: the plain conversion is close enough
    if image.mode == "LAB":
        return _converted(image, ImageCms.createProfile("LAB"), ImageCms.Intent.PERCEPTUAL)
    return image if image.mode == "RGB" else image.convert("RGB")


def _converted(
    image: Image.Image,
    profile: ImageCms.ImageCmsProfile | ImageCms.core.CmsProfile,
    intent: ImageCms.Intent,
) -> Image.Image:
    """From a colour profile to sRGB."""
    target = ImageCms.createProfile("sRGB")
    made = ImageCms.profileToProfile(image, profile, target, intent, outputMode="RGB")
    return image if made is None else made  # None: it was converted in place


def _on_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(H, W, 3) over white, rounded."""
    opacity = alpha[..., None].astype(np.uint16)
    return ((rgb * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8)
