"""Who proposes masks, and what may be asked: the contract between a photo, what a person points at,
and whatever finds objects, be it GrabCut or a network.

In the flow: photo -> MaskProposer -> PhotoMasks, which answers clicks, boxes, or "everything".
``segment`` (here: ``ByColour``) needs no weights; networks come from rooms after this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from maquette.errors import InputError
from maquette.geometry.boxes import PixelBox
from maquette.photos.pixels import Size, shown
from maquette.types import InstanceMask

Rectangle = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels


@dataclass(frozen=True)
class Click:
    """A point of the photo that belongs to the object ``label``, or does not; label 0 is the
    background for all.
    """

    x: float  # pixels
    y: float
    label: int
    positive: bool = True


Clicks = Sequence[Click]


@dataclass(frozen=True)
class Prompts:
    """What a person points at; nothing at all means "find the objects yourself"."""

    boxes: tuple[Rectangle, ...] = ()  # one object each
    clicks: tuple[Click, ...] = ()


class PhotoMasks(Protocol):
    """One photo that was looked at, to be asked as often as a person points. Masks are (H, W) bool
    of the photo's size. Each raises InputError when nothing can be found.

    Whoever asks has checked that clicks lie in the photo and that a box holds some, but not all, of
    it (``check_clicks``, ``check_box``).
    """

    @property
    def size(self) -> Size:
        """(H, W) of the photo."""
        ...

    def clicked(self, clicks: Clicks, before: np.ndarray | None = None) -> np.ndarray:
        """The one object that clicks mean, whatever their labels; ``before``: its mask so far,
        which they change. One click is positive, unless there is a mask.
        """
        ...

    def boxed(self, box: PixelBox) -> np.ndarray:
        """The one object in a box."""
        ...

    def everything(self) -> list[InstanceMask]:
        """All objects, labels 1, 2, ..., no pixel twice; names where they are known."""
        ...


MaskProposer: TypeAlias = Callable[[np.ndarray], PhotoMasks]  # photo (H, W, 3) uint8


def prompted_masks(photo: PhotoMasks, prompts: Prompts) -> list[InstanceMask]:
    """Masks of what the prompts say of a photo: an object per box, an object per label of the
    clicks, or everything. Where two claim a pixel, the smaller has it. Raises InputError.
    """
    if prompts.boxes and prompts.clicks:
        raise InputError("boxes and clicks together; give one kind")
    if not prompts.boxes and not prompts.clicks:
        return photo.everything()
    if prompts.boxes:
        labels = list(range(1, len(prompts.boxes) + 1))
        masks = [photo.boxed(check_box(box, photo.size)) for box in prompts.boxes]
        origins = [f"box {label}" for label in labels]
    else:
        check_clicks(prompts.clicks, photo.size)
        labels = sorted({c.label for c in prompts.clicks if c.positive and c.label > 0})
        if not labels:
            raise InputError("all clicks are negative; click at least once on an object")
        masks = [photo.clicked(clicks_for(label, prompts.clicks)) for label in labels]
        origins = [f"clicks on label {label}" for label in labels]
    masks = without_overlap(masks)
    for mask, origin in zip(masks, origins):
        if not mask.any():
            raise InputError(
                f"{origin}: no object was found there; give a tighter box or more clicks"
            )
    return [InstanceMask(label, mask) for label, mask in zip(labels, masks)]


def clicks_for(label: int, clicks: Clicks) -> list[Click]:
    """Clicks that say something of one object: its own, those on the background for all, and those
    on others, which it does not have.
    """
    own = [c for c in clicks if c.label == label]
    background = [c for c in clicks if c.label == 0 and not c.positive]
    others = [Click(c.x, c.y, label, False) for c in clicks if c.label != label and c.positive]
    return [*own, *background, *others]


def check_clicks(clicks: Clicks, size: Size) -> None:
    """InputError when a click is outside of the photo (H, W)."""
    height, width = size
    for click in clicks:
        if not (0 <= click.x < width and 0 <= click.y < height):
            place = f"{click.x:g},{click.y:g}"
            raise InputError(
                f"the click {place} is outside of the photo, which has {shown(size)} pixels"
            )


def check_box(box: Rectangle, size: Size) -> PixelBox:
    """A box as pixels inside a photo (H, W), x0 < x1 and y0 < y1. InputError when little of it, or
    all of the photo, is left.
    """
    height, width = size
    x0, x1 = sorted((box[0], box[2]))
    y0, y1 = sorted((box[1], box[3]))
    x0 = max(round(x0), 0)
    y0 = max(round(y0), 0)
    x1 = min(round(x1), width)
    y1 = min(round(y1), height)
    if x1 - x0 < 4 or y1 - y0 < 4:
        given = ",".join(f"{v:g}" for v in box)
        raise InputError(
            f"the box {given} has less than 4 pixels a side inside the photo of {shown(size)}"
        )
    if (x1 - x0, y1 - y0) == (width, height):
        raise InputError(
            "the box is the whole photo; "
            "draw it around one object, so that some background is left outside"
        )
    return x0, y0, x1, y1


def without_overlap(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Give each pixel of masks (H, W) to the smallest of the objects that claim it."""
    taken = np.zeros(masks[0].shape, bool)
    result: dict[int, np.ndarray] = {}
    for k in np.argsort([mask.sum() for mask in masks], kind="stable"):
        result[int(k)] = masks[k] & ~taken
        taken |= masks[k]
    return [result[k] for k in range(len(masks))]
