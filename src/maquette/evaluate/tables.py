"""Scores as text for people. Every table starts with its protocol id, since numbers mean nothing without it."""

from __future__ import annotations

from maquette.evaluate.score import ObjectScore, SceneScore


def scene_table(score: SceneScore) -> str:
    """Lines of one scene's score: the scene, aligned beside raw, then every true object, misses with their reason."""
    counts = f"{len(score.objects)} objects, {len(score.missing)} missed, {len(score.extra)} extra"
    lines = [
        f"protocol {score.protocol}, seed {score.seed}: {counts}",
        "",
        f"{'':24}{'aligned':>12}{'as given':>12}",
        _row("scene Chamfer (cd_s)", f"{score.cd_s:.4f}", f"{score.cd_s_raw:.4f}"),
        _row("scene F-score % (f_s)", f"{score.f_s:.2f}", f"{score.f_s_raw:.2f}"),
        _row("object Chamfer (cd_o)", f"{score.cd_o:.4f}", f"{score.cd_o_raw:.4f}"),
        _row("object F-score % (f_o)", f"{score.f_o:.2f}", f"{score.f_o_raw:.2f}"),
        _row("box IoU (iou_b)", f"{score.iou_b:.4f}", f"{score.iou_b_raw:.4f}"),
        "",
    ]
    width = max(6, *(len(o.name) for o in score.objects))
    lines.append(f"{'object':{width}}{'cd_o':>10}{'f_o':>10}{'iou_b':>10}")
    lines += [_object_row(row, width) for row in score.objects]
    if score.extra:
        lines.append(f"extra: {', '.join(score.extra)}")
    return "\n".join(lines)


def _row(label: str, aligned: str, raw: str) -> str:
    return f"{label:24}{aligned:>12}{raw:>12}"


def _object_row(row: ObjectScore, width: int) -> str:
    note = f"  MISS: {row.miss}" if row.miss else "" if row.predicted == row.name else f"  matched with {row.predicted}"
    return f"{row.name:{width}}{row.cd_o:10.4f}{row.f_o:10.2f}{row.iou_b:10.4f}{note}"
