"""Requests are checked field by field."""

import pytest
from pydantic import TypeAdapter, ValidationError

from maquette.app.schemas import JobOptions, JobRequest, MaskEdit, SceneEdit

MASK = TypeAdapter(MaskEdit)
SCENE = TypeAdapter(SceneEdit)


@pytest.mark.parametrize(
    ("adapter", "edit"),
    [
        (MASK, {"kind": "box", "box": [1, 2, 3]}),
        (MASK, {"kind": "box", "box": [1, 2, 3, float("nan")]}),
        (MASK, {"kind": "clear", "more": 1}),
        (MASK, {"kind": "stroke", "points": [[1, 2]] * 4001, "radius": 1}),
        (MASK, {"kind": "delete", "labels": []}),
        (MASK, {"kind": "__init__"}),
        (MASK, {"kind": "rename", "label": 0, "name": ""}),
        (MASK, {"kind": "clicks", "clicks": []}),
        (SCENE, {"kind": "rename", "label": 1, "node": ""}),
        (SCENE, {"kind": "transform", "label": 1, "world_from_instance": [[1, 2, 3, 4]] * 3}),
        (SCENE, {"kind": "transform", "label": 1, "world_from_instance": [[float("inf")] * 4] * 4}),
    ],
)
def test_wrong_edits_are_no_edits(adapter, edit):
    with pytest.raises(ValidationError):
        adapter.validate_python(edit)


def test_every_kind_knows_what_it_does():
    for adapter in (MASK, SCENE):
        for kind in adapter.json_schema()["discriminator"]["mapping"]:
            assert kind in {
                "box",
                "clicks",
                "stroke",
                "polygon",
                "merge",
                "split",
                "delete",
                "rename",
                "reorder",
                "auto",
                "clear",
                "transform",
                "stand",
                "hide",
                "duplicate",
            }


def test_a_job_needs_a_photo_only():
    assert JobRequest(photo="x").options == JobOptions() and JobOptions().model_dump()["seed"] == 0
    for wrong in ({"seed": True}, {"seed": "many"}, {"steps": 101}, {"guidance": -1}):
        with pytest.raises(ValidationError):
            JobOptions.model_validate(wrong, strict=wrong.get("seed") is True)
