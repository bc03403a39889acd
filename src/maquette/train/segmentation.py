"""Task: the segmenter. Windows of rendered views in which someone points at an object.

In the flow: a view -> a window around one of its objects, or all of it, under other textures,
surroundings and colours -> rounds of clicks at what is wrong (clicks.py), and a look without any ->
the mean loss of all.
A trunk that was trained on photographs stays as it is until the decoder is trained: what it knows
of photographs is what rendered pictures cannot teach.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor
from torch.utils.data import Dataset

from maquette.data.augment import augment_image
from maquette.data.restyle import Restyler
from maquette.data.views import View
from maquette.geometry.boxes import pixel_box
from maquette.models.conditioning import Cut, cut_square, signed
from maquette.models.segmenter import (
    PROMPTS,
    SegmenterNet,
    box_plane,
    click_plane,
)
from maquette.stages.point import Window
from maquette.train.clicks import NextClick, drawn_box, next_click
from maquette.train.mask_losses import MaskLoss, everything_loss, mask_loss
from maquette.train.sources import Sources, ViewSource, no_object
from maquette.train.task import (
    Batch,
    HeldOut,
    LossAndParts,
    Sample,
    ScoresAndPicture,
    Task,
    detached,
    device_of,
    picture_of,
    stacked,
)

EXAMINED = 12  # held-out windows
SHOWN = 8  # of them, in the picture of the examination
LEAST = 0.0012  # of a view's pixels that an object must have
WHOLE = 0.3  # probability of a window that shows the whole view
MARGINS = (1.15, 3.0)  # side of a window over the object's longer side
INSIDE = 0.8  # probability that a window does not reach over the picture's edge without need
RESTYLED = 0.7  # probability of other textures and surroundings
# Probabilities of the first prompt, and of a coarse mask beside it, as a look at the whole photo
# leaves it for a look at a window.
BOXED = 0.35
BOXED_AND_CLICKED = 0.15
COARSE = 0.3
NOTHING = 0.1  # probability of a click on what is no object, of which little quality is expected
DECIDED = 0.5  # probability that the mask before has no doubts, as masks of people have none
FORGOTTEN = 0.2  # probability that only the newest click is known besides the mask before
MIDDLES = 8.0  # weight of the way to an object's middle, whose errors are shares of a window
ROUNDS = (0.4, 0.3, 0.2, 0.1)  # probabilities of 1 to 4 answers, each of which is to be right


@dataclass(frozen=True, eq=False)
class PointedWindows(Dataset):
    """Sample i depends on (seed, i) only: a window, and the mask of the object that is meant."""

    source: ViewSource
    size: int
    augment: bool = True  # other textures, surroundings and colours, and clicks beside objects
    seed: int = 0

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self.seed, index, 7))
        for _ in range(100):
            view = self.source(rng)
            areas = np.bincount(view.instance.ravel())[1:]
            there = 1 + np.flatnonzero(areas >= LEAST * view.instance.size)
            if len(there):
                return self._sample(view, int(rng.choice(there)), rng)
        raise no_object(self.seed, index)

    def _sample(
        self,
        view: View,
        label: int,
        rng: Generator,
    ) -> Sample:
        labels = view.instance.astype(np.int32)
        cut = cut_square(view.image, labels, _window(labels, label, rng), self.size)
        colours = cut.colours
        if self.augment:
            colours = self._restyled(cut, rng)
        picture = signed(colours) * cut.inside[..., None]
        meant = -1 if self.augment and rng.random() < NOTHING else label
        truth = (cut.labels == meant) & cut.inside
        free = (cut.labels == 0) & cut.inside
        mirrored = slice(None, None, -1 if rng.random() < 0.5 else 1)
        arrays = {
            "picture": picture.transpose(2, 0, 1),
            "truth": truth,
            "free": free,
        }
        arrays["inside"] = cut.inside
        arrays["labels"] = cut.labels * cut.inside
        flipped = {name: array[..., mirrored] for name, array in arrays.items()}
        return {name: torch.from_numpy(array.copy()) for name, array in flipped.items()}

    def _restyled(self, cut: Cut, rng: Generator) -> np.ndarray:
        colours = cut.colours
        if rng.random() < RESTYLED:
            colours = _restyler(self.seed)(colours, cut.labels, rng)
        return augment_image(colours, rng)


@cache
def _restyler(seed: int) -> Restyler:
    """Read where samples are made: OpenCV must not have worked in a process that is forked."""
    return Restyler.open(seed)


def _window(labels: np.ndarray, label: int, rng: Generator) -> tuple[int, int, int]:
    """Left, top and side of a window that shows an object, or the whole picture."""
    height, width = labels.shape
    if rng.random() < WHOLE:
        return Window.whole(labels.shape)
    x0, y0, x1, y1 = pixel_box(labels == label)
    longer = max(x1 - x0, y1 - y0)
    margin = np.exp(rng.uniform(*np.log(MARGINS)))
    side = int(np.ceil(longer * margin)) + 4
    # anywhere where the object's middle half is seen, and mostly inside the picture
    places = []
    for low, high, length in ((x0, x1, width), (y0, y1, height)):
        free = side - 0.75 * (high - low)
        moved = 0.5 * free * rng.uniform(-1, 1)
        place = round((low + high - side) / 2 + moved)
        inside = int(np.clip(place, 0, length - side)) if side <= length else place
        places.append(inside if rng.random() < INSIDE else place)
    return places[0], places[1], side


class _Pointing:
    """Who points at the objects of a batch: the prompts so far, (B, 4, S / 2, S / 2) on the CPU."""

    def __init__(self, batch: Batch, rng: Generator):
        planes = torch.stack([batch["truth"], batch["inside"], batch["free"]])
        self.truth, self.inside, self.free = planes.cpu().numpy()  # one wait for all
        self.rng = rng
        count, side, _ = self.truth.shape
        self.prompts = torch.zeros(count, PROMPTS, side // 2, side // 2)

    def begin(
        self,
        boxed: float,
        both: float,
        coarse: float,
    ) -> None:
        """The first prompts: clicks, with these probabilities boxes instead or as well, and masks
        that are known coarsely. Where no object is meant, a click beside all objects.
        """
        nothing = np.zeros(self.truth.shape[1:], bool)
        for number, truth in enumerate(self.truth):
            if not truth.any():
                self._click(number, next_click(self.free[number], nothing, rng=self.rng))
                continue
            chance = self.rng.random()
            if chance < boxed:
                self._box(number)
            if chance >= boxed - both:
                self._correct(number, nothing)
            if self.rng.random() < coarse:
                self.prompts[number, 3] = _coarse(truth, self.rng)

    def answer(self, logits: Tensor) -> None:
        """Look at what was found: it is the mask before of the next round, and gets one click."""
        found = logits.float().cpu()
        self.prompts[:, 3] = found.sigmoid()
        for number, mask in enumerate(_enlarged(found).numpy() > 0):
            if self.rng.random() < DECIDED:
                self.prompts[number, 3] = (self.prompts[number, 3] > 0.5).float()
            if self.rng.random() < FORGOTTEN:
                self.prompts[number, :3] = 0
            if self.truth[number].any():
                self._correct(number, mask)

    def _box(self, number: int) -> None:
        drawn = drawn_box(pixel_box(self.truth[number]), self.rng)
        side = self.truth.shape[-1]
        shares = [place / side for place in drawn]
        self.prompts[number, 2] = box_plane(shares, (side // 2, side // 2))

    def _correct(self, number: int, found: np.ndarray) -> None:
        """One more click where a mask is wrong."""
        self._click(number, next_click(self.truth[number], found, self.inside[number], self.rng))

    def _click(self, number: int, click: NextClick | None) -> None:
        if click is None:
            return
        side = self.truth.shape[-1]
        place = torch.tensor([[click.column + 0.5, click.row + 0.5]]) / side
        plane = self.prompts[number, 0 if click.positive else 1]
        torch.maximum(plane, click_plane(place, (side // 2, side // 2)), out=plane)


def _coarse(truth: np.ndarray, rng: Generator) -> Tensor:
    """A mask (S / 2, S / 2) as a look from afar finds it: blurred, shifted, with soft edges."""
    cells = int(rng.integers(6, 25))
    mask = torch.from_numpy(truth)[None, None].float()
    shift = torch.from_numpy(rng.integers(-3, 4, 2)).tolist()
    small = F.adaptive_avg_pool2d(mask.roll(shift, (2, 3)), cells)
    small = small + 0.15 * torch.from_numpy(rng.standard_normal((cells, cells)).astype(np.float32))
    half = truth.shape[0] // 2
    large = F.interpolate(small, size=(half, half), mode="bilinear")[0, 0]
    return torch.sigmoid(8 * (large - rng.uniform(0.35, 0.65)))


def _enlarged(logits: Tensor) -> Tensor:
    """(B, S / 2, S / 2) -> (B, S, S)."""
    return F.interpolate(logits[:, None], scale_factor=2.0, mode="bilinear")[:, 0]


class SegmentationTask(Task[SegmenterNet]):
    """Train a SegmenterNet on windows of random views; ``size`` of the windows in training."""

    collate = staticmethod(stacked)

    def __init__(
        self,
        model: SegmenterNet,
        sources: Sources,
        seed: int = 0,
        size: int | None = None,
    ):
        self.model = model
        size = size or model.config.size
        self.dataset = PointedWindows(sources.views, size, seed=seed)
        judged = PointedWindows(sources.unseen, size, augment=False, seed=seed + 1)
        self.examined = HeldOut(judged, EXAMINED, self.collate)

    def loss(
        self,
        model: SegmenterNet,
        batch: Batch,
        generator: torch.Generator,
    ) -> LossAndParts:
        """Entropy and dice of the mask, and entropy of the IoU that the network expects of it."""
        rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
        is_trained = any(p.requires_grad for p in model.trunk.parameters())
        with torch.set_grad_enabled(is_trained):
            maps = model.look(batch["picture"])
        pointing = _Pointing(batch, rng)
        pointing.begin(BOXED, BOXED_AND_CLICKED, COARSE)
        device = device_of(model)
        rounds = 1 + int(rng.choice(len(ROUNDS), p=ROUNDS))
        terms: list[MaskLoss] = []
        for number in range(rounds):
            found = model(maps, pointing.prompts.to(device))
            terms.append(mask_loss(found, batch["truth"], batch["inside"]))
            if number + 1 < rounds:
                pointing.answer(found.logits.detach())
        means = [torch.stack(values).mean() for values in zip(*terms)]
        mean = MaskLoss(*means)
        loss = 2 * mean.entropy + mean.dice + 0.1 * mean.quality
        seen = everything_loss(model.everything(maps), batch["labels"], batch["inside"])
        loss = loss + 2 * seen.entropy + seen.dice + MIDDLES * seen.middle
        parts = {
            "first_iou": terms[0].iou,
            "last_iou": terms[-1].iou,
            "all_iou": seen.iou,
            "middle": seen.middle,
        }
        return loss, detached(parts | mean._asdict())

    @torch.no_grad()
    def examine(self, model: SegmenterNet) -> ScoresAndPicture:
        """IoU with one click, a box, and three clicks on held-out windows, and a picture of the
        first of them.
        """
        device = device_of(model)
        batch = self.examined.batch(device)
        maps = model.look(batch["picture"])
        scores = {}
        shown = []
        for name, boxed, clicks in (("click", 0.0, 1), ("box", 1.0, 0), ("three", 0.0, 3)):
            pointing = _Pointing(batch, np.random.default_rng(0))
            pointing.begin(boxed, 0.0, 0.0)
            found = model(maps, pointing.prompts.to(device))
            for _ in range(clicks - 1):
                pointing.answer(found.logits)
                found = model(maps, pointing.prompts.to(device))
            scores[f"iou_{name}"] = float(mask_loss(found, batch["truth"], batch["inside"]).iou)
            shown.append(_enlarged(found.logits[:SHOWN]).sigmoid().cpu())
        found_all = model.everything(maps)
        seen = everything_loss(found_all, batch["labels"], batch["inside"])
        scores |= {"iou_all": float(seen.iou), "middle": float(seen.middle)}
        shown.append(_enlarged(found_all.logits[:SHOWN]).sigmoid().cpu())
        return scores, _picture(batch, shown)


def _picture(batch: Batch, found: list[Tensor]) -> np.ndarray:
    """Windows, and what was found in them, row by row."""
    rows = [batch["picture"][:SHOWN].cpu()]
    for masks in found:
        grey = (2 * masks - 1)[:, None]
        rows.append(grey.expand(-1, 3, -1, -1))
    return picture_of(torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1))
