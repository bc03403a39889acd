"""Editing the record and then loading is loading and then editing the Scene."""

import json

import numpy as np
import pytest

from maquette.document import edits
from maquette.document.fields import Fields
from maquette.document.scene_json import load, save, scene_of
from maquette.errors import InputError
from maquette.geometry.transforms import rotation_y, similarity
from maquette.types import Support
from tests.document.scenes import make_scene

SUPPORTS = {1: Support("ground", 0.9), 3: Support(1, 0.5), 12: Support(3, 0.7)}
PLACE = similarity(1.5, rotation_y(0.3), np.array([0.1, 0.2, -0.3]))


@pytest.fixture
def document(tmp_path):
    return Fields.read(save(make_scene(supports=SUPPORTS), tmp_path / "scene.json"))


def described(scene):
    return scene.supports, [
        (
            i.label,
            i.node_name,
            i.hidden,
            i.seed,
            str(i.confidence),
            i.world_from_instance.tolist(),
            i.mesh.vertices.tobytes(),
            sorted(i.state),
        )
        for i in scene.instances
    ]


@pytest.mark.parametrize(
    ("on_record", "on_scene"),
    [
        (lambda d: edits.transform(d, 3, PLACE.tolist()), lambda s: s.transform(3, PLACE)),
        (
            lambda d: edits.transform(d, 1, PLACE.tolist(), carry=True),
            lambda s: s.transform(1, PLACE, carry=True),
        ),
        (lambda d: edits.stand(d, 3, "ground"), lambda s: s.stand(3, "ground")),
        (lambda d: edits.rename(d, 3, "box"), lambda s: s.rename(3, "box")),
        (lambda d: edits.hide(d, [1, 12]), lambda s: s.hide(1).hide(12)),
        (lambda d: edits.hide(d, [1], False), lambda s: s.hide(1, False)),
        (lambda d: edits.delete(d, [1, 3]), lambda s: s.delete(1).delete(3)),
        (lambda d: edits.delete(d, [1]), lambda s: s.delete(1)),
        (lambda d: edits.duplicate(d, 1, (0.1, 0, 0))[0], lambda s: s.duplicate(1, (0.1, 0, 0))),
    ],
    ids=[
        "transform",
        "carry",
        "stand",
        "rename",
        "hide",
        "show",
        "delete",
        "delete one",
        "duplicate",
    ],
)
def test_an_edit_of_the_record_is_the_verb_of_the_scene(document, on_record, on_scene):
    before = json.dumps(document.data)
    edited = Fields(document.file, on_record(document))
    assert described(scene_of(edited)) == described(on_scene(load(document.file)))
    assert json.dumps(document.data) == before
    for record, instance in zip(edited.data["instances"], scene_of(edited).instances):
        np.testing.assert_allclose(record["box"], instance.box, atol=1e-12)


def test_hidden_instances_are_in_the_document_and_in_no_other_file(tmp_path):
    scene = make_scene().hide(3)
    assert described(load(scene.export(tmp_path / "scene.json"))) == described(scene)
    without = make_scene().delete(3)
    for suffix in ("glb", "ply", "stl"):
        a = scene.export(tmp_path / f"a.{suffix}")
        b = without.export(tmp_path / f"b.{suffix}")
        assert a.read_bytes() == b.read_bytes()
    assert len(list(scene.export(tmp_path / "c.glb", separate=True).iterdir())) == 2


def test_copies_of_copies_have_names_and_labels_of_their_own(document):
    once, first = edits.duplicate(document, 1)
    twice, second = edits.duplicate(Fields(document.file, once), 1)
    assert (first, second) == (2, 4)
    assert [i["node"] for i in twice["instances"]] == [
        "instance_1",
        "instance_1_copy",
        "crate é",
        "instance_1_copy2",
        "instance_12",
    ]
    assert twice["instances"][1]["state"] is None


def test_a_replaced_shape_stays_where_the_object_stands(document):
    moved = Fields(document.file, edits.transform(document, 1, PLACE.tolist()))
    made = {**moved.data["instances"][1], "label": 1, "seed": 99, "confidence": 0.5}
    new = scene_of(Fields(document.file, edits.replace(moved, made)))
    np.testing.assert_array_equal(new[1].world_from_instance, PLACE)
    assert len(new[1].mesh.faces) == len(new[3].mesh.faces) and (
        new[1].seed,
        new[1].confidence,
        new[1].name,
    ) == (99, 0.5, "ball")


@pytest.mark.parametrize(
    "matrix",
    [
        np.eye(3),
        np.diag([1, 1, -1, 1]),
        np.diag([1, 2, 1, 1]),
        np.diag([0, 0, 0, 1]),
        np.full((4, 4), np.nan),
        np.diag([1, 1, 1, 2]),
        similarity(1.0, None, np.array([1e9, 0, 0])),
    ],
)
def test_only_similarities_are_taken(document, matrix):
    with pytest.raises(InputError, match="similarity"):
        edits.transform(document, 1, matrix.tolist())


def test_what_is_not_there_is_named(document):
    for wrong in (
        lambda: edits.delete(document, [2]),
        lambda: edits.hide(document, [2]),
        lambda: edits.rename(document, 2, "x"),
    ):
        with pytest.raises(InputError, match="it has"):
            wrong()
    for name in ("", "crate é"):
        with pytest.raises(InputError, match="taken"):
            edits.rename(document, 1, name)
