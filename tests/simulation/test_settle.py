"""Rest: what floats comes down, what overlaps comes apart, what leans is straightened, and what
stands stays.
"""

import dataclasses

import numpy as np
import pytest
import trimesh

from maquette.document.scene_json import load, save
from maquette.errors import InputError, MissingExtraError
from maquette.geometry.cameras import moved
from maquette.geometry.transforms import rotation_x, similarity
from maquette.options import SimulationOptions
from maquette.render.silhouette import instance_silhouettes
from maquette.simulation.bodies import known_solids, solids_of
from maquette.simulation.settle import settle, tilt_of
from maquette.types import GROUND, InstanceMask, SceneInput
from tests.simulation.scenes import GROUND as FLOOR
from tests.simulation.scenes import box, standing

pytest.importorskip("mujoco")
HULLS = SimulationOptions(collision="hull")


def rows_of(scene, **options):
    found = settle(scene, dataclasses.replace(HULLS, **options))
    return found.scene, {row.label: row for row in found.objects}


def test_what_stands_stays():
    scene, rows = rows_of(standing())
    for label, row in rows.items():
        assert row.rests and row.remark == "" and row.agreement_before is None
        assert row.displacement < 1e-3 and row.tilt < 0.1
        assert np.allclose(scene[label].box, standing()[label].box, atol=1e-3)
    assert [told["label"] for told in scene.provenance["settled"]] == [1, 2, 4]


def test_what_floats_is_brought_into_contact_and_what_is_sunk_has_its_place():
    lifted = standing().move(4, (0.0, 0.05, 0.0)).move(2, (0.0, -0.02, 0.0)).stand(1, on=GROUND)
    supports = {**lifted.supports, 4: lifted.support(1)}
    scene, rows = rows_of(dataclasses.replace(lifted, supports=supports))
    assert rows[2].penetration_before > 0.015
    for label, under in ((4, FLOOR), (2, scene[1].box[1, 1] - 0.02)):
        assert scene[label].box[0, 1] == pytest.approx(under, abs=2e-3)
        assert rows[label].rests and rows[label].penetration_after < 1e-3


def test_contact_is_made_along_the_ray():
    scene = standing().move(4, (0.0, 0.02, 0.0))
    eye = scene.camera.position
    settled, _ = rows_of(scene.stand(1, on=GROUND), static="1")
    before = scene[4].box.mean(0) - eye
    after = settled[4].box.mean(0) - eye
    assert np.linalg.norm(np.cross(before, after)) < 2e-3 * np.linalg.norm(before) ** 2
    assert np.linalg.norm(after) > np.linalg.norm(before)


def test_what_overlaps_is_moved_apart():
    scene = standing().move(4, (0.1, 0.0, 0.2))
    _, rows = rows_of(scene)
    assert rows[4].penetration_before > 0.02
    assert max(row.penetration_after for row in rows.values()) < 1e-3
    assert all(row.rests and row.tilt < 1 for row in rows.values())


def ragged(height):
    """A block on one foot beside its middle: it falls over."""
    block = trimesh.creation.box((0.2, 0.3, 0.2))
    foot = trimesh.creation.box((0.06, height, 0.06))
    foot.apply_translation((0.05, -0.15 - height / 2, 0.0))
    instance = box(1, (1, 1, 1), np.eye(4), "statue")
    mesh = trimesh.util.concatenate([block, foot])
    mesh.apply_translation(-mesh.bounds.mean(0))
    rise = FLOOR + np.ptp(mesh.bounds[:, 1]) / 2
    place = similarity(1.0, None, np.array([0.0, rise, 0.0]))
    return dataclasses.replace(instance, mesh=mesh, world_from_instance=place)


@pytest.mark.parametrize("height", [0.02, 0.25])
def test_what_a_ragged_underside_would_let_fall_stands(height):
    scene = dataclasses.replace(standing(), instances=(ragged(height),))
    settled, rows = rows_of(scene)
    assert rows[1].rests and rows[1].tilt < 2
    seen = [np.asarray(one.mesh.vertices) for one in (scene[1], settled[1])]
    changed = np.abs(np.subtract(*seen)).max(0)  # feet are what collides
    assert changed[1] < min(height, 0.021) and np.allclose(changed[[0, 2]], 0, atol=1e-6)
    assert np.allclose(settled[1].mesh.bounds.mean(0), 0)
    _, more = rows_of(settled)
    assert more[1].remark == "" and more[1].rests


def test_what_cannot_stand_is_held_and_named(monkeypatch):
    monkeypatch.setattr("maquette.simulation.arrange.footed", lambda given, *how: given)
    scene = dataclasses.replace(standing(), instances=(ragged(0.25),))
    settled, rows = rows_of(scene)
    assert not rows[1].rests and "held" in rows[1].remark
    assert np.allclose(settled[1].box, scene[1].box, atol=1e-3)


