"""Things that are probably not meant: wrong units, permuted names, meshes without orientation. Said
beside the numbers, never repaired.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from maquette.evaluate.matching import Boxes, Pairs, match_by_box
from maquette.evaluate.protocols import Protocol
from maquette.evaluate.surfaces import Meshes
from maquette.geometry.boxes import box_iou

UNITS = (
    (1000.0, "millimetres against metres"),
    (100.0, "centimetres against metres"),
    (39.37, "inches against metres"),
)
# between the sizes of the scenes, beyond which a wrong unit is likelier than a bad prediction
LARGEST_RATIO = 8.0
# metres: what a photographed scene of objects measures
SMALLEST_SCENE = 0.2
LARGEST_SCENE = 100.0
# box IoU of an object with its namesake, and with the one that stands in its place
APART = 0.05
# how many times better a turned prediction has to fit
TURN_GAIN = 2.0
QUARTER_TURNS = {  # axis -> rotation (3, 3) that undoes a prediction turned about it
    "x": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
    "x (the other way)": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
    "y": np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]),
    "y (the other way)": np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]),
    "z": np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    "z (the other way)": np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
}
TOGETHER = 0.25


def unit_hints(predicted: float, truth: float, protocol: Protocol) -> list[str]:
    """Judge the longest sides of the two scenes, in the units of the files."""
    hints = []
    ratio = max(predicted / truth, truth / predicted) if predicted > 0 and truth > 0 else 1.0
    if ratio >= LARGEST_RATIO:
        known = next((f" ({name}?)" for factor, name in UNITS if 0.75 < ratio / factor < 1.35), "")
        side = "large" if predicted > truth else "small"
        times = f"{ratio:.0f}" if ratio > 20 else f"{ratio:.1f}"
        hints.append(
            f"the prediction is {times} times as {side} as the truth{known}; "
            "numbers without alignment mean little"
        )
    if protocol.metres and not SMALLEST_SCENE <= truth <= LARGEST_SCENE:
        hints.append(
            f"{protocol.id} compares in metres, but the true scene is {truth:.3g} long: "
            "scale both scenes to metres"
        )
    return hints


def name_hints(predicted: Boxes, truth: Boxes, pairs: Pairs) -> list[str]:
    """Judge a matching by names, of objects given as name -> box (2, 3): do others stand where the
    namesakes should?
    """
    swapped = []
    for name, other in match_by_box(predicted, truth).items():
        together = box_iou(predicted[other], truth[name]) > TOGETHER
        namesake = pairs.get(name)
        if namesake == other or not together:
            continue
        if namesake is None or box_iou(predicted[namesake], truth[name]) < APART:
            swapped.append(f"{name} <- {other}")
    if not swapped:
        return []
    listed = ", ".join(swapped[:4] + ["..."] * (len(swapped) > 4))
    return [
        f"{len(swapped)} of {len(truth)} objects stand where another name is expected ({listed}): "
        "permuted names? match by place ('hungarian')"
    ]


def turn_hints(predicted: Boxes, truth: Boxes, pairs: Pairs) -> list[str]:
    """Judge whether a quarter turn about an axis would bring the objects, given as name -> box (2,
    3), much nearer to their partners: the usual sign of another upward axis.
    """
    if not pairs:
        return []
    moved = np.array([predicted[other] for other in pairs.values()])
    fixed = _normalised(np.array([truth[name] for name in pairs]))
    overlaps = {
        turn: _mean_overlap(_normalised(_turned(moved, matrix)), fixed)
        for turn, matrix in QUARTER_TURNS.items()
    }
    as_given = _mean_overlap(_normalised(moved), fixed)
    turn = max(overlaps, key=lambda name: overlaps[name])
    if overlaps[turn] < TOGETHER or overlaps[turn] < TURN_GAIN * as_given:
        return []
    return [
        f"the prediction looks turned by 90 degrees about {turn}: is its upward axis another one?"
    ]


def _turned(boxes: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Boxes (N, 2, 3) turned by whole quarters."""
    return np.sort(boxes @ matrix.T, axis=1)


def _normalised(boxes: np.ndarray) -> np.ndarray:
    """Boxes (N, 2, 3) moved and scaled so that all together are centred and one unit long."""
    low = boxes[:, 0].min(0)
    high = boxes[:, 1].max(0)
    return (boxes - (low + high) / 2) / max(float((high - low).max()), 1e-12)


def _mean_overlap(boxes: np.ndarray, others: np.ndarray) -> float:
    return float(np.mean([box_iou(a, b) for a, b in zip(boxes, others)]))


def winding_hints(meshes: Meshes, wanted: Collection[str]) -> list[str]:
    """Judge the orientation of faces when a measure needs an inside."""
    if {"volume", "physics", "dynamics"}.isdisjoint(wanted):
        return []
    faced = {name: mesh for name, mesh in meshes.items() if len(mesh.faces)}
    mixed = [name for name, mesh in faced.items() if not mesh.is_winding_consistent]
    if not mixed:
        return []
    return [
        f"faces of {', '.join(mixed[:4])} point in and out at random: "
        "volumes and contacts of these are unreliable"
    ]


def dynamics_hints(numbers: Mapping[str, float | None]) -> list[str]:
    """Judge whether MuJoCo gave up, by the fields of a scene's score."""
    if numbers.get("displacement", 0.0) is not None:
        return []
    return ["the simulation in MuJoCo diverged: displacement and peak energy are not measured"]
