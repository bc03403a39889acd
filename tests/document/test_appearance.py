import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh.visual.material import PBRMaterial, SimpleMaterial
from trimesh.visual.texture import TextureVisuals

from maquette.document.appearance import (
    appearance_of,
    bytes_from_linear,
    linear_from_bytes,
    linear_from_srgb,
    mesh_with,
    opaque,
    srgb_from_linear,
    vertex_colors_of,
)


def with_visual(visual):
    return trimesh.Trimesh(
        [[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], visual=visual, process=False
    )


def test_srgb_is_inverted_exactly_for_all_bytes():
    every = np.stack([np.arange(256)] * 4, axis=1).astype(np.uint8)
    np.testing.assert_array_equal(
        bytes_from_linear(linear_from_bytes(every).astype(np.float32)), every
    )
    np.testing.assert_allclose(
        srgb_from_linear(linear_from_srgb(np.linspace(0, 1, 999))),
        np.linspace(0, 1, 999),
        atol=1e-7,
    )
    assert linear_from_srgb(0.5) == pytest.approx(0.2140, abs=1e-4)


def test_texture_is_sampled_where_gltf_and_trimesh_say():
    image = Image.fromarray(
        np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], np.uint8)
    )  # blue is lower left
    mesh = with_visual(
        TextureVisuals(
            uv=[[0.1, 0.1], [0.9, 0.9], [-0.9, 1.9]], material=SimpleMaterial(image=image)
        )
    )
    np.testing.assert_array_equal(
        vertex_colors_of(mesh)[:, :3], [[0, 0, 255], [0, 255, 0], [255, 0, 0]]
    )


def test_materials_without_a_texture_become_colours():
    half = with_visual(TextureVisuals(material=PBRMaterial(baseColorFactor=[128, 0, 255, 255])))
    np.testing.assert_array_equal(
        vertex_colors_of(half)[0], [188, 0, 255, 255]
    )  # half the light is sRGB 188
    plain = with_visual(TextureVisuals(material=SimpleMaterial(diffuse=[10, 20, 30, 255])))
    np.testing.assert_array_equal(vertex_colors_of(plain)[0], [10, 20, 30, 255])
    bare = with_visual(TextureVisuals(material=PBRMaterial()))
    np.testing.assert_array_equal(vertex_colors_of(bare)[0], [255, 255, 255, 255])


def test_factor_is_multiplied_into_the_picture():
    image = Image.fromarray(np.full((2, 2, 3), 255, np.uint8))
    uv = np.zeros((3, 2))
    mesh = with_visual(
        TextureVisuals(
            uv=uv, material=PBRMaterial(baseColorTexture=image, baseColorFactor=[128, 255, 0, 255])
        )
    )
    np.testing.assert_array_equal(np.asarray(appearance_of(mesh).image)[0, 0], [188, 255, 0])


def test_face_colours_become_vertex_colours():
    mesh = trimesh.creation.box()
    mesh.visual.face_colors = np.array([200, 100, 50, 255], np.uint8)
    np.testing.assert_array_equal(vertex_colors_of(mesh), np.tile([200, 100, 50, 255], (8, 1)))


def test_mesh_with_keeps_the_appearance():
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(2, 2, 3))
    mesh = with_visual(
        TextureVisuals(
            uv=np.random.default_rng(0).random((3, 2)), material=PBRMaterial(baseColorTexture=image)
        )
    )
    again = appearance_of(mesh_with(mesh.vertices, mesh.faces, appearance_of(mesh)))
    np.testing.assert_array_equal(again.uv, mesh.visual.uv)
    np.testing.assert_array_equal(np.asarray(again.image), np.asarray(image))


def test_opaque_colours_are_as_they_were_and_hide_everything():
    colours = np.arange(12).reshape(4, 3)
    rgba = opaque(colours)
    assert rgba.dtype == np.uint8 and (rgba[:, 3] == 255).all()
    np.testing.assert_array_equal(rgba[:, :3], colours)
