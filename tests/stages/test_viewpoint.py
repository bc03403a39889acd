import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.geometry.boxes import pixel_box
from maquette.geometry.cameras import intrinsics_from_fov, pitch_of, project, view_centric_rotation
from maquette.geometry.transforms import rotation_y, similarity, transform_points
from maquette.models.conditioning import letterbox
from maquette.render.silhouette import instance_silhouettes
from maquette.stages.perceive import Perception
from maquette.stages.viewpoint import (
    extremes,
    fit_camera,
    normalising,
    place_alone,
    placed,
    scene_frame,
)
from maquette.types import Camera, Instance, InstanceMask, SceneInput

BOXES = {
    1: ((0.5, 0.3, 0.2), (-0.2, -0.1, 0.1)),
    2: ((0.15, 0.5, 0.15), (0.3, 0.0, -0.2)),
    3: ((0.2, 0.2, 0.3), (0.05, -0.15, 0.35)),
}


def camera(pitch=0.4, fov=0.7, distance=2.2, width=160, height=120):
    rotation = view_centric_rotation(pitch)
    pose = similarity(1.0, rotation, rotation @ np.array([0.05, 0.02, -distance]))
    return Camera(intrinsics_from_fov(fov, width, height), pose, width, height)


def scene():
    """Three boxes in the scene frame, and the masks that a camera sees."""
    meshes = {
        label: trimesh.creation.box(extents, similarity(1.0, None, np.array(centre)))
        for label, (extents, centre) in BOXES.items()
    }
    frame = normalising([np.asarray(m.vertices) for m in meshes.values()], np.eye(3))
    for mesh in meshes.values():
        mesh.apply_transform(frame)
    return meshes, masks_of(meshes, camera())


def masks_of(meshes, view):
    seen = instance_silhouettes(
        [Instance(label, mesh, np.eye(4), 0) for label, mesh in meshes.items()], view
    )
    return [InstanceMask(label, seen == label) for label in meshes]


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_turned_scene_comes_back_to_its_picture(turn):
    meshes, masks = scene()
    made_from_scene = similarity(1.7, rotation_y(turn * np.pi / 2), np.array([0.3, -0.2, 0.5]))
    made = {label: mesh.copy().apply_transform(made_from_scene) for label, mesh in meshes.items()}
    frame, found = scene_frame(made, masks, camera(pitch=0.45, fov=0.75))
    assert np.allclose(frame @ made_from_scene, np.eye(4), atol=1e-6)
    for mesh in meshes.values():
        truth, _ = project(camera(), np.asarray(mesh.vertices))
        assert (
            np.abs(project(found, np.asarray(mesh.vertices))[0] - truth).max() < 4.0
        )  # pixels of 160


def test_the_camera_is_upright_looks_along_minus_z_and_stays_near_the_start():
    meshes, masks = scene()
    found = fit_camera(
        {label: np.asarray(mesh.vertices) for label, mesh in meshes.items()},
        masks,
        camera(pitch=0.5),
    )
    assert abs(found.world_from_camera[0, 2]) < 1e-12 and np.allclose(
        np.linalg.det(found.world_from_camera[:3, :3]), 1
    )
    assert 0.3 < pitch_of(found) < 0.6


def perception(view, masks, depth, image=None):
    image = np.zeros((view.height, view.width, 3), np.uint8) if image is None else image
    labels = sum(m.label * m.mask for m in masks).astype(np.int32)
    picture = letterbox(image, labels, 64)
    return Perception(
        SceneInput(image, tuple(masks)),
        view,
        picture,
        np.full((64, 64), depth, np.float32),
        np.zeros((64, 64, 3), np.float32),
        labels,
    )


@pytest.mark.parametrize("turn", [0, 1])
def test_a_single_object_covers_its_mask_at_its_depth(turn):
    meshes, masks = scene()
    view = camera()
    mask = masks[0]
    depth = float(project(view, np.asarray(meshes[1].vertices))[1].min())
    made = (
        meshes[1]
        .copy()
        .apply_transform(similarity(0.4, rotation_y(turn * np.pi / 2), np.array([5.0, 1.0, 0.0])))
    )
    frame = place_alone(made, mask, perception(view, masks, depth))
    pixel, found = project(view, transform_points(frame, np.asarray(made.vertices)))
    alone = np.array(pixel_box(masks_of({1: meshes[1]}, view)[0].mask))
    assert np.abs(np.concatenate([pixel.min(0), pixel.max(0)]) - alone).max() < 8.0
    assert found.min() == pytest.approx(depth, rel=0.15)


def test_placing_keeps_every_point():
    mesh = trimesh.creation.box((1, 2, 3))
    frame = similarity(0.3, rotation_y(0.7), np.array([1.0, 2.0, 3.0]))
    instance = placed(4, mesh, frame, seed=9, name="x")
    there = transform_points(instance.world_from_instance, np.asarray(instance.mesh.vertices))
    assert (
        np.allclose(there, transform_points(frame, np.asarray(mesh.vertices)), atol=1e-6)
        and instance.seed == 9
    )


def test_extremes_keep_the_box():
    points = np.random.default_rng(0).normal(size=(4000, 3))
    kept = extremes(points)
    assert len(kept) < 100 and np.abs(kept.max(0) - points.max(0)).max() < 0.6


def test_meshes_without_masks_are_an_error():
    with pytest.raises(InputError, match="has a mask"):
        scene_frame(
            {7: trimesh.creation.box((1, 1, 1))}, [InstanceMask(1, np.ones((4, 4), bool))], camera()
        )
