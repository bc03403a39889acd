"""The objects of a photo that someone points at, or all of them, through the segmenter.

In the flow: photo -> ``PointedPhoto``, which answers clicks and boxes (masks/propose.py) -> masks.
The network first looks at the whole photo, once; then at a window around what it has found there,
so that a small object gets as many pixels as a large one. A box, or a mask that is to be changed,
says at once where to look.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from maquette.checkpoints.embedded import load_models
from maquette.checkpoints.mask_networks import open_proposer
from maquette.errors import InputError
from maquette.geometry.boxes import PixelBox, pixel_box
from maquette.masks.edit import Masks, find_objects
from maquette.masks.grabcut import held_to_edges
from maquette.masks.propose import Click, Clicks, MaskProposer, without_overlap
from maquette.masks.segment import ByColour
from maquette.models.conditioning import cut_square, overlap, signed
from maquette.models.segmenter import PROMPTS, SegmenterNet, box_plane, click_plane
from maquette.options import EMBEDDED
from maquette.photos.pixels import Size, connected_parts, large_parts
from maquette.photos.read import Photo
from maquette.stages.grouped import grouped
from maquette.types import InstanceMask

MARGIN = 1.4  # side of a window over the longer side of what it is to show
LEAST_SIDE = 24  # pixels of a photo that a window shows at least
WIDE = 0.75  # of the photo's longer side: a window that wide shows no more than the photo does
LOST = 0.35  # of the photo's longer side: what is looked at around clicks that met nothing
BOXED = -0.85  # logit from which on a pixel in a box belongs to its object
SLACK = 0.03  # of a box's sides, by which an object may reach over it
CERTAIN = 0.75  # nearness to a click, see ``click_plane``; about a hundredth of the window
LEAST_QUALITY = 0.5  # expected IoU of what counts as an object that nobody pointed at
# expected IoU, from afar, of a click that may have met nothing: below, it counts only if it is an
# object from near. Of 15 clicks on bare background 14 are told by that, of 35 objects none is lost.
FAINT = 0.25
SAME = 0.5  # share of the smaller of two masks, from which on they are of one object
LEAST_SHARE = 0.001  # of the photo that such an object has
LEAST_PART = 0.03  # of the largest part; smaller ones that nobody clicked on are noise


class Window(NamedTuple):
    """A square part of a photo, in its pixels; it may reach over the photo's edges."""

    left: int
    top: int
    side: int

    @classmethod
    def around(
        cls,
        box: PixelBox,
        margin: float,
        size: Size,
    ) -> Window:
        """Around a box, moved into the photo (H, W) where it fits into it."""
        x0, y0, x1, y1 = box
        side = max(int(np.ceil(margin * max(x1 - x0, y1 - y0))), LEAST_SIDE)
        height, width = size
        places = []
        for low, high, length in ((x0, x1, width), (y0, y1, height)):
            place = round((low + high - side) / 2)
            places.append(int(np.clip(place, 0, length - side)) if side <= length else place)
        return cls(places[0], places[1], side)

    @classmethod
    def whole(cls, size: Size) -> Window:
        """All of a photo (H, W)."""
        height, width = size
        side = max(size)
        return cls((width - side) // 2, (height - side) // 2, side)

    def shares(self, clicks: Clicks) -> Tensor:
        """(N, 2) places of clicks in shares of the window's sides."""
        places = [[click.x - self.left, click.y - self.top] for click in clicks]
        return torch.tensor(places).reshape(-1, 2) / self.side

    def corners(self, box: PixelBox, slack: float = 0.0) -> list[float]:
        """Corners of a box in shares of the window's sides, the box enlarged by a share of its
        own sides on each side.
        """
        sides = np.array([box[2] - box[0], box[3] - box[1]])
        moved = np.concatenate([-slack * sides, slack * sides])
        places = np.array(box) + moved - [self.left, self.top, self.left, self.top]
        return (places / self.side).tolist()

    def seen(
        self,
        plane: np.ndarray,
        by: Window,
        cells: int,
    ) -> np.ndarray:
        """What a plane (C, C) float32 of this window is in another one, (cells, cells)."""
        scale = self.side / by.side * cells / len(plane)
        between = np.array([self.left - by.left, self.top - by.top])
        offset = between * (cells / by.side)
        moved = np.zeros((2, 3))
        moved[:, :2] = scale * np.eye(2)
        moved[:, 2] = offset + 0.5 * scale - 0.5
        return cv2.warpAffine(plane, moved, (cells, cells), flags=cv2.INTER_LINEAR)

    def of_photo(self, mask: np.ndarray, cells: int) -> np.ndarray:
        """(cells, cells) float32 share of each cell that a mask (H, W) bool covers."""
        ys, xs, rows, columns = self._overlap(mask.shape)
        square = np.zeros((self.side, self.side), np.float32)
        square[rows, columns] = mask[ys, xs]
        return cv2.resize(square, (cells, cells), interpolation=cv2.INTER_AREA)

    def in_photo(self, logits: np.ndarray, size: Size) -> np.ndarray:
        """The mask (H, W) bool of logits (C, C) float32; nothing is outside of the window."""
        large = cv2.resize(logits, (self.side, self.side), interpolation=cv2.INTER_LINEAR)
        ys, xs, rows, columns = self._overlap(size)
        mask = np.zeros(size, bool)
        mask[ys, xs] = large[rows, columns] > 0
        return mask

    def deepest(self, plane: np.ndarray, size: Size) -> Click:
        """The place of a photo (H, W) that lies farthest inside of the mask that chances (C, C) of
        this window give.
        """
        cells = len(plane)
        depth = cv2.distanceTransform((plane > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        x = self.left + (int(column) + 0.5) / cells * self.side
        y = self.top + (int(row) + 0.5) / cells * self.side
        x, y = np.clip([x, y], 0, [size[1] - 1, size[0] - 1]).tolist()
        return Click(x, y, 1)

    def _overlap(self, size: Size) -> tuple[slice, slice, slice, slice]:
        """Rows and columns of the photo that are seen, and the same in the window."""
        ys, rows = overlap(self.top, self.side, size[0])
        xs, columns = overlap(self.left, self.side, size[1])
        return ys, xs, rows, columns


@dataclass(frozen=True, eq=False)
class Look:
    """A window of a photo as the network's trunk sees it."""

    window: Window
    colours: np.ndarray  # (S, S, 3) uint8
    maps: list[Tensor]


class Found(NamedTuple):
    """An answer about a window."""

    logits: np.ndarray  # (S / 2, S / 2) float32
    quality: float  # the IoU that the network expects


class CutOut(NamedTuple):
    """An object as it was cut out of the photo."""

    mask: np.ndarray  # (H, W) bool
    quality: float  # the IoU that the network expects


@dataclass(frozen=True, eq=False)
class PointedPhoto:
    """A photo that the segmenter has looked at; see ``masks.propose.PhotoMasks``."""

    image: np.ndarray  # (H, W, 3) uint8
    net: SegmenterNet
    side: int | None = None  # pixels of the windows that are shown to it; None = its own

    @property
    def size(self) -> Size:
        """(H, W)."""
        return self.image.shape[:2]

    @property
    def pixels(self) -> int:
        """Side of the windows that are shown to the network."""
        return self.side or self.net.config.size

    @cached_property
    def whole(self) -> Look:
        """The look at all of it."""
        return self.look(Window.whole(self.size))

    @torch.inference_mode()
    def look(self, window: Window) -> Look:
        """Look at a window."""
        nothing = np.zeros(self.size, np.uint8)
        cut = cut_square(self.image, nothing, window, self.pixels)
        colours = signed(cut.colours) * cut.inside[..., None]
        picture = torch.from_numpy(np.ascontiguousarray(colours.transpose(2, 0, 1)))
        return Look(window, cut.colours, self.net.look(picture[None]))

    @torch.inference_mode()
    def ask(
        self,
        look: Look,
        clicks: Clicks,
        box: PixelBox | None = None,
        before: np.ndarray | None = None,
    ) -> Found:
        """What clicks, a box, or an earlier mask (C, C) of the same window mean."""
        window = look.window
        cells = self.pixels // 2
        planes = torch.zeros(PROMPTS, cells, cells)
        for number, positive in enumerate((True, False)):
            chosen = [click for click in clicks if click.positive == positive]
            planes[number] = click_plane(window.shares(chosen), (cells, cells))
        if box is not None:
            planes[2] = box_plane(window.corners(box), (cells, cells))
        if before is not None:
            planes[3] = torch.from_numpy(before)
        found = self.net(look.maps, planes[None])
        return Found(found.logits[0].float().numpy(), float(found.quality.sigmoid()))

    def clicked(self, clicks: Clicks, before: np.ndarray | None = None) -> np.ndarray:
        """The object (H, W) bool that clicks mean, or that they make of a mask. InputError when a
        single click meets what does not look like an object.
        """
        if before is None or not before.any():
            far = self.whole
            seen = self.ask(far, clicks)
            near = self._from_near(far, seen, clicks)
            if len(clicks) == 1 and seen.quality < FAINT and near.quality < LEAST_QUALITY:
                raise InputError(
                    "nothing there looks like an object of its own; click on an object, "
                    "or draw a box around what you mean"
                )
            return self._clicked_parts(near.mask, clicks)
        shown = before.copy()
        shown[_pixels(clicks, self.size)] = True
        look = self.look(Window.around(pixel_box(shown), MARGIN, self.size))
        known = look.window.of_photo(before, self.pixels // 2)
        return self._outlined(look, self.ask(look, clicks, before=known), clicks)

    def boxed(self, box: PixelBox) -> np.ndarray:
        """The object (H, W) bool in a box."""
        look = self.look(Window.around(box, MARGIN, self.size))
        return self._outlined(look, self.ask(look, (), box), (), box)

    def everything(self) -> list[InstanceMask]:
        """The objects that stand out in the photo, from left to right. InputError when there is
        none.
        """
        found = [self._around_middle(click) for click in self._middles()]
        masks = [one.mask for one in _different(found) if one.mask.mean() >= LEAST_SHARE]
        masks = [mask for mask in without_overlap(masks) if mask.any()] if masks else []
        if not masks:
            raise InputError("no object stands out from the background; use boxes or clicks")
        masks.sort(key=lambda mask: pixel_box(mask)[0])
        return [InstanceMask(label, mask) for label, mask in enumerate(masks, start=1)]

    @torch.inference_mode()
    def _middles(self) -> list[Click]:
        """A click deep inside of everything that the look at the whole photo takes for an
        object.
        """
        far = self.whole
        seen = self.net.everything(far.maps)
        planes = grouped(seen.logits[0].float().numpy(), seen.middle[0].float().numpy())
        return [far.window.deepest(plane, self.size) for plane in planes]

    def _around_middle(self, click: Click) -> CutOut:
        """The object of a click that nobody made."""
        near = self._from_near(self.whole, self.ask(self.whole, [click]), [click])
        return near._replace(mask=self._clicked_parts(near.mask, [click]))

    def _from_near(
        self,
        far: Look,
        found: Found,
        clicks: Clicks,
    ) -> CutOut:
        """The object of first clicks, as the whole photo shows it, looked at from near."""
        mask = self._without_specks(far.window.in_photo(found.logits, self.size), clicks)
        window = self._near(mask, [click for click in clicks if click.positive])
        if window.side >= WIDE * far.window.side:
            return CutOut(self._outlined(far, found, clicks), found.quality)
        look = self.look(window)
        chances = 1 / (1 + np.exp(-found.logits))
        nearer = self.ask(look, clicks, before=far.window.seen(chances, window, self.pixels // 2))
        return CutOut(self._outlined(look, nearer, clicks), nearer.quality)

    def _clicked_parts(self, mask: np.ndarray, clicks: Clicks) -> np.ndarray:
        """The parts of a mask (H, W) that first clicks have met; all of it when they met nothing.
        What else looks alike is another object until somebody clicks on it, too.
        """
        number, _ = connected_parts(mask)
        clicked = self._clicked_numbers(number, clicks)
        return np.isin(number, clicked) if len(clicked) else mask

    def _near(self, mask: np.ndarray, clicks: Clicks) -> Window:
        """The window around a mask (H, W), or around clicks that met nothing."""
        places = _pixels(clicks, self.size)
        met = mask[places].any()
        shown = mask.copy() if met else np.zeros_like(mask)
        shown[places] = True
        if met:
            return Window.around(pixel_box(shown), MARGIN, self.size)
        x0, y0, x1, y1 = pixel_box(shown)
        wide = round(0.5 * LOST * max(self.size))
        return Window.around((x0 - wide, y0 - wide, x1 + wide, y1 + wide), 1.0, self.size)

    def _outlined(
        self,
        look: Look,
        found: Found,
        clicks: Clicks,
        box: PixelBox | None = None,
    ) -> np.ndarray:
        """The mask (H, W) bool of an answer; its outline is that of the colours, and clicks and
        the box are taken at their word.
        """
        size = (self.pixels, self.pixels)
        logits = cv2.resize(found.logits, size, interpolation=cv2.INTER_LINEAR)
        yes = _dots(look.window, [click for click in clicks if click.positive], size)
        no = _dots(look.window, [click for click in clicks if not click.positive], size)
        mask = logits > 0
        if box is not None:
            no = ~(box_plane(look.window.corners(box, SLACK), size).numpy() > 0)
            mask = logits > BOXED
        edged = held_to_edges(look.colours, (mask | yes) & ~no, yes & ~no, no)
        surface = np.where(edged, 1, -1).astype(np.float32)
        return self._without_specks(look.window.in_photo(surface, self.size), clicks)

    def _without_specks(self, mask: np.ndarray, clicks: Clicks) -> np.ndarray:
        """The large parts of a mask (H, W), and those that are clicked on."""
        number, areas = connected_parts(mask)
        if len(areas) <= 2:
            return mask
        large = large_parts(areas, LEAST_PART)
        return np.isin(number, np.union1d(large, self._clicked_numbers(number, clicks)))

    def _clicked_numbers(self, number: np.ndarray, clicks: Clicks) -> np.ndarray:
        positive = [click for click in clicks if click.positive]
        return np.setdiff1d(number[_pixels(positive, self.size)], [0])


def _different(found: Sequence[CutOut]) -> list[CutOut]:
    """Those of which much is expected, without what is the same object again; the surest first."""
    sure = [one for one in found if one.quality >= LEAST_QUALITY and one.mask.any()]
    kept: list[CutOut] = []
    for one in sorted(sure, key=lambda one: -one.quality):
        if all(_common(one.mask, other.mask) < SAME for other in kept):
            kept.append(one)
    return kept


def _common(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the smaller of two masks that both have."""
    return float((a & b).sum() / min(a.sum(), b.sum()))


def _dots(window: Window, clicks: Clicks, size: Size) -> np.ndarray:
    """Mark (H, W) bool the surroundings of clicks in a window, which are certain."""
    if not clicks:
        return np.zeros(size, bool)
    return click_plane(window.shares(clicks), size).numpy() > CERTAIN


@cache
def embedded_proposer() -> MaskProposer:
    """The segmenter of the package; GrabCut where its weights are missing. CheckpointError when
    they are damaged.
    """
    models = load_models()
    if not models.has("segmenter"):
        return ByColour
    (net,) = models.models(["segmenter"])
    return partial(PointedPhoto, net=net)


def proposer_named(name: str, device: torch.device) -> MaskProposer:
    """``embedded``, or what ``mask_networks.open_proposer`` knows. Raises InputError,
    CheckpointError.
    """
    return embedded_proposer() if name == EMBEDDED else open_proposer(name, device)


def proposed(photo: Photo) -> Masks:
    """Masks of everything in a photo for which none are given: the parts of a cut-out, what stands
    on a plain background, else what the segmenter finds. Raises InputError.
    """
    return find_objects(photo.image, photo.alpha, lambda: embedded_proposer()(photo.image)).masks


def _pixels(clicks: Clicks, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of clicks in a photo."""
    places = np.array([[click.y, click.x] for click in clicks]).reshape(-1, 2)
    rows, columns = places.astype(int).T
    return rows.clip(0, size[0] - 1), columns.clip(0, size[1] - 1)
