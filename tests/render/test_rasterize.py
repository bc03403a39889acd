import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.geometry.cameras import intrinsics_from_fov, lift, look_at, project
from maquette.render.rasterize import rasterize
from maquette.types import Camera


def camera_at(position, width=48, height=40, fov=0.9, target=(0.0, 0.0, 0.0)):
    return Camera(
        intrinsics_from_fov(fov, width, height),
        look_at(np.array(position), np.array(target)),
        width,
        height,
    )


def ray_cast(vertices, faces, camera):
    """Independent implementation: Moller-Trumbore per pixel and triangle, in world space."""
    origin = camera.position
    direction = (
        lift(camera, np.ones((camera.height, camera.width))) - origin
    )  # so that the ray parameter is the z-depth
    nearest = np.full((camera.height, camera.width), np.inf)
    hit = np.full((camera.height, camera.width), -1)
    weights = np.zeros((camera.height, camera.width, 3))
    for f, (a, b, c) in enumerate(vertices[faces].astype(np.float64)):
        normal = np.cross(direction, c - a)
        determinant = normal @ (b - a)
        with np.errstate(divide="ignore", invalid="ignore"):
            u = (normal @ (origin - a)) / determinant
            q = np.cross(origin - a, b - a)
            v = (direction @ q) / determinant
            t = ((c - a) @ q) / determinant
        inside = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-3) & (t < nearest)
        nearest[inside] = t[inside]
        hit[inside] = f
        weights[inside] = np.stack([1 - u - v, u, v], -1)[inside]
    return nearest, hit, weights


def soup(seed, count=60):
    rng = np.random.default_rng(seed)
    vertices = (
        (rng.uniform(-1, 1, (count, 1, 3)) + rng.uniform(-0.5, 0.5, (count, 3, 3)))
        .reshape(-1, 3)
        .astype(np.float32)
    )
    return (
        vertices,
        np.arange(3 * count).reshape(-1, 3),
        rng.integers(0, 256, (3 * count, 3)).astype(np.uint8),
    )


@pytest.mark.parametrize(
    "position",
    [(0.5, 1.5, 3.0), (0.1, 0.2, 0.3)],
    ids=["outside", "inside, crossing the near plane"],
)
def test_agrees_with_ray_casting(position):
    vertices, faces, colors = soup(0)
    camera = camera_at(position)
    instance = np.arange(len(faces)) // 7
    buffers = rasterize(vertices, faces, camera, vertex_colors=colors, face_instance=instance)
    depth, hit, weights = ray_cast(vertices, faces, camera)
    assert (hit >= 0).mean() > 0.2
    same = buffers.face == hit
    assert same.mean() > 0.998  # rounding may decide differently exactly on an edge
    seen = same & (hit >= 0)
    np.testing.assert_allclose(buffers.depth[seen], depth[seen], rtol=1e-5)
    np.testing.assert_array_equal(buffers.instance[seen], instance[hit[seen]])
    expected = np.einsum("nk,nkc->nc", weights[seen], colors[faces[hit[seen]]] / 255.0)
    np.testing.assert_allclose(buffers.albedo[seen], expected, atol=1e-4)
    assert np.isinf(buffers.depth[buffers.face < 0]).all()


def test_lifted_depth_lies_on_the_sphere_and_normals_point_outwards():
    sphere = trimesh.creation.icosphere(subdivisions=5, radius=0.4)
    camera = camera_at((0.8, 1.0, 1.5), 64, 64)
    buffers = rasterize(sphere.vertices, sphere.faces, camera, vertex_normals=sphere.vertex_normals)
    seen = buffers.face >= 0
    points = lift(camera, np.where(seen, buffers.depth, 0.0))[seen]
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 0.4, atol=1e-3)
    np.testing.assert_allclose(buffers.normal[seen], points / 0.4, atol=5e-3)


def test_normals_face_the_camera_whatever_the_winding():
    box = trimesh.creation.box((0.5, 0.5, 0.5))
    camera = camera_at((1.0, 1.2, 1.4))
    for faces in (box.faces, box.faces[:, ::-1]):
        buffers = rasterize(box.vertices, faces, camera, vertex_normals=box.vertex_normals)
        seen = buffers.face >= 0
        outward = box.face_normals[buffers.face[seen]]
        np.testing.assert_allclose(
            buffers.normal[seen], outward, atol=1e-6
        )  # 90 degree creases stay sharp


def test_a_finely_tessellated_plane_has_no_cracks_and_covers_each_pixel_that_its_outline_covers():
    n = 23
    x, y = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n))
    jitter = np.random.default_rng(1).uniform(-0.03, 0.03, (n, n, 2))
    jitter[[0, -1]] = jitter[:, [0, -1]] = 0
    vertices = np.stack([x + jitter[..., 0], y + jitter[..., 1], 0 * x], -1).reshape(-1, 3)
    i = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    faces = np.concatenate([np.stack([i, i + 1, i + n], 1), np.stack([i + 1, i + n + 1, i + n], 1)])
    camera = camera_at((0.3, 0.4, 2.5), 200, 200)
    fine = rasterize(vertices, faces, camera).face >= 0
    corners = np.array([0, n - 1, n * n - 1, n * n - n])
    coarse = rasterize(vertices[corners], np.array([[0, 1, 2], [0, 2, 3]]), camera).face >= 0
    assert coarse.sum() > 10000
    np.testing.assert_array_equal(fine, coarse)


def test_a_small_box_appears_where_project_says():
    camera = camera_at((0.5, 0.5, 4.0), 300, 200)
    for centre in np.random.default_rng(0).uniform(-1, 1, (5, 3)):
        box = trimesh.creation.box((0.1, 0.1, 0.1))
        pixels, _ = project(camera, box.vertices + centre)
        rows, columns = np.nonzero(rasterize(box.vertices + centre, box.faces, camera).face >= 0)
        np.testing.assert_allclose([columns.min(), rows.min()], pixels.min(0), atol=1.0)
        np.testing.assert_allclose([columns.max() + 1, rows.max() + 1], pixels.max(0), atol=1.0)


def test_what_is_behind_the_camera_is_not_drawn_and_an_empty_mesh_is_empty():
    vertices, faces, _ = soup(0)
    assert (
        rasterize(vertices + [0.0, 0.0, 10.0], faces, camera_at((0.0, 0.0, 3.0))).face == -1
    ).all()
    assert (
        rasterize(np.zeros((0, 3)), np.zeros((0, 3), int), camera_at((0.0, 0.0, 3.0))).instance
        == -1
    ).all()


@pytest.mark.parametrize(
    "vertices, faces",
    [
        (np.zeros((3, 2)), [[0, 1, 2]]),
        (np.zeros((3, 3)), [[0, 1, 3]]),
        (np.full((3, 3), np.nan), [[0, 1, 2]]),
    ],
)
def test_unusable_meshes_are_refused(vertices, faces):
    with pytest.raises(InputError):
        rasterize(vertices, np.array(faces), camera_at((0.0, 0.0, 3.0)))
    with pytest.raises(InputError, match="vertex_colors"):
        rasterize(
            np.zeros((3, 3)),
            np.array([[0, 1, 2]]),
            camera_at((0.0, 0.0, 3.0)),
            vertex_colors=np.zeros((2, 3)),
        )
