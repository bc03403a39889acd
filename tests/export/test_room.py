"""The room of a depth map whose planes are known."""

import dataclasses

import numpy as np
import pytest

from maquette.document.scene_json import load
from maquette.errors import InputError
from maquette.export import export_scene
from maquette.export.room import with_room
from maquette.geometry.cameras import lift, resized
from maquette.geometry.transforms import similarity
from maquette.render.assemble import assemble
from maquette.render.rasterize import rasterize
from maquette.render.silhouette import instance_silhouettes
from maquette.simulation.glb_scene import scene_of_glb
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
    added = {surface.node_name: surface for surface in made.around}
    assert set(added) == {"floor", "wall"}
    for name, (normal, offset) in PLANES.items():
        instance = added[name]
        assert instance.confidence > 0.9 and instance.name == name
        assert np.allclose(instance.box @ np.array(normal), offset, atol=0.02)
        picture = np.asarray(instance.mesh.visual.material.image.convert("RGB"))
        assert np.abs(picture.astype(int) - 200).max() < 80  # the red of the objects is filled in
    assert made.instances == scene.instances and with_room(made) is made
    assert len({one.label for one in (*made.instances, *made.around)}) == len(scene.instances) + 2
    assert np.allclose(added["wall"].box[0, 1], added["floor"].box[0, 1], atol=0.02)


def test_surfaces_face_the_camera():
    scene = photographed()
    for surface in with_room(scene).around:
        outward = surface.mesh.face_normals[0]
        assert outward @ (scene.camera.position - surface.box.mean(0)) > 0


def test_what_the_depth_does_not_show_is_not_made(tmp_path):
    alone = photographed({"floor": PLANES["floor"]})
    assert [surface.node_name for surface in with_room(alone).around] == ["floor"]
    elsewhere = dataclasses.replace(
        alone,
        instances=tuple(
            dataclasses.replace(i, world_from_instance=similarity(1.0, None, np.array([0, 0, 9.0])))
            for i in alone.instances
        ),
    )
    assert with_room(elsewhere).around == ()
    with pytest.raises(InputError, match="needs a depth map"):
        with_room(standing())


def surfaces(scene):
    return {surface.node_name: round(surface.confidence, 6) for surface in scene.around}


def test_files_have_it_when_asked_and_documents_keep_it(tmp_path):
    scene = with_room(photographed())
    known = surfaces(scene)
    assert set(known) == {"floor", "wall"}
    assert surfaces(load(scene.export(tmp_path / "scene.json"))) == known
    assert surfaces(scene_of_glb(scene.export(tmp_path / "bare.glb"))) == {}
    read = scene_of_glb(scene.export(tmp_path / "room.glb", room=True))
    assert surfaces(read) == known
    assert [i.label for i in read.instances] == [i.label for i in scene.instances]
    assert b"o wall" in export_scene(scene, tmp_path / "a.obj", room=True).read_bytes()
    assert b"o wall" not in export_scene(scene, tmp_path / "b.obj").read_bytes()
    assert '"name":"wall","confidence":' in scene.export(tmp_path / "a.html").read_text()


def test_it_is_no_object_of_anything(tmp_path):
    scene = with_room(photographed())
    assert b"wall" not in scene.export(tmp_path / "room.xml", collision="box").read_bytes()
    copied = scene.duplicate(1)
    assert len({one.label for one in (*copied.instances, *copied.around)}) == 6
    with pytest.raises(InputError, match="taken"):
        scene.rename(1, "floor")
