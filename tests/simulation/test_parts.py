"""Convex decomposition: in a process of its own, remembered, and with a way out."""

import json
import math
import sys

import numpy as np
import pytest
import trimesh

from maquette.errors import MissingExtraError
from maquette.geometry.boxes import bounding_box
from maquette.simulation import parts
from maquette.simulation.hulls import convex_part
from maquette.simulation.parts import Decomposition, decomposed

coacd = pytest.importorskip("coacd")


def ell():
    """An L of two boxes, as one closed surface."""
    outline = np.array([[0, 0], [1, 0], [1, 0.2], [0.2, 0.2], [0.2, 1], [0, 1]])
    fronts = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]])
    vertices = np.concatenate([np.c_[outline, np.zeros(6)], np.c_[outline, np.full(6, 0.3)]])
    ring = np.arange(6)
    ahead = (ring + 1) % 6
    sides = np.concatenate([np.c_[ring, ahead, ahead + 6], np.c_[ring, ahead + 6, ring + 6]])
    return trimesh.Trimesh(vertices, np.concatenate([fronts[:, ::-1], fronts + 6, sides]))


def test_an_ell_falls_into_parts_that_together_are_the_ell(monkeypatch):
    mesh = ell()
    assert mesh.is_volume
    (found,) = decomposed([mesh], "parts")
    assert found.remark == "" and len(found.parts) >= 2
    volume = sum(part.volume for part in found.parts)
    assert volume == pytest.approx(mesh.volume, rel=0.1)
    corners = np.concatenate([part.vertices for part in found.parts])
    assert np.allclose([corners.min(0), corners.max(0)], mesh.bounds, atol=0.02)

    monkeypatch.setattr(parts, "_run", lambda *_: pytest.fail("not remembered"))
    (again,) = decomposed([mesh], "parts")
    for first, second in zip(found.parts, again.parts, strict=True):
        assert np.array_equal(first.vertices, second.vertices)


@pytest.mark.parametrize("collision", ["parts", "hull"])
def test_what_is_convex_already_is_its_hull(collision, monkeypatch):
    monkeypatch.setattr(parts, "_run", lambda *_: pytest.fail("not needed"))
    (found,) = decomposed([trimesh.creation.box((1, 2, 3))], collision)
    assert [part.volume for part in found.parts] == [pytest.approx(6)]


def test_a_box_is_its_box():
    (found,) = decomposed([ell()], "box")
    assert found.parts[0].volume == pytest.approx(0.3)


def test_what_takes_too_long_becomes_a_hull_and_says_so(monkeypatch):
    monkeypatch.setattr(parts, "PATIENCE", 0.01)
    (found,) = decomposed([ell()], "parts")
    assert "convex hull" in found.remark and len(found.parts) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
def test_time_is_that_of_the_processor(monkeypatch):
    monkeypatch.setattr(parts, "SECONDS", 0)
    knot = trimesh.creation.torus(0.5, 0.1, 60, 30)
    with pytest.raises(TimeoutError):
        parts._run(knot.vertices, knot.faces, "off")
    monkeypatch.setattr(parts, "_run", lambda *_: (_ for _ in ()).throw(TimeoutError))
    assert parts._tried(knot.vertices, knot.faces) is None


def test_what_crashes_is_tried_again_and_then_becomes_a_hull(monkeypatch):
    tried = []
    monkeypatch.setattr(parts, "_run", lambda vertices, faces, mode: tried.append(mode))
    (found,) = decomposed([ell()], "parts")
    assert tried == ["off", "on"] and "convex hull" in found.remark


def test_parts_that_leave_some_of_the_surface_out_are_not_taken(monkeypatch):
    whole = np.array(list(np.ndindex(2, 2, 2))) - 0.5
    half = whole * (1.0, 0.5, 1.0)
    made = {"off": [half], "on": [half + (0, 0.25, 0), half - (0, 0.25, 0)]}
    monkeypatch.setattr(parts, "_run", lambda vertices, faces, mode: made[mode])
    assert parts._tried(whole, np.array([[0, 1, 2]])) is made["on"]


def test_a_worker_that_dies_is_none(monkeypatch):
    monkeypatch.setattr(parts, "SETTINGS", {"threshold": "wide"})
    assert parts._run(np.zeros((3, 3)), np.array([[0, 1, 2]]), "off") is None


def test_a_damaged_file_of_the_cache_is_made_again(monkeypatch):
    monkeypatch.setattr(parts, "_run", lambda vertices, *_: [vertices])
    decomposed([ell()], "parts")
    (file,) = parts.cache_folder().iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:50])
    decomposed([ell()], "parts")
    assert file.read_bytes() == whole


def test_without_the_extra_the_line_to_install_it_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "coacd", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'maquette\[sim\]'.*hull or box"):
        decomposed([ell()], "parts")


def with_feet(block):
    feet = [np.array([[x, -0.5, 0], [x, -0.52, 0]]) for x in (-0.4, 0.4)]
    return Decomposition(tuple(convex_part(p, 1e-3) for p in [block.vertices, *feet]))


def test_what_a_document_tells_of_parts_are_the_parts_where_the_mesh_is_the_same():
    block = trimesh.creation.box((1, 1, 1))
    shape = with_feet(block)
    assert min(part.volume for part in shape.parts) < 1e-5
    centred = block.copy().apply_translation((0.0, 0.01, 0.0))
    known = json.loads(json.dumps(parts.told(centred, block, shape)))
    again = parts.retold(centred, known)
    for before, after in zip(shape.parts, again.parts, strict=True):
        moved = bounding_box(before.vertices) + (0.0, 0.01, 0.0)
        assert np.allclose(bounding_box(after.vertices), moved, atol=2e-3)
    for other in (block, centred.subdivide()):
        assert parts.retold(other, known) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"corners": []},
        {"corners": [[[0.0, 0.0]]]},
        {"corners": [["x"]]},
        {"corners": [[[0.0, 0.0, math.nan]] * 4]},
        {"corners": 3},
        {"box": [1]},
        {"box": None},
    ],
)
def test_a_document_that_tells_no_parts_tells_none(damage):
    block = trimesh.creation.box((1, 1, 1))
    known = parts.told(block, block, with_feet(block)) | damage
    assert parts.retold(block, known) is None
    assert parts.retold(block, None) is None and parts.retold(block, []) is None
