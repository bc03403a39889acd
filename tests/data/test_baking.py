import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh.visual.material import PBRMaterial
from trimesh.visual.texture import TextureVisuals

from maquette.data.assets import weld
from maquette.data.baking import baked, split_edges


def quad_mesh(image: np.ndarray) -> trimesh.Trimesh:
    """A 2 x 1 rectangle in the x-y plane with a picture over all of it."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    visual = TextureVisuals(
        uv=corners, material=PBRMaterial(baseColorTexture=Image.fromarray(image))
    )
    vertices = np.concatenate([corners * [2, 1], np.zeros((4, 1))], axis=1)
    return trimesh.Trimesh(vertices, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False)


def halves() -> np.ndarray:
    image = np.full((64, 64, 3), (220, 30, 30), np.uint8)
    image[:, 32:] = (20, 60, 200)
    return image


def test_textures_become_vertex_colours_at_the_right_places():
    vertices, faces, colors = baked(quad_mesh(halves()), 4000)
    assert 2 < len(faces) <= 4000
    left = vertices[:, 0] < 0.97
    right = vertices[:, 0] > 1.03
    assert (colors[left] == (220, 30, 30)).all() and (colors[right] == (20, 60, 200)).all()
    assert np.linalg.norm(
        np.cross(*np.moveaxis(np.diff(vertices[faces], axis=1), 1, 0)), axis=1
    ).sum() / 2 == pytest.approx(2.0)


def test_plain_textures_are_not_split():
    assert len(baked(quad_mesh(np.full((64, 64, 3), 90, np.uint8)), 4000)[1]) == 2


def test_splitting_keeps_a_closed_mesh_closed_and_its_volume():
    mesh = trimesh.creation.icosphere(1)
    marked_edges = np.random.default_rng(0).random(len(mesh.edges_unique)) < 0.4
    inverse = mesh.edges_unique_inverse.reshape(-1, 3)  # edges come as (0-1, 1-2, 2-0) per face
    (vertices,), faces = split_edges(
        (np.asarray(mesh.vertices),), np.asarray(mesh.faces), marked_edges[inverse]
    )
    split = trimesh.Trimesh(vertices, faces, process=False)
    assert (
        split.is_watertight
        and split.volume == pytest.approx(mesh.volume)
        and split.area == pytest.approx(mesh.area)
    )
    assert len(vertices) == len(mesh.vertices) + marked_edges.sum()


def test_split_faces_lie_in_their_face_and_look_the_same_way():
    mesh = trimesh.creation.icosphere(0)
    marked = np.ones(mesh.faces.shape, bool)
    (vertices,), faces = split_edges((np.asarray(mesh.vertices),), np.asarray(mesh.faces), marked)
    assert len(faces) == 4 * len(mesh.faces)
    split = trimesh.Trimesh(vertices, faces, process=False)
    cosines = split.face_normals @ mesh.face_normals.T
    np.testing.assert_allclose(cosines.max(1), 1.0)
    np.testing.assert_array_equal(np.bincount(cosines.argmax(1)), 4)


def test_every_attribute_is_the_mean_of_the_ends_of_a_halved_edge():
    corners = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 2.0]])
    heat = np.array([[1.0], [3.0], [8.0]])
    marked = np.array([[True, False, False]])
    (places, heats), faces = split_edges((corners, heat), np.array([[0, 1, 2]]), marked)
    np.testing.assert_array_equal(places[3:], [[2.0, 0.0]])
    np.testing.assert_array_equal(heats[3:], [[2.0]])
    assert sorted(map(sorted, faces.tolist())) == [[0, 2, 3], [1, 2, 3]]


def test_a_closed_textured_mesh_stays_closed_across_its_seams():
    ball = trimesh.creation.icosphere(1)
    ball.unmerge_vertices()  # every corner is its own vertex: a seam at every edge
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 3)).astype(np.uint8)
    uv = np.random.default_rng(1).random((len(ball.vertices), 2))
    material = PBRMaterial(baseColorTexture=Image.fromarray(noise))
    ball.visual = TextureVisuals(uv=uv, material=material)
    vertices, faces, _ = baked(ball, 2000)
    assert len(faces) > len(ball.faces)
    assert trimesh.Trimesh(*weld(vertices, faces), process=False).is_watertight


def test_faces_stay_below_the_limit():
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    counts = [len(baked(quad_mesh(noise), limit)[1]) for limit in (2, 40, 4000)]
    assert counts[0] == 2 < counts[1] <= 40 < counts[2] <= 4000


def test_texels_are_found_from_the_lower_left_and_repeat():
    texels = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3) * 7  # 4 rows, 3 columns
    at = [(0.0, 0.0), (0.99, 0.99), (0.4, 0.3), (2.4, -0.7), (1.0, 1.0)]
    # as a picture shows it: row from the top; 1.0 is the far border of the tile that it ends
    expected = [texels[3, 0], texels[0, 2], texels[2, 1], texels[2, 1], texels[0, 2]]
    material = PBRMaterial(baseColorTexture=Image.fromarray(texels))
    points = np.column_stack([np.arange(5.0), np.arange(5.0) ** 2, np.zeros(5)])
    mesh = trimesh.Trimesh(points, [[0, 1, 2], [2, 3, 4]], process=False)
    mesh.visual = TextureVisuals(uv=np.array(at), material=material)
    np.testing.assert_array_equal(baked(mesh, 2)[2], expected)


def test_colours_of_faces_become_those_of_their_own_corners():
    box = trimesh.creation.box()
    box.visual.face_colors = np.random.default_rng(0).integers(0, 255, (12, 4))
    vertices, faces, colors = baked(box, 100)
    np.testing.assert_array_equal(faces.ravel(), np.arange(36))
    np.testing.assert_array_equal(vertices[faces], box.vertices[box.faces])
    np.testing.assert_array_equal(colors[faces], box.visual.face_colors[:, None, :3].repeat(3, 1))


def test_linear_vertex_colours_are_encoded_by_the_standard():
    box = trimesh.creation.box()
    levels = np.arange(0, 256, 35)
    box.visual.vertex_colors = np.stack([levels] * 3 + [np.full(8, 255)], axis=1)
    light = levels / 255  # IEC 61966-2-1
    curved = 1.055 * light ** (1 / 2.4) - 0.055
    encoded = np.rint(255 * np.where(light <= 0.0031308, 12.92 * light, curved))
    np.testing.assert_array_equal(baked(box, 100, linear_colors=True)[2][:, 0], encoded)
    np.testing.assert_array_equal(baked(box, 100)[2][:, 0], levels)
