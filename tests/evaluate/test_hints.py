"""Input that is probably not meant is said; input that cannot be used is refused; nothing is
skipped silently.
"""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.evaluate.hints import (
    QUARTER_TURNS,
    name_hints,
    turn_hints,
    unit_hints,
    winding_hints,
)
from maquette.evaluate.protocols import DEPR, ISCENE, RAW
from maquette.evaluate.score import score_scene
from maquette.geometry.transforms import similarity
from tests.evaluate.scenes import all_moved, room

QUICK = replace(RAW, points=300)


WRONG_UNITS = [
    (1000.0, "1000 times as large as the truth (millimetres"),
    (1 / 39.37, "39 times as small as the truth (inches"),
    (12.0, "12.0 times as large as the truth;"),
]


@pytest.mark.parametrize("factor, words", WRONG_UNITS)
def test_wrong_units_are_said(factor, words):
    truth = room()
    score = score_scene(all_moved(truth, similarity(factor)), truth, QUICK)
    assert len(score.hints) == 1 and words in score.hints[0]


def test_a_bad_size_is_no_wrong_unit():
    assert unit_hints(3.0, 1.0, ISCENE) == [] == unit_hints(1.0, 3.0, ISCENE)
    assert unit_hints(0.0, 1.0, ISCENE) == []


def test_protocols_in_metres_doubt_scenes_that_are_not():
    assert (
        "scale both scenes to metres" in unit_hints(2000.0, 2000.0, DEPR)[0]
        and unit_hints(2.0, 2.0, DEPR) == []
    )
    assert unit_hints(2000.0, 2000.0, ISCENE) == []


def test_permuted_names_are_said_and_bad_predictions_are_not():
    def box(x):
        return np.array([[x, 0, 0], [x + 1, 1, 1.0]])

    truth = {"a": box(0), "b": box(2), "c": box(4)}
    same = {name: name for name in truth}
    assert name_hints(truth, truth, same) == []
    swapped = {"a": box(2), "b": box(0), "c": box(4)}
    assert (
        "2 of 3 objects" in name_hints(swapped, truth, same)[0]
        and "a <- b" in name_hints(swapped, truth, same)[0]
    )
    assert (
        name_hints({name: b + 50.0 for name, b in truth.items()}, truth, same) == []
    )  # nobody stands anywhere near


def test_mixed_orientation_is_said_when_an_inside_is_needed():
    mesh = trimesh.creation.icosphere(1)
    faces = mesh.faces.copy()
    faces[::2] = faces[::2, ::-1]
    mixed = {"m": trimesh.Trimesh(mesh.vertices, faces, process=False)}
    assert "m point in and out" in winding_hints(mixed, ("physics",))[0]
    assert winding_hints(mixed, ()) == [] == winding_hints({"m": mesh}, ("volume",))


@pytest.mark.parametrize(
    ("side", "least"), [(225, 100_000), pytest.param(708, 999_000, marks=pytest.mark.slow)]
)
def test_a_mesh_of_many_triangles_is_scored(side, least):
    x, z = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side), indexing="ij")
    vertices = np.stack([x, 0.05 * np.sin(9 * x) * np.cos(7 * z), z], axis=-1).reshape(-1, 3)
    corner = (np.arange(side - 1)[:, None] * side + np.arange(side - 1)).reshape(-1)
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + side], 1),
            np.stack([corner + 1, corner + side + 1, corner + side], 1),
        ]
    )
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert len(mesh.faces) > least
    score = score_scene({"sea": mesh}, {"sea": mesh}, replace(QUICK, points=3000))
    assert score.iou_b == pytest.approx(1.0) and score.f_s > 99.0


def test_bad_meshes_are_refused_or_counted():
    truth = room()
    empty = trimesh.Trimesh()
    line = trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [2, 0, 0]], [[0, 1, 2]], process=False)
    nan = truth["ball"].copy()
    nan.vertices[5] = np.inf
    wild = trimesh.Trimesh(
        truth["ball"].vertices,
        np.vstack([truth["ball"].faces, [[0, 1, 99999]]]),
        process=False,
        validate=False,
    )
    for broken in (empty, line):
        score = score_scene({**truth, "ball": broken}, truth, QUICK)
        assert score.missing == ("ball",) and "the mesh has no" in next(
            o.miss for o in score.objects if o.name == "ball"
        )
        with pytest.raises(InputError, match="'ball' cannot be scored"):
            score_scene(truth, {**truth, "ball": broken}, QUICK)
    for broken, words in (
        (nan, "1 of 162 vertices are NaN or infinite"),
        (wild, "refer to vertex 99999"),
    ):
        for pred, gt in (({**truth, "ball": broken}, truth), (truth, {**truth, "ball": broken})):
            with pytest.raises(InputError, match=words):
                score_scene(pred, gt, QUICK)
    with pytest.raises(InputError, match="rename, or match by place"):
        score_scene({"x": truth["ball"]}, truth, QUICK)


SCENE = {
    "table": np.array([[-0.5, 0.0, -0.3], [0.5, 0.4, 0.3]]),
    "lamp": np.array([[-0.3, 0.4, -0.1], [-0.1, 1.0, 0.1]]),
    "chair": np.array([[0.6, 0.0, -0.2], [1.0, 0.7, 0.2]]),
}


@pytest.mark.parametrize("axis", QUARTER_TURNS)
def test_a_quarter_turn_is_noticed(axis):
    turned = {name: np.sort(3 * box @ QUARTER_TURNS[axis], axis=0) for name, box in SCENE.items()}
    (hint,) = turn_hints(turned, SCENE, {name: name for name in SCENE})
    assert f"90 degrees about {axis}" in hint


def test_a_scene_that_stands_as_it_should_is_not_called_turned():
    shifted = {name: box + 0.05 for name, box in SCENE.items()}
    pairs = {name: name for name in SCENE}
    assert turn_hints(shifted, SCENE, pairs) == turn_hints({}, SCENE, {}) == []
