"""Scores as text for people. Every table starts with its protocol id, since numbers mean nothing
without it.
"""

from __future__ import annotations

from maquette.evaluate.protocols import PROTOCOLS
from maquette.evaluate.score import ObjectScore, SceneScore

# What is only sometimes measured: field, label, digits.
FURTHER = (
    ("cd_s_one", "scene Chamfer, prediction to truth", 4),
    ("add_s", "ADD-S", 4),
    ("add_s_01", "ADD-S below 0.1, %", 1),
    ("icp_rotation", "ICP-Rot, degrees", 2),
    ("emd", "earth mover's distance", 4),
    ("iou_obb", "turned box IoU", 4),
    ("ap15", "AP@15, %", 2),
    ("iou_v", "volumetric IoU", 4),
    ("penetration", "penetrating volume, %", 2),
    ("gap", "distance to fall", 4),
    ("floating", "floating objects, %", 1),
    ("stable", "stable objects, %", 1),
)
PER_OBJECT = ("add_s", "icp_rotation", "emd", "iou_obb", "iou_v")


def scene_table(score: SceneScore) -> str:
    """Lines of one scene's score: the scene, aligned beside raw, further measures, every true
    object with its miss, hints.
    """
    counts = f"{len(score.objects)} objects, {len(score.missing)} missed, {len(score.extra)} extra"
    lines = [
        f"protocol {score.protocol}, seed {score.seed}: {counts}",
        "",
        f"{'':38}{'aligned':>12}{'as given':>12}",
        _row("scene Chamfer (cd_s)", f"{score.cd_s:.4f}", f"{score.cd_s_raw:.4f}"),
        _row("scene F-score % (f_s)", f"{score.f_s:.2f}", f"{score.f_s_raw:.2f}"),
        *_more_thresholds(score),
        _row("object Chamfer (cd_o)", f"{score.cd_o:.4f}", f"{score.cd_o_raw:.4f}"),
        _row("object F-score % (f_o)", f"{score.f_o:.2f}", f"{score.f_o_raw:.2f}"),
        _row("box IoU (iou_b)", f"{score.iou_b:.4f}", f"{score.iou_b_raw:.4f}"),
        _row("normal consistency (normals)", f"{score.normals:.4f}", ""),
    ]
    for field, label, digits in FURTHER:
        value = getattr(score, field)
        if value is not None:
            number = f"{value:.{digits}f}"
            lines.append(
                _row(f"{label} ({field})", *((number, "") if field == "cd_s_one" else ("", number)))
            )
    lines += ["", *_objects(score)]
    if score.extra:
        lines.append(f"extra: {', '.join(score.extra)}")
    lines += [f"note: {hint}" for hint in score.hints]
    return "\n".join(lines)


def _more_thresholds(score: SceneScore) -> list[str]:
    """F at the protocol's further thresholds, named by them when the protocol is one of ours."""
    thresholds = next((p.more_thresholds for p in PROTOCOLS if p.id == score.protocol), ())
    names = [f"scene F-score % at {t:.4g}" for t in thresholds] + ["scene F-score %"] * 2
    values = [("f_s_2", score.f_s_2), ("f_s_3", score.f_s_3)]
    return [
        _row(f"{name} ({field})", f"{value:.2f}", "")
        for name, (field, value) in zip(names, values)
        if value is not None
    ]


def _objects(score: SceneScore) -> list[str]:
    width = max(6, *(len(o.name) for o in score.objects))
    more = [field for field in PER_OBJECT if getattr(score, field) is not None]
    head = "".join(f"{name:>{max(10, len(name) + 2)}}" for name in ("cd_o", "f_o", "iou_b", *more))
    return [f"{'object':{width}}{head}", *(_object_row(row, width, more) for row in score.objects)]


def _row(label: str, aligned: str, raw: str) -> str:
    return f"{label:38}{aligned:>12}{raw:>12}".rstrip()


def _object_row(row: ObjectScore, width: int, more: list[str]) -> str:
    note = (
        f"  MISS: {row.miss}"
        if row.miss
        else ""
        if row.predicted == row.name
        else f"  matched with {row.predicted}"
    )
    extras = "".join(f"{getattr(row, field):{max(10, len(field) + 2)}.4f}" for field in more)
    return f"{row.name:{width}}{row.cd_o:10.4f}{row.f_o:10.2f}{row.iou_b:10.4f}{extras}{note}"
