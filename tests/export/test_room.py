"""The room of a depth map whose planes are known."""

import dataclasses

import numpy as np
import pytest

from maquette.errors import InputError
from maquette.export import export_scene
from maquette.export.room import with_room
from maquette.geometry.cameras import lift, resized
from maquette.render.assemble import assemble
from maquette.render.rasterize import rasterize
from maquette.render.silhouette import instance_silhouettes
from maquette.types import GivenGeometry, InstanceMask, SceneInput
from tests.simulation.scenes import GROUND, standing

PLANES = {"floor": ((0.0, 1.0, 0.0), GROUND), "wall": ((0.0, 0.0, 1.0), -1.0)}
METRES = 3.0  # in a scene unit


def photographed(planes=PLANES):
    """The boxes of ``standing`` before planes, with the depth map of all of it in metres."""
    scene = standing()
    camera = resized(scene.camera, 160, 120)
    scene = dataclasses.replace(scene, camera=camera)
    mesh = assemble(scene.instances)
    depth = rasterize(mesh.vertices, mesh.faces, camera).depth.astype(np.float64)
    labels = instance_silhouettes(scene)
    ways = lift(camera, np.ones(labels.shape)) - camera.position
    behind = np.full(labels.shape, np.inf)
    for normal, offset in planes.values():
        with np.errstate(divide="ignore"):
            far = (offset - camera.position @ normal) / (ways @ np.array(normal))
        behind = np.where(far > 0, np.minimum(behind, far), behind)
    depth = np.where(labels > 0, depth, behind)
    photo = np.full((*labels.shape, 3), 200, np.uint8)
    photo[labels > 0] = (255, 0, 0)
    masks = tuple(InstanceMask(int(k), labels == k) for k in np.unique(labels[labels > 0]))
    depth[~np.isfinite(depth)] = np.nan
    known = GivenGeometry(depth=(METRES * depth).astype(np.float32), metric=True)
    return dataclasses.replace(scene, input=SceneInput(photo, masks, geometry=known))


def test_planes_are_where_they_are_and_show_no_object():
    scene = photographed()
    made = with_room(scene)
    added = {instance.node_name: instance for instance in made.instances[len(scene.instances) :]}
    assert set(added) == {"floor", "wall"}
    for name, (normal, offset) in PLANES.items():
        instance = added[name]
        assert instance.confidence > 0.9 and instance.name == name
        assert np.allclose(instance.box @ np.array(normal), offset, atol=0.02)
        picture = np.asarray(instance.mesh.visual.material.image.convert("RGB"))
        assert np.abs(picture.astype(int) - 200).max() < 40  # the red of the objects is filled in
    assert made.instances[: len(scene.instances)] == scene.instances
    assert np.allclose(made["wall"].box[0, 1], made["floor"].box[0, 1], atol=0.02)


def test_surfaces_face_the_camera():
    scene = photographed()
    made = with_room(scene)
    for name in PLANES:
        outward = made[name].mesh.face_normals[0]
        assert outward @ (scene.camera.position - made[name].box.mean(0)) > 0


def test_what_the_depth_does_not_show_is_not_made(tmp_path):
    alone = photographed({"floor": PLANES["floor"]})
    assert [i.node_name for i in with_room(alone).instances][len(alone.instances) :] == ["floor"]
    assert export_scene(alone, tmp_path / "room.json", room=True).exists()
    with pytest.raises(InputError, match="needs a depth map"):
        with_room(standing())
