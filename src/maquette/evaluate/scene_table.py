"""One scene's score as text for people. It starts with its protocol id, since numbers mean nothing
without it.
"""

from __future__ import annotations

from maquette.evaluate.protocols import PROTOCOLS
from maquette.evaluate.score import ObjectScore, SceneScore
from maquette.evaluate.tables import text_columns

# Field: label, digits. Of the aligned scene, with the same "as given" beside it where there is one.
ALIGNED = {
    "cd_s": ("scene Chamfer", 4),
    "f_s": ("scene F-score %", 2),
    "f_s_2": ("scene F-score %", 2),
    "f_s_3": ("scene F-score %", 2),
    "cd_o": ("object Chamfer", 4),
    "f_o": ("object F-score %", 2),
    "iou_b": ("box IoU", 4),
    "normals": ("normal consistency", 4),
    "cd_s_one": ("scene Chamfer, prediction to truth", 4),
}
# Measured as given only.
AS_GIVEN = {
    "add_s": ("ADD-S", 4),
    "add_s_01": ("ADD-S below 0.1, %", 1),
    "icp_rotation": ("ICP-Rot, degrees", 2),
    "emd": ("earth mover's distance", 4),
    "iou_obb": ("turned box IoU", 4),
    "ap15": ("AP@15, %", 2),
    "iou_v": ("volumetric IoU", 4),
    "penetration": ("penetrating volume, %", 2),
    "gap": ("distance to fall", 4),
    "floating": ("floating objects, %", 1),
    "stable": ("stable objects, %", 1),
    "depth": ("penetration depth, m", 5),
    "displacement": ("displacement, m", 4),
    "peak_energy": ("peak kinetic energy, J/kg", 3),
}
PER_OBJECT = ("cd_o", "f_o", "iou_b")
PER_OBJECT_AT_TIMES = ("add_s", "icp_rotation", "emd", "iou_obb", "iou_v")


def scene_table(score: SceneScore) -> str:
    """Lines of one scene's score: the scene, aligned beside raw, further measures, every true
    object with its miss, hints.
    """
    counts = f"{len(score.objects)} objects, {len(score.missing)} missed, {len(score.extra)} extra"
    measures = [("", "aligned", "as given"), *_measures(score)]
    lines = [
        f"protocol {score.protocol}, seed {score.seed}: {counts}",
        "",
        *text_columns(measures, (38, 12, 12)),
        "",
        *_objects(score),
    ]
    if score.extra:
        lines.append(f"extra: {', '.join(score.extra)}")
    return "\n".join(lines + [f"note: {hint}" for hint in score.hints])


def _measures(score: SceneScore) -> list[tuple[str, ...]]:
    """Label, aligned, as given. F at further thresholds is called after them when the protocol is
    one of ours.
    """
    thresholds = next((p.more_thresholds for p in PROTOCOLS if p.id == score.protocol), ())
    at = {f"f_s_{k}": f" at {threshold:.4g}" for k, threshold in enumerate(thresholds, 2)}
    lines = []
    for field, (label, digits) in (ALIGNED | AS_GIVEN).items():
        values = [getattr(score, field), getattr(score, f"{field}_raw", None)]
        numbers = [_number(value, digits) for value in values]
        if field in AS_GIVEN:
            numbers.reverse()
        if any(numbers):
            lines.append((f"{label}{at.get(field, '')} ({field})", *numbers))
    return lines


def _number(value: float | None, digits: int) -> str:
    """Empty when it was not measured."""
    return "" if value is None else f"{value:.{digits}f}"


def _objects(score: SceneScore) -> list[str]:
    """A line per object, with the columns that were measured."""
    more = [field for field in PER_OBJECT_AT_TIMES if getattr(score, field) is not None]
    digits = {**dict.fromkeys((*PER_OBJECT, *more), 4), "f_o": 2}
    lines = [("object", *digits, "")]
    for row in score.objects:
        numbers = [_number(getattr(row, field), count) for field, count in digits.items()]
        lines.append((row.name, *numbers, _remark(row)))
    widths = [max(len(line[0]) for line in lines), *(max(10, len(field) + 2) for field in digits)]
    return text_columns(lines, [*widths, 0])


def _remark(row: ObjectScore) -> str:
    """Why an object is missed, or with which it was paired."""
    if row.miss:
        return f"  MISS: {row.miss}"
    return "" if row.predicted == row.name else f"  matched with {row.predicted}"
