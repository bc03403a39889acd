"""Which predicted object stands for which true one: by node name, or by where they stand
(Hungarian).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from scipy.optimize import linear_sum_assignment

from maquette.errors import InputError
from maquette.geometry.boxes import box_iou


def require_common_name(predicted: Collection[str], truth: Collection[str]) -> None:
    """Raise InputError when objects were predicted but not one of their names occurs in the ground
    truth.
    """
    if predicted and not set(predicted) & set(truth):
        names = f"prediction {_some(predicted)}, ground truth {_some(truth)}"
        raise InputError(
            f"no name occurs in both: {names}; rename, or match by place ('hungarian')"
        )


def match_objects(
    predicted: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray], by: str = "names"
) -> dict[str, str]:
    """Map true to predicted names, of objects given as name -> box (2, 3); unmatched ones are left
    out. ``by`` "names" or "hungarian".
    """
    if by == "names":
        return {name: name for name in truth if name in predicted}
    if by == "hungarian":
        return match_by_box(predicted, truth)
    raise InputError(f"cannot match objects by {by!r}; use 'names' or 'hungarian'")


def match_by_box(
    predicted: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray]
) -> dict[str, str]:
    """Find the assignment with the largest sum of (box IoU - centre distance / size of the true
    scene).

    The second term decides between boxes that do not overlap; whoever can be assigned is.
    """
    if not predicted or not truth:
        return {}
    boxes = np.stack(list(truth.values()))
    size = max(float(np.ptp(boxes.reshape(-1, 3), axis=0).max()), 1e-12)
    gain = [
        [box_iou(p, t) - np.linalg.norm(p.mean(0) - t.mean(0)) / size for p in predicted.values()]
        for t in boxes
    ]
    rows, columns = linear_sum_assignment(-np.array(gain))
    true_names = list(truth)
    predicted_names = list(predicted)
    return {true_names[r]: predicted_names[c] for r, c in zip(rows, columns)}


def _some(names: Collection[str]) -> str:
    listed = sorted(names)
    return str(listed[:5]) + (f" and {len(listed) - 5} more" if len(listed) > 5 else "")
