import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.evaluate.physics import margin_in_hull, scene_physics
from maquette.geometry.transforms import rotation_y, similarity
from tests.evaluate.scenes import moved


def box(sides, at):
    return trimesh.creation.box(sides).apply_translation(at)


def table():
    """One metre square, 0.8 high: a plate on four legs."""
    legs = [box((0.06, 0.75, 0.06), (x, 0.375, z)) for x in (-0.45, 0.45) for z in (-0.45, 0.45)]
    return trimesh.util.concatenate([box((1.0, 0.05, 1.0), (0, 0.775, 0)), *legs])


def measured(meshes, **options):
    return {row.name: row for row in scene_physics(meshes, **options).objects}


def test_a_table_with_things_on_and_under_it_stands():
    rows = measured(
        {
            "table": table(),
            "mug": box((0.1, 0.1, 0.1), (0.3, 0.85, 0.2)),
            "bin": box((0.3, 0.4, 0.3), (0, 0.2, 0)),
        }
    )
    assert {name: row.supporters for name, row in rows.items()} == {
        "table": ("ground",),
        "mug": ("table",),
        "bin": ("ground",),
    }
    assert all(row.stable and row.gap == 0 and row.penetration == 0 for row in rows.values())
    assert rows["table"].margin == pytest.approx(0.48, abs=0.02)
    assert rows["mug"].margin == pytest.approx(0.05, abs=0.005)


def test_what_lies_below_is_not_held_by_what_lies_on_it():
    rows = measured(
        {"low": box((1, 0.5, 1), (0, 0.25, 0)), "high": box((0.5, 0.5, 0.5), (0, 0.748, 0))}
    )  # 2 mm into each other
    assert rows["low"].supporters == ("ground",) and rows["high"].supporters == ("low",)


def test_the_gap_is_the_way_down_to_the_nearest_thing():
    rows = measured(
        {"floor": box((2, 0.2, 2), (0, 0.1, 0)), "lamp": box((0.2, 0.2, 0.2), (0.1, 0.65, 0.1))}
    )
    assert (
        rows["lamp"].gap == pytest.approx(0.35)
        and rows["lamp"].supporters == ()
        and rows["lamp"].margin is None
    )
    scene = scene_physics(
        {"floor": box((2, 0.2, 2), (0, 0.1, 0)), "lamp": box((0.2, 0.2, 0.2), (0.1, 0.65, 0.1))}
    )
    assert (scene.floating, scene.stable, scene.gap) == (0.5, 0.5, pytest.approx(0.175))
    beside = measured(
        {"floor": box((1, 0.2, 1), (0, 0.1, 0)), "lamp": box((0.2, 0.2, 0.2), (0.8, 0.65, 0.1))}
    )
    assert beside["lamp"].gap == pytest.approx(0.55)  # next to the block it falls to the ground


def test_an_overhanging_box_tips_when_its_middle_is_over_the_edge():
    block = box((1, 0.5, 1), (0, 0.25, 0))
    for shift, stable in ((0.4, True), (0.6, False)):
        row = measured({"block": block, "plank": box((1, 0.1, 0.2), (shift, 0.55, 0))})["plank"]
        assert row.stable is stable and row.margin == pytest.approx(
            0.5 - shift, abs=0.02
        )  # 0.1 to the nearest edge, in or out


def test_penetration_is_the_shared_volume_and_sunk_objects_touch():
    rows = measured({"low": box((1, 1, 1), (0, 0.5, 0)), "high": box((0.5, 0.5, 0.5), (0, 1.0, 0))})
    assert rows["high"].penetration == pytest.approx(0.5 * 0.5 * 0.25, rel=0.02)
    assert rows["high"].share == pytest.approx(0.5, rel=0.02) and rows[
        "low"
    ].share == pytest.approx(1 / 16, rel=0.02)
    assert rows["high"].gap == 0.0 and rows["high"].supporters == ("low",)
    scene = scene_physics({"a": box((1, 1, 1), (0, 0.3, 0))}, ground=0.0)
    assert scene.penetration == pytest.approx(0.2, rel=0.02) and scene.objects[0].supporters == (
        "ground",
    )
    same = scene_physics({"a": box((1, 1, 1), (0, 0.5, 0)), "b": box((1, 1, 1), (0, 0.5, 0))})
    assert same.penetration == pytest.approx(1.0, rel=1e-6) and same.objects[
        0
    ].share == pytest.approx(1.0)


def test_measures_follow_units_and_do_not_depend_on_where_the_scene_is():
    scene = {
        "table": table(),
        "mug": box((0.1, 0.1, 0.1), (0.42, 0.83, 0.2)),
        "lamp": box((0.2, 0.3, 0.2), (1, 0.5, 0)),
    }
    plain = scene_physics(scene)
    other = scene_physics(
        {
            name: moved(mesh, similarity(100.0, rotation_y(np.pi / 2), [3, 4, 5]))
            for name, mesh in scene.items()
        }
    )
    for a, b in zip(plain.objects, other.objects):
        assert (a.name, a.supporters, a.stable) == (b.name, b.supporters, b.stable)
        assert b.gap == pytest.approx(100 * a.gap, rel=1e-6) and b.penetration == pytest.approx(
            1e6 * a.penetration, rel=0.05, abs=1.0
        )


def test_inside_out_and_subdivided_meshes_are_the_same_things():
    plain = {"table": table(), "mug": box((0.1, 0.1, 0.1), (0.3, 0.85, 0.2))}
    flipped = {
        name: trimesh.Trimesh(mesh.vertices, mesh.faces[:, ::-1], process=False)
        for name, mesh in plain.items()
    }
    finer = {name: mesh.subdivide() for name, mesh in plain.items()}
    for other in (flipped, finer):
        for a, b in zip(scene_physics(plain).objects, scene_physics(other).objects):
            assert (a.supporters, a.stable, a.gap) == (
                b.supporters,
                b.stable,
                b.gap,
            ) and a.margin == pytest.approx(b.margin, abs=1e-6)


def test_sheets_and_empty_meshes():
    carpet = trimesh.Trimesh(
        [[0, 0.001, 0], [1, 0.001, 0], [1, 0.001, 1], [0, 0.001, 1]],
        [[0, 1, 2], [0, 2, 3]],
        process=False,
    )
    rows = measured(
        {"carpet": carpet, "box": box((1, 1, 1), (3, 0.5, 0)), "nothing": trimesh.Trimesh()}
    )
    assert set(rows) == {"carpet", "box"} and rows["carpet"].stable and rows["carpet"].share == 0.0
    with pytest.raises(InputError, match="none of 1 objects"):
        scene_physics({"nothing": trimesh.Trimesh()})


def test_margin_is_the_distance_to_the_rim():
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    assert margin_in_hull(np.array([0.5, 0.3]), square) == pytest.approx(0.3)
    assert margin_in_hull(np.array([2.0, 2.0]), square) == pytest.approx(-np.sqrt(2))
    assert margin_in_hull(np.array([0.5, 0.0]), square[:2]) < 0
