"""Objects made from their own picture: placed over their box at their depth, with the axes of the
scene.
"""

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch
import trimesh

from maquette.geometry.cameras import intrinsics_from_focal, project, view_centric_rotation
from maquette.geometry.transforms import rotation_y, similarity, transform_points
from maquette.methods.base import Sampling
from maquette.methods.comboverse.alone import (
    Alone,
    lighter,
    make_alone,
    mean_depth,
    ray_azimuth,
    starting_place,
)
from maquette.methods.comboverse.complete import complete
from maquette.stages.viewpoint import projected_box
from maquette.types import Camera
from tests.methods.worlds import world
from tests.tiny import smooth_geometry

PITCH = 0.3


def camera():
    rotation = view_centric_rotation(PITCH)
    return Camera(
        intrinsics_from_focal(500.0, 400, 300),
        similarity(1.0, rotation, -rotation @ np.array([0, 0, 2.0])),
        400,
        300,
    )


def block(extents=(0.6, 1.0, 0.4), at=(3.0, -2.0, 1.0)):
    mesh = trimesh.creation.box(extents).subdivide().subdivide()
    mesh.apply_translation(at)
    front = np.asarray(mesh.vertices)[
        np.asarray(mesh.vertices)[:, 2] > at[2] + extents[2] / 2 - 1e-6
    ]
    return Alone(mesh, front)


@pytest.mark.parametrize(
    ("box", "depth"),
    [((100, 80, 160, 200), 2.0), ((10, 20, 60, 90), 1.2), ((250, 150, 399, 250), 3.5)],
)
def test_it_starts_over_the_centre_of_its_box_with_its_longer_side_and_its_depth(box, depth):
    box = np.array(box, float)
    alone = block()
    place = starting_place(alone, box, depth, camera())
    seen = projected_box(camera(), transform_points(place, np.asarray(alone.mesh.vertices)))
    np.testing.assert_allclose(seen[:2] + seen[2:], box[:2] + box[2:], atol=0.1)
    assert (seen[2:] - seen[:2]).max() == pytest.approx((box[2:] - box[:2]).max(), abs=0.1)
    assert mean_depth(camera(), transform_points(place, alone.surface)) == pytest.approx(
        depth, rel=1e-3
    )
    np.testing.assert_allclose(place[:3, :3], place[0, 0] * np.eye(3), atol=1e-12)  # no rotation


def test_an_object_that_the_photo_shows_as_it_is_starts_where_it_is():
    truth = similarity(0.3, None, np.array([-0.2, 0.1, -0.1]))
    alone = block(at=(0, 0, 0))
    points = transform_points(truth, np.asarray(alone.mesh.vertices))
    depth = mean_depth(camera(), transform_points(truth, alone.surface))
    np.testing.assert_allclose(
        starting_place(alone, projected_box(camera(), points), depth, camera()), truth, atol=1e-3
    )


def test_the_azimuth_of_a_ray_turns_it_into_the_plane_of_depth_and_height():
    pixel = np.array([333.0, 40.0])
    ray = camera().world_from_camera[:3, :3] @ np.linalg.solve(
        camera().intrinsics, np.array([*pixel, 1.0])
    )
    turned = rotation_y(ray_azimuth(camera(), pixel)) @ ray
    assert turned[0] == pytest.approx(0, abs=1e-12) and turned[2] < 0
    assert ray_azimuth(camera(), np.array([200.0, 7.0])) == pytest.approx(0)


@cache
def made(yaw=0.0, fit=True):
    w = world()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = smooth_geometry()
    with torch.inference_mode():
        completed = complete(None, w.perception, 2, 0)
        sampling = Sampling(steps=2, zoom_steps=2, seed=5)
        return make_alone(network, w.models, completed, 2, sampling, yaw=yaw, fit=fit)


def test_the_yaw_turns_mesh_and_surface_alike_and_fit_changes_the_shape():
    straight = made()
    turned = made(yaw=0.4)
    raw = made(fit=False)
    back = rotation_y(0.4).T  # rows: R(yaw) x
    np.testing.assert_allclose(
        np.asarray(turned.mesh.vertices) @ back, np.asarray(straight.mesh.vertices), atol=1e-9
    )
    np.testing.assert_allclose(turned.surface @ back, straight.surface, atol=1e-9)
    assert len(raw.mesh.vertices) != len(straight.mesh.vertices) or not np.allclose(
        raw.mesh.vertices, straight.mesh.vertices
    )
    assert (
        np.array_equal(made.__wrapped__().mesh.vertices, straight.mesh.vertices)
        and straight.surface.shape[1] == 3
    )


def test_the_surface_is_what_is_visible_not_what_was_painted():
    w = world()
    with torch.inference_mode():
        completed = complete(None, w.perception, 2, 0)
        torch.manual_seed(0)
        left = dataclasses.replace(
            completed,
            visible=completed.visible & (np.arange(len(completed.mask)) < len(completed.mask) // 2),
        )
        networks = smooth_geometry(), w.models
        sampling = Sampling(steps=1, zoom_steps=1)
        whole, half = (make_alone(*networks, c, 2, sampling) for c in (completed, left))
    assert 0.3 < len(half.surface) / len(whole.surface) < 0.7
    assert len(project(w.perception.camera, whole.surface)[1]) == len(whole.surface)


def test_a_lighter_mesh_keeps_the_shape_and_the_colours():
    mesh = trimesh.creation.icosphere(4)
    mesh.visual.vertex_colors = np.where(
        mesh.vertices[:, :1] > 0, [[250, 0, 0, 255]], [[0, 0, 250, 255]]
    ).astype(np.uint8)
    light = lighter(mesh, 500)
    assert 300 < len(light.faces) <= 520 and lighter(light, 1000) is light
    np.testing.assert_allclose(np.linalg.norm(light.vertices, axis=1), 1, atol=0.05)
    right = light.vertices[:, 0] > 0.1
    assert (light.visual.vertex_colors[right, 0] == 250).all()
