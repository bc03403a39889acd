"""Textures are drawn where they belong, in perspective, and beside meshes that have none."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh.visual.material import PBRMaterial, SimpleMaterial
from trimesh.visual.texture import TextureVisuals

from maquette.geometry.cameras import intrinsics_from_fov, look_at, project
from maquette.render.assemble import assemble
from maquette.render.preview import render_scene
from maquette.render.rasterize import rasterize
from maquette.render.texture import textured_albedo
from maquette.types import Camera, Instance, Scene
from tests.render.unlit import unlit

CORNERS = np.array([[-0.5, -0.5, 0.0], [0.5, -0.5, 0.0], [0.5, 0.5, 0.0], [-0.5, 0.5, 0.0]])
FACES = np.array([[0, 1, 2], [0, 2, 3]])


def ramp():
    """A texture whose red is u and whose green is v."""
    v, u = np.mgrid[255:-1:-1, 0:256]
    return Image.fromarray(np.stack([u, v, 0 * u], axis=-1).astype(np.uint8))


def sheet(material):
    visual = TextureVisuals(uv=CORNERS[:, :2] + 0.5, material=material)
    return trimesh.Trimesh(CORNERS, FACES, visual=visual, process=False)


def slanted_camera():
    pose = look_at(np.array([0.6, 0.3, 0.9]), np.zeros(3))
    return Camera(intrinsics_from_fov(1.0, 200, 160), pose, 200, 160)


@pytest.mark.compiles
def test_every_pixel_shows_its_place_of_the_texture_in_perspective():
    camera = slanted_camera()
    scene = Scene((Instance(3, sheet(SimpleMaterial(image=ramp())), np.eye(4), 0),), camera)
    picture, labels = unlit(scene)
    uv = np.random.default_rng(0).uniform(0.1, 0.9, (200, 2))
    points = np.column_stack([uv - 0.5, np.zeros(200)])
    x, y = project(camera, points)[0].astype(int).T
    assert (labels[y, x] == 3).all()
    np.testing.assert_allclose(picture[y, x, :2], 255 * uv, atol=4)
    assert (picture[labels == 0] == 0).all()


def test_places_that_are_no_numbers_or_outside_of_the_texture_end_nothing():
    camera = slanted_camera()
    mesh = assemble([Instance(3, sheet(SimpleMaterial(image=ramp())), np.eye(4), 0)])
    odd = np.array([[np.nan, 0.5], [np.inf, -np.inf], [1e30, 2.0], [-1e30, -3.0]], np.float32)
    buffers = rasterize(mesh.vertices, mesh.faces, camera, face_instance=mesh.face_instance)
    albedo = textured_albedo(buffers, replace(mesh, uv=odd), camera)
    assert albedo.min() >= 0 and albedo.max() <= 1 and (buffers.instance == 0).any()


def test_gltf_materials_and_vertex_colours_stand_side_by_side():
    plain = trimesh.creation.box((0.2, 0.2, 0.2))
    plain.visual.vertex_colors = [10, 20, 250, 255]
    instances = (
        Instance(1, sheet(PBRMaterial(baseColorTexture=ramp())), np.eye(4), 0),
        Instance(2, plain, np.eye(4), 0),
    )
    scene = Scene(instances, slanted_camera())
    picture, labels = unlit(scene)
    np.testing.assert_array_equal(np.unique(picture[labels == 2], axis=0), [[10, 20, 250]])
    assert picture[labels == 1][:, 2].max() == 0 and picture[labels == 1].std() > 40
    lit = render_scene(scene)
    assert lit[labels == 1][:, 0].std() > 30  # previews show it, too
