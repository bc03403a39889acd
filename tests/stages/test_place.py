"""Placing: a mesh gets an origin of its own and stays where it is."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from maquette.geometry.cameras import moved, project
from maquette.stages.place import UNIT, frame_of_instances, ground_height, instance_in_frame, place
from maquette.types import GROUND, Camera, Support


def world_vertices(instance):
    return trimesh.transform_points(
        np.asarray(instance.mesh.vertices), instance.world_from_instance
    )


def box_at(bottom, size=0.2, label=1):
    mesh = trimesh.creation.box((size,) * 3).apply_translation(
        [0.1 * label, bottom + size / 2, -0.3]
    )
    return place(label, mesh, 0)


def test_placing_moves_nothing_and_centres_the_mesh():
    mesh = trimesh.creation.icosphere(2, 0.2).apply_translation([0.3, -0.2, 0.1])
    mesh.vertices[0] *= 1.5  # no symmetry
    before = np.asarray(mesh.vertices).copy()
    instance = place(3, mesh, 7, name="ball")
    assert np.abs(world_vertices(instance) - before).max() < 1e-7
    assert np.abs(instance.mesh.bounds.mean(0)).max() < 1e-7 and np.array_equal(
        mesh.vertices, before
    )
    assert (instance.label, instance.seed, instance.name) == (3, 7, "ball")


def test_vertices_are_what_a_file_can_hold():
    vertices = np.asarray(box_at(0.123456789).mesh.vertices)
    assert np.array_equal(vertices, vertices.astype(np.float32))


def test_a_scene_in_the_frame_that_it_fills_looks_the_same_and_has_its_longest_side():
    boxes = [box_at(0.1, 0.3, 1), box_at(0.0, 0.1, 4)]
    boxes[0] = replace(boxes[0], state={"coarse": np.zeros(2)})
    pose = np.eye(4)
    pose[:3, :3] = np.diag([1.0, -1.0, -1.0])  # looks along -Z
    pose[2, 3] = 2.0
    camera = Camera(np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]), pose, 640, 480)
    frame = frame_of_instances(boxes)
    placed = [instance_in_frame(box, frame) for box in boxes]
    corners = np.concatenate([box.box for box in placed])
    assert (corners.max(0) - corners.min(0)).max() == pytest.approx(1.0, abs=1e-6)
    assert np.abs(corners.max(0) + corners.min(0)).max() < 1e-6
    for before, after in zip(boxes, placed):
        pixels, _ = project(camera, world_vertices(before))
        again, _ = project(moved(camera, frame), world_vertices(after))
        assert np.abs(pixels - again).max() < 1e-3
        assert np.array_equal(after.world_from_instance[:3, :3], np.eye(3))
    grown = np.ptp(placed[0].mesh.vertices, axis=0) / np.ptp(boxes[0].mesh.vertices, axis=0)
    assert grown == pytest.approx(float(placed[0].state[UNIT]), rel=1e-6)
    assert placed[1].state == {}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_objects_stand_on_the_lowest(count):
    assert ground_height(
        [box_at(0.1 * k - 0.3, label=k) for k in range(1, count + 1)], {}
    ) == pytest.approx(-0.2, abs=1e-6)


def test_one_sunk_object_among_many_does_not_move_the_ground():
    level = [box_at(-0.2, label=k) for k in range(1, 21)]
    assert ground_height([*level, box_at(-0.9, label=21)], {}) == pytest.approx(-0.2, abs=1e-6)


def test_the_ground_follows_the_scene_and_not_the_order():
    bottoms = [-0.2, -0.25, -0.1, 0.0, 0.1]
    low = ground_height([box_at(b, label=k) for k, b in enumerate(bottoms)], {})
    assert ground_height(
        [box_at(b + 0.3, label=k) for k, b in enumerate(bottoms[::-1])], {}
    ) == pytest.approx(low + 0.3, abs=1e-6)
    assert ground_height([], {}) == -0.5


def test_what_stands_on_the_ground_tells_where_it_is_and_what_stands_on_a_table_does_not():
    table, *things = (box_at(b, label=k) for k, b in enumerate([-0.4, *([0.2] * 20)], start=1))
    supports = {1: Support(GROUND, 1.0)} | {one.label: Support(1, 1.0) for one in things}
    low = pytest.approx(-0.4, abs=1e-6)
    assert ground_height([table, *things], supports) == low
    assert ground_height([table, *things], {}) == pytest.approx(0.2, abs=1e-6)
    unknown = {one.label: Support(None, 0.0) for one in (table, *things)}
    assert ground_height([table, *things], unknown) == ground_height([table, *things], {})
