"""Networks of others that propose masks: the Segment Anything family, segmenters with a list of
kinds (Mask2Former, DETR, ...), and detectors that know words (Grounding DINO, OWLv2, ...).

In the flow: a folder of weights -> a MaskProposer as ``masks.propose`` describes it, through the
Auto classes of transformers. Nothing is fetched here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maquette.checkpoints.catalogue import hub_folder
from maquette.checkpoints.depth_networks import colours_of, loaded
from maquette.checkpoints.layouts import read_config
from maquette.errors import CheckpointError, InputError
from maquette.geometry.boxes import PixelBox, box_iou
from maquette.masks.propose import (
    Clicks,
    MaskProposer,
    PhotoMasks,
    Rectangle,
    check_box,
    without_overlap,
)
from maquette.masks.segment import ByColour
from maquette.photos.pixels import Size, iou_of
from maquette.types import InstanceMask

NamedBox = tuple[Rectangle, str, float]  # with its name and score

COLOUR = "colour"  # the name of the proposer that needs no weights
POINTING = ("sam2", "sam2_video", "edgetam", "edgetam_video", "sam3_tracker", "sam3_video")
SIDE = 1024  # pixels of the picture that they take, unless their folder says otherwise
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
GRID = 16  # points along each side when everything is asked for
TOGETHER = 32  # points in one pass
SURE = 0.75  # predicted IoU of a mask that is proposed
SAME = 0.7  # IoU above which two masks are of one object
INSIDE = 0.8  # share of a mask in a larger one of which it is then a part
LARGEST = 0.5  # of the photo; what is larger is what the objects stand on
SMALLEST = 0.001  # of the photo
BEFORE = 10.0  # logit of a mask that is to be changed
THRESHOLD = 0.5  # of segments with a name
BOX_THRESHOLD = 0.3  # of boxes by words


def open_proposer(name: str, device: torch.device) -> MaskProposer:
    """A proposer by its short name, OWNER/NAME, or folder; ``colour``: GrabCut. InputError when it
    is not here, CheckpointError when it proposes no masks.
    """
    if name == COLOUR:
        return ByColour
    folder = hub_folder(name, gives="masks")
    kind = _kind(folder)
    if kind in POINTING:
        network = loaded(folder, "AutoModelForMaskGeneration").to(device)
        return partial(Pointed, network, _side(folder))
    for auto in ("AutoModelForInstanceSegmentation", "AutoModelForUniversalSegmentation"):
        if kind in _kinds(auto):
            network = loaded(folder, auto).to(device)
            return partial(_named, network, loaded(folder, "AutoImageProcessor"))
    raise CheckpointError(
        f"{folder}: is a {kind}, which proposes no masks; known are {', '.join(POINTING)} and the "
        "kinds of transformers' instance and universal segmentation"
    )


def find(
    photo: np.ndarray,
    words: Sequence[str],
    detector: str,
    proposer: MaskProposer,
) -> list[InstanceMask]:
    """Masks of what words name in a photo (H, W, 3): boxes of a detector, each filled by a
    proposer. Raises InputError, CheckpointError.
    """
    wanted = [word.strip().lower() for word in words if word.strip()]
    if not wanted:
        raise InputError("no words to look for; give some, such as 'chair, lamp'")
    folder = hub_folder(detector, gives="boxes")
    if _kind(folder) not in _kinds("AutoModelForZeroShotObjectDetection"):
        raise CheckpointError(f"{folder}: is a {_kind(folder)}, which finds nothing by words")
    network = loaded(folder, "AutoModelForZeroShotObjectDetection")
    boxes = _boxes_of(network, loaded(folder, "AutoProcessor"), photo, wanted)
    if not boxes:
        raise InputError(f"nothing was found by {', '.join(wanted)}; use other words, or clicks")
    look = proposer(photo)
    filled = []
    for box, name in boxes:
        with contextlib.suppress(InputError):  # of a box that holds nothing
            filled.append((look.boxed(check_box(box, look.size)), name))
    if not any(mask.any() for mask, _ in filled):
        raise InputError(f"no outline was found in the boxes of {', '.join(wanted)}; use clicks")
    return numbered([mask for mask, _ in filled], [name for _, name in filled])


@torch.no_grad()
def _boxes_of(
    network: Any,
    processor: Any,
    photo: np.ndarray,
    words: Sequence[str],
) -> list[tuple[Rectangle, str]]:
    given = processor(
        images=[photo],
        text=[list(words)],
        return_tensors="pt",
    )
    out = network(**given)
    size = photo.shape[:2]
    told: dict[str, Any] = {"threshold": BOX_THRESHOLD, "target_sizes": [size]}
    (found,) = processor.post_process_grounded_object_detection(
        out, text_labels=[list(words)], **told
    )
    names = found["text_labels"] or words
    kept = []
    for box, score, name in zip(found["boxes"].tolist(), found["scores"].tolist(), names):
        x0, y0, x1, y1 = box
        area = (x1 - x0) * (y1 - y0) / (size[0] * size[1])
        if SMALLEST < area < 0.95:
            kept.append(((x0, y0, x1, y1), str(name), score))
    return [(box, name) for box, name, _ in _apart(kept)]


def _apart(
    found: Sequence[NamedBox],
) -> Iterator[NamedBox]:
    """Boxes with names and scores, the best first, without those of the same object."""
    taken: list[np.ndarray] = []
    for box, name, score in sorted(found, key=lambda one: -one[2]):
        here = np.array(box).reshape(2, 2)
        if all(box_iou(here, other) < SAME for other in taken):
            taken.append(here)
            yield box, name, score


def _kind(folder: Path) -> str:
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"{folder}: has no config.json; give a folder of transformers")
    return str(read_config(folder / "config.json").get("model_type"))


def _kinds(auto: str) -> tuple[str, ...]:
    """The kinds of models that one of transformers' Auto classes knows."""
    import transformers

    mapping = getattr(transformers, auto)._model_mapping
    return tuple(mapping._model_mapping)


