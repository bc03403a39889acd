"""How well objects of photographs are found by one click, a box, three clicks and nothing at all:
the segmenter, and GrabCut beside it.

    python benchmarks/segmentation.py PHOTOS [--weights FILE] [--every N] [--only NAME] [--rows CSV]

PHOTOS holds pairs NAME_rgb.* and NAME_seg.png (a label picture). Clicks go to the middle of the
object and then of the larger error; the box is that of the true mask. Time is that of the processor
per answer, on one thread; the first click's includes the look at the whole photo where it says
"first". Everything: the share of true objects that a proposal meets with an IoU above one half,
and proposals per photo that meet none."""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from maquette.checkpoints.embedded import FILES, embedded_folder
from maquette.checkpoints.store import load_model
from maquette.errors import InputError
from maquette.geometry.boxes import pixel_box
from maquette.masks.propose import Click, MaskProposer, PhotoMasks
from maquette.masks.read import load_masks
from maquette.masks.segment import ByColour
from maquette.models.segmenter import SegmenterNet
from maquette.nn.layers import of_kind
from maquette.photos.read import read_image
from maquette.stages.point import PointedPhoto
from maquette.train.clicks import next_click

LEAST = 0.001  # of a photo's pixels; smaller true masks are left out
MET = 0.5  # IoU


@dataclass
class Row:
    """One true object: IoU and milliseconds of each kind of prompt."""

    photo: str
    label: int
    share: float  # of the photo
    scores: dict[str, float] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)


def iou(found: np.ndarray, truth: np.ndarray) -> float:
    """Of two masks (H, W) bool."""
    return float((found & truth).sum() / max((found | truth).sum(), 1))


def asked(row: Row, name: str, truth: np.ndarray, answer, *arguments) -> np.ndarray:
    """Ask once and note score and time; what is not found is an empty mask."""
    begin = time.process_time()
    try:
        found = answer(*arguments)
    except InputError:
        found = np.zeros_like(truth)
    row.milliseconds[name] = 1000 * (time.process_time() - begin)
    row.scores[name] = iou(found, truth)
    return found


def examine_object(photo: PhotoMasks, truth: np.ndarray, row: Row) -> None:
    """Point at one object in every way."""
    asked(row, "box", truth, photo.boxed, pixel_box(truth))
    clicks: list[Click] = []
    found = None
    for number in (1, 2, 3):
        place = next_click(truth, np.zeros_like(truth) if found is None else found)
        if place is not None:
            clicks.append(Click(place.column + 0.5, place.row + 0.5, 1, place.positive))
        name = "click" if number == 1 else f"{number} clicks"
        found = asked(row, name, truth, photo.clicked, clicks, found)


def photographs(folder: Path, every: int) -> Iterator[tuple[str, np.ndarray, list[np.ndarray]]]:
    """Name, photo and true masks."""
    for path in sorted(folder.glob("*_rgb.*"))[::every]:
        name = path.stem.removesuffix("_rgb")
        image = read_image(path)
        reading = load_masks(folder / f"{name}_seg.png", image.shape[:2])
        masks = [mask.mask for mask in reading.masks if mask.mask.mean() >= LEAST]
        yield name, image, masks


@dataclass(frozen=True)
class Proposals:
    """What became of everything that was found in a photo."""

    proposed: int
    met: int  # true objects
    wrong: int  # proposals that meet none


def examine(proposer: MaskProposer, arguments: argparse.Namespace) -> list[Row]:
    """Every object of every photo; prints how well everything is found."""
    rows = []
    proposals = []
    for name, image, masks in photographs(arguments.photos, arguments.every):
        photo = proposer(image)
        first = first_look(photo)
        for label, truth in enumerate(masks, start=1):
            row = Row(name, label, float(truth.mean()))
            examine_object(photo, truth, row)
            row.milliseconds |= first
            rows.append(row)
        if arguments.everything:
            proposals.append(proposals_of(photo, masks))
    if proposals:
        met = sum(each.met for each in proposals)
        proposed = np.mean([each.proposed for each in proposals])
        wrong = np.mean([each.wrong for each in proposals])
        print(
            f"everything: {met} of {len(rows)} objects met, {proposed:.1f} proposals "
            f"per photo of which {wrong:.1f} meet none"
        )
    return rows


def first_look(photo: PhotoMasks) -> dict[str, float]:
    """Milliseconds of looking at a photo once, before anyone clicks; nothing for GrabCut."""
    if not isinstance(photo, PointedPhoto):
        return {}
    begin = time.process_time()
    photo.whole  # noqa: B018
    return {"first look": 1000 * (time.process_time() - begin)}


def proposals_of(photo: PhotoMasks, masks: list[np.ndarray]) -> Proposals:
    """Everything that is found, against the true masks (H, W)."""
    try:
        found = [mask.mask for mask in photo.everything()]
    except InputError:
        found = []
    table = np.array([[iou(a, b) for a in found] for b in masks]).reshape(len(masks), -1)
    met = int((table.max(1, initial=0) > MET).sum())
    wrong = int((table.max(0, initial=0) <= MET).sum())
    return Proposals(len(found), met, wrong)


def report(name: str, rows: list[Row]) -> None:
    """Mean IoU and times, for all and by size."""
    print(f"\n{name}: {len(rows)} objects")
    sizes = {"all": (0.0, 1.0), "< 1 %": (0.0, 0.01), "1-5 %": (0.01, 0.05), "> 5 %": (0.05, 1.0)}
    for kind in rows[0].scores:
        parts = []
        for size, (low, high) in sizes.items():
            chosen = [row.scores[kind] for row in rows if low <= row.share < high]
            parts.append(f"{size} {np.mean(chosen):.3f} ({len(chosen)})" if chosen else f"{size} -")
        spent = [row.milliseconds[kind] for row in rows]
        print(f"{kind:>9}: {'  '.join(parts)}   {np.median(spent):.0f} ms")
    first = [row.milliseconds["first look"] for row in rows if "first look" in row.milliseconds]
    if first:
        print(f"first look at a photo, once: {np.median(first):.0f} ms")


def write_rows(path: Path, name: str, rows: list[Row]) -> None:
    """Append the numbers of every object to a table."""
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        for row in rows:
            writer.writerow([name, row.photo, row.label, row.share, *row.scores.values()])


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", type=Path, default=embedded_folder() / FILES["segmenter"])
    parser.add_argument("--every", type=int, default=1, help="only every Nth photo")
    parser.add_argument("--only", choices=("segmenter", "grabcut"))
    parser.add_argument("--everything", action="store_true", help="also find all objects")
    parser.add_argument("--size", type=int, help="side of the network's windows")
    parser.add_argument("--rows", type=Path, help="table of all objects, appended to")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    proposers: dict[str, MaskProposer] = {}
    if arguments.only != "grabcut":
        net = of_kind(load_model(arguments.weights, "segmenter").model, SegmenterNet)
        size = arguments.size or net.config.size
        proposers["segmenter"] = lambda image: PointedPhoto(image, net, size)
    if arguments.only != "segmenter":
        proposers["grabcut"] = ByColour
    for name, proposer in proposers.items():
        rows = examine(proposer, arguments)
        report(name, rows)
        if arguments.rows:
            write_rows(arguments.rows, name, rows)


if __name__ == "__main__":
    main()
