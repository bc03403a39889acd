"""Which predicted object stands for which true one: by node name, or by where they stand
(Hungarian).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from scipy.optimize import linear_sum_assignment

from maquette.errors import InputError
from maquette.geometry.boxes import box_iou, longest_side

Pairs = dict[str, str]  # true name -> predicted name
Boxes = Mapping[str, np.ndarray]  # (2, 3) by name


def require_common_name(predicted: Collection[str], truth: Collection[str]) -> None:
    """Raise InputError when objects were predicted but not one of their names occurs in the ground
    truth.
    """
    if predicted and set(predicted).isdisjoint(truth):
        raise InputError(
            f"no name occurs in both: prediction {_some(predicted)}, ground truth {_some(truth)}; "
            "rename, or match by place ('hungarian')"
        )


def match_objects(predicted: Boxes, truth: Boxes, by: str = "names") -> Pairs:
    """Map true to predicted names, of objects given as name -> box (2, 3); unmatched ones are left
    out. ``by`` "names" or "hungarian".
    """
    if by == "names":
        return {name: name for name in truth if name in predicted}
    if by == "hungarian":
        return match_by_box(predicted, truth)
    raise InputError(f"cannot match objects by {by!r}; use 'names' or 'hungarian'")


def match_by_box(predicted: Boxes, truth: Boxes) -> Pairs:
    """Find the assignment with the largest sum of (box IoU - centre distance / size of the true
    scene).

    The second term decides between boxes that do not overlap; whoever can be assigned is.
    """
    if not predicted or not truth:
        return {}
    size = max(longest_side(np.concatenate(list(truth.values()))), 1e-12)
    gain = np.zeros((len(truth), len(predicted)))
    for row, true_box in enumerate(truth.values()):
        for column, box in enumerate(predicted.values()):
            apart = np.linalg.norm(box.mean(0) - true_box.mean(0))
            gain[row, column] = box_iou(box, true_box) - apart / size
    rows, columns = linear_sum_assignment(-gain)
    true_names = list(truth)
    predicted_names = list(predicted)
    return {true_names[row]: predicted_names[column] for row, column in zip(rows, columns)}


def _some(names: Collection[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return f"{listed[:5]}{more}"