def test_what_hangs_stays_where_it_is():
    scene = standing().move(4, (0.0, 0.6, 0.0))
    settled, rows = rows_of(scene)
    assert not rows[4].rests and "hangs" in rows[4].remark
    assert np.allclose(settled[4].world_from_instance, scene[4].world_from_instance)


def test_hidden_and_static_objects_do_not_move():
    scene = standing().move(4, (0.0, 0.01, 0.0)).hide(2)
    settled, rows = rows_of(scene, static=[4])
    assert set(rows) == {1, 4}
    assert np.array_equal(settled[2].world_from_instance, scene[2].world_from_instance)


def test_the_size_of_the_scene_does_not_matter():
    def larger(scene, factor):
        grown = tuple(
            dataclasses.replace(i, world_from_instance=similarity(factor) @ i.world_from_instance)
            for i in scene.instances
        )
        camera = moved(scene.camera, similarity(factor))
        ground = factor * scene.ground_height
        return dataclasses.replace(scene, instances=grown, ground_height=ground, camera=camera)

    scene = standing().move(4, (0.0, 0.005, 0.0))
    small, _ = rows_of(scene)
    large, _ = rows_of(larger(scene, 8.0))
    for one, other in zip(small.instances, large.instances):
        assert np.allclose(8 * one.box, other.box, atol=0.01)


def test_tilt_is_the_angle_of_the_upright():
    assert tilt_of(rotation_x(0.3)) == pytest.approx(0.3)
    assert tilt_of(np.eye(3)) == 0


def test_an_empty_scene_or_a_missing_library_is_said(monkeypatch):
    with pytest.raises(InputError, match="no visible object"):
        settle(standing().hide(1).hide(2).hide(4))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'maquette\[sim\]'"):
        settle(standing(), HULLS)


def test_a_settled_scene_is_exported_with_the_parts_with_which_it_was_settled(tmp_path):
    """Also from its document, and not the scene that it was made of, whose mesh is the same."""
    scene = dataclasses.replace(standing(), instances=(ragged(0.25),))
    settled, _ = rows_of(scene)
    save(settled, tmp_path / "scene.json")
    moved = settled.move(1, (0.1, 0.0, 0.0))
    told = []
    for one in (settled, load(tmp_path / "scene.json"), moved):
        (solid,) = known_solids(one, "parts")
        told.append(solid.shape.parts)
    assert len(told[0]) > 1  # its feet
    for parts in told[1:]:
        for first, second in zip(told[0], parts, strict=True):
            assert np.allclose(first.vertices, second.vertices, atol=1e-5)
    assert len(known_solids(settled, "hull")[0].shape.parts) == 1
    assert "settled" not in scene.provenance


@pytest.mark.parametrize("row", [3, [], [3], [{}], [{"label": [1], "parts": {}}], {"label": 1}])
def test_a_document_that_tells_nonsense_of_settling_tells_no_parts(row):
    strange = dataclasses.replace(standing(), provenance={"settled": row})
    with pytest.MonkeyPatch.context() as patch:
        made = solids_of([i.mesh for i in standing().instances], "hull")
        patch.setattr("maquette.simulation.bodies.solids_of", lambda meshes, _: made)
        assert known_solids(strange, "parts") == made


def test_what_would_leave_its_place_in_the_photo_is_held_there():
    """Two blocks that run into each other in a photo that shows them so."""
    scene = standing().move(4, (0.1, 0.0, 0.2)).delete(2)
    camera = scene.camera
    seen = instance_silhouettes(scene)
    masks = tuple(InstanceMask(i.label, seen == i.label) for i in scene.instances)
    photo = SceneInput(np.zeros((camera.height, camera.width, 3), np.uint8), masks)
    settled, rows = rows_of(dataclasses.replace(scene, input=photo))
    losses = [row.agreement_before - row.agreement_after for row in rows.values()]
    assert np.mean(losses) <= 0.021
    assert all(row.agreement_before > 0.95 for row in rows.values())
    assert any("leave its place" in row.remark and not row.rests for row in rows.values())
    assert settled.instances


def test_what_is_nearly_flat_settles_and_what_is_too_large_is_said():
    flat = standing().transform(4, standing()[4].world_from_instance @ np.diag([1, 1e-6, 1, 1.0]))
    _, rows = rows_of(flat)
    assert set(rows) == {1, 2, 4}
    with pytest.raises(InputError, match="bring back what is far away"):
        settle(standing().move(4, (1e6, 0.0, 0.0)), HULLS)
