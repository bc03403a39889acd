"""The one way in: a photo and its masks -> a SceneInput, checked and diagnosed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from maquette.given.fit import GeometrySource, Shown, fit_geometry
from maquette.masks.diagnose import diagnose
from maquette.masks.labels import painted_labels
from maquette.masks.read import MaskSource, load_masks, select_masks
from maquette.photos.pixels import WORKING_SIDE, reduced, working_size
from maquette.photos.read import ImageSource, describe_source, read_photo
from maquette.types import SceneInput, StrPath, Which


def read_scene_input(
    image: ImageSource,
    masks: MaskSource,
    only: Iterable[Which] | None = None,
    *,
    geometry: GeometrySource | None = None,
    max_side: int = WORKING_SIDE,
) -> SceneInput:
    """Read a photo, its focal length if its file tells it, and its masks; check that they belong
    together, and collect warnings.

    ``only`` keeps the instances with these labels or names. Photos with a side above ``max_side``
    pixels are reduced, masks with them: the estimated camera then belongs to the reduced picture.
    ``geometry`` is what else is known: depth, camera, gravity. Raises InputError.
    """
    read = read_photo(image)
    image_name = str(image) if isinstance(image, StrPath) else getattr(image, "filename", None)
    size = read.image.shape[:2]
    target = working_size(size, max_side)
    photo = reduced(read.image, target)
    reading = load_masks(masks, size, target_size=target, image_name=image_name)
    kept = reading.masks if only is None else select_masks(reading.masks, only)
    sentences = [sentence for diagnosis in diagnose(kept) for sentence in diagnosis.warnings]
    warnings = (*filter(None, [read.doubt]), *reading.warnings, *sentences)
    given = SceneInput(photo, kept, describe_source(image), warnings, read.focal)
    if geometry is None or not geometry.is_there:
        return given
    fitted = fit_geometry(
        geometry, Shown(size, painted_labels(kept, target), read.focal, given.source)
    )
    return replace(
        given,
        warnings=(*warnings, *fitted.warnings),
        focal=fitted.focal,
        geometry=fitted.geometry,
    )