def _side(folder: Path) -> int:
    told = folder / "preprocessor_config.json"
    size = read_config(told).get("size", {}) if told.is_file() else {}
    return int(size.get("height", SIDE))


@dataclass(frozen=True, eq=False)
class Pointed:
    """A photo for a network of the Segment Anything family; see ``PhotoMasks``. The photo is
    encoded once; a click costs the small decoder alone.
    """

    network: Any
    side: int  # pixels of the square picture that the network takes
    image: np.ndarray  # (H, W, 3) uint8

    @property
    def size(self) -> Size:
        """(H, W)."""
        return self.image.shape[:2]

    @cached_property
    def _embedding(self) -> list[Tensor]:
        colours = colours_of(self.image)
        small = F.interpolate(colours, (self.side, self.side), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        with torch.no_grad():
            pixels = ((small - mean) / std).to(self.network.device)
            return self.network.get_image_embeddings(pixels)

    def clicked(self, clicks: Clicks, before: np.ndarray | None = None) -> np.ndarray:
        """One mask of all clicks."""
        points = self._placed([(click.x, click.y) for click in clicks])
        labels = torch.tensor([[[int(click.positive) for click in clicks]]])
        told = {"input_points": points[None, None], "input_labels": labels}
        if before is not None:
            mask = torch.from_numpy(before)[None, None].float()
            told["input_masks"] = BEFORE * (2 * mask - 1)
        several = len(clicks) == 1 and before is None
        return self._best(told, several)

    def boxed(self, box: PixelBox) -> np.ndarray:
        """One mask of a box."""
        corners = self._placed([box[:2], box[2:]]).reshape(1, 1, 4)
        return self._best({"input_boxes": corners}, False)

    def everything(self) -> list[InstanceMask]:
        """Masks of a grid of points, those of which the network is sure; parts of others and what
        they stand on are left out.
        """
        height, width = self.size
        steps = (np.arange(GRID) + 0.5) / GRID
        points = [(x * width, y * height) for y in steps for x in steps]
        found: list[tuple[float, np.ndarray]] = []
        for start in range(0, len(points), TOGETHER):
            found += self._sure(points[start : start + TOGETHER])
        masks = whole_objects(found)
        if not masks:
            raise InputError("the network is sure of no object; use boxes or clicks")
        return numbered(masks, [""] * len(masks))

    def _placed(self, points: Sequence[tuple[float, ...]]) -> Tensor:
        """(N, 2) points of the photo in the network's picture."""
        height, width = self.size
        return torch.tensor(points).float() * torch.tensor([self.side / width, self.side / height])

    @torch.no_grad()
    def _asked(self, told: dict[str, Tensor], several: bool) -> tuple[Tensor, Tensor]:
        """Predicted IoU (P, M) and logits (P, M, h, w) of M masks for P prompts."""
        here = {key: value.to(self.network.device) for key, value in told.items()}
        out = self.network(
            image_embeddings=self._embedding,
            multimask_output=several,
            **here,
        )
        return out.iou_scores[0].float().cpu(), out.pred_masks[0].float().cpu()

    def _best(self, told: dict[str, Tensor], several: bool) -> np.ndarray:
        scores, logits = self._asked(told, several)
        return self._on_photo(logits[0, int(scores[0].argmax())][None])[0]

    def _sure(self, points: Sequence[tuple[float, float]]) -> list[tuple[float, np.ndarray]]:
        scores, logits = self._asked({"input_points": self._placed(points)[None, :, None]}, True)
        sure = scores > SURE
        masks = self._on_photo(logits[sure])
        return list(zip(scores[sure].tolist(), masks))

    def _on_photo(self, logits: Tensor) -> np.ndarray:
        """(N, H, W) bool of logits (N, h, w)."""
        if not len(logits):
            return np.zeros((0, *self.size), bool)
        return (F.interpolate(logits[None], self.size, mode="bilinear")[0] > 0).numpy()


@dataclass(frozen=True, eq=False)
class Segments:
    """A photo whose objects were all found beforehand; clicks and boxes choose among them."""

    found: Callable[[], list[InstanceMask]]
    size: Size

    @cached_property
    def _masks(self) -> list[InstanceMask]:
        return self.found()

    def everything(self) -> list[InstanceMask]:
        """All of them."""
        return self._masks

    def clicked(self, clicks: Clicks, before: np.ndarray | None = None) -> np.ndarray:
        """What stands under positive clicks, without what stands under negative ones."""
        mask = np.zeros(self.size, bool) if before is None else before.copy()
        for click in sorted(clicks, key=lambda one: not one.positive):
            for one in self._masks:
                if one.mask[int(click.y), int(click.x)]:
                    mask = mask | one.mask if click.positive else mask & ~one.mask
        if not mask.any():
            raise InputError("no object was found under the click; draw a box, or paint it")
        return mask

    def boxed(self, box: PixelBox) -> np.ndarray:
        """The object that fills a box best."""
        inside = np.zeros(self.size, bool)
        inside[box[1] : box[3], box[0] : box[2]] = True
        overlaps = [iou_of(one.mask, inside) for one in self._masks]
        if max(overlaps) < 0.1:
            raise InputError("no object was found in the box; click on it, or paint it")
        return self._masks[int(np.argmax(overlaps))].mask & inside


def _named(network: Any, processor: Any, image: np.ndarray) -> PhotoMasks:
    """A photo for a network with a list of kinds."""

    @torch.no_grad()
    def found() -> list[InstanceMask]:
        given = processor(images=[image], return_tensors="pt").to(network.device)
        post = processor.post_process_instance_segmentation
        (seen,) = post(network(**given), threshold=THRESHOLD, target_sizes=[image.shape[:2]])
        infos = seen["segments_info"]
        if not infos:
            raise InputError("the network found no object that it knows; use boxes or clicks")
        planes = [seen["segmentation"].cpu().numpy() == info["id"] for info in infos]
        names = [str(network.config.id2label[info["label_id"]]) for info in infos]
        return numbered(planes, names)

    return Segments(found, image.shape[:2])


def whole_objects(found: Sequence[tuple[float, np.ndarray]]) -> list[np.ndarray]:
    """Of masks (H, W) with scores, one for each object: the surest of those that are alike, none
    that is a part of another, and not what everything stands on.
    """
    kept: list[np.ndarray] = []
    for _, mask in sorted(found, key=lambda one: -one[0]):
        share = float(mask.mean())
        if SMALLEST < share < LARGEST and all(iou_of(mask, one) < SAME for one in kept):
            kept.append(mask)
    by_size = sorted(kept, key=lambda mask: -int(mask.sum()))
    whole: list[np.ndarray] = []
    for mask in by_size:
        if all((mask & one).sum() < INSIDE * mask.sum() for one in whole):
            whole.append(mask)
    return whole


def numbered(masks: Sequence[np.ndarray], names: Sequence[str]) -> list[InstanceMask]:
    """Masks (H, W) as instances 1, 2, ..., from left to right, no pixel twice."""
    parted = [(mask, name) for mask, name in zip(without_overlap(masks), names) if mask.any()]
    parted.sort(key=lambda one: float(np.nonzero(one[0])[1].mean()))
    return [InstanceMask(label, *one) for label, one in enumerate(parted, start=1)]
