"""The discrete half of the soft rasteriser: covered pixels are those of the hard one, and every
pair's edge lies where it is said to.
"""

import numpy as np
import pytest
import trimesh

from maquette.geometry.cameras import intrinsics_from_fov, look_at, project
from maquette.methods.comboverse.outlines import find_outlines
from maquette.render.rasterize import checked_mesh, rasterize
from maquette.types import Camera

WIDTH = 56
HEIGHT = 40
CAMERA = Camera(
    intrinsics_from_fov(0.8, WIDTH, HEIGHT),
    look_at(np.array([0.4, 0.8, 1.8]), np.zeros(3)),
    WIDTH,
    HEIGHT,
)


def soup(seed=0, count=50):
    rng = np.random.default_rng(seed)
    vertices = (
        rng.uniform(-0.7, 0.7, (count, 1, 3)) + rng.uniform(-0.3, 0.3, (count, 3, 3))
    ).reshape(-1, 3)
    return *checked_mesh(vertices, np.arange(3 * count).reshape(-1, 3)), (
        np.arange(count) % 3
    ).astype(np.int32)


def places(outlines, vertices):
    """x and y where the line through each edge meets the line through its pair's centres, and the
    pair's first centre.
    """
    pixels, _ = project(CAMERA, vertices)
    a = pixels[outlines.edge[:, 0]]
    b = pixels[outlines.edge[:, 1]]
    first = outlines.pixels[:, 0]
    centre = np.stack([first % WIDTH, first // WIDTH % HEIGHT], 1) + 0.5
    across = 1 - outlines.axis[:, None]
    share = (np.take_along_axis(centre - a, across, 1)) / np.take_along_axis(b - a, across, 1)
    return a + share * (b - a), centre, share[:, 0]


@pytest.mark.compiles
def test_each_layer_sees_what_the_hard_rasteriser_sees_of_it_alone():
    vertices, faces, layer = soup()
    outlines = find_outlines(vertices, faces, CAMERA, layer, 3)
    for number in range(3):
        chosen = np.flatnonzero(layer == number)
        hard = rasterize(vertices, faces[chosen], CAMERA).face
        np.testing.assert_array_equal(outlines.face[number], np.append(chosen, -1)[hard])


def test_every_border_of_a_silhouette_is_a_pair_whose_edge_crosses_between_its_centres():
    vertices, faces, layer = soup(1)
    outlines = find_outlines(vertices, faces, CAMERA, layer, 3)
    covered = outlines.face.reshape(-1) >= 0
    borders = covered[outlines.pixels[:, 0]] != covered[outlines.pixels[:, 1]]
    shape = outlines.face >= 0
    expected = np.count_nonzero(shape[:, 1:] != shape[:, :-1]) + np.count_nonzero(
        shape[:, :, 1:] != shape[:, :, :-1]
    )
    assert borders.sum() == expected > 200 and (~borders).sum() > 50
    np.testing.assert_array_equal(
        outlines.pixels[:, 1] - outlines.pixels[:, 0], np.where(outlines.axis == 0, 1, WIDTH)
    )
    place, centre, share = places(outlines, vertices)
    offset = np.take_along_axis(place - centre, outlines.axis[:, None], 1)[:, 0]
    assert offset.min() > -1e-5 and offset.max() < 1 + 1e-5
    assert (
        share.min() > -1e-5 and share.max() < 1 + 1e-5
    )  # on the edge itself, not on its continuation


def test_the_outline_runs_through_the_crossings():
    """The same scene at 33 times the resolution: covered right before the crossing, empty right
    behind it.
    """
    mesh = trimesh.creation.torus(
        0.4, 0.15, major_sections=64, minor_sections=48
    )  # faces smaller than pixels along the outline
    vertices, faces = checked_mesh(mesh.vertices, mesh.faces)
    outlines = find_outlines(vertices, faces, CAMERA, np.zeros(len(faces), np.int32), 1)
    fold = 33  # odd, so that centres are sampled
    fine = Camera(
        np.diag([fold, fold, 1.0]) @ CAMERA.intrinsics,
        CAMERA.world_from_camera,
        fold * WIDTH,
        fold * HEIGHT,
    )
    hard = rasterize(vertices, faces, fine).face >= 0
    place, _, _ = places(outlines, vertices)
    covered = outlines.face.reshape(-1)[outlines.pixels] >= 0
    borders = np.flatnonzero(covered[:, 0] != covered[:, 1])
    assert len(borders) > 120
    for (x, y), axis, first in zip(place[borders], outlines.axis[borders], covered[borders, 0]):
        for distance, expected in ((0.06, not first), (-0.06, first)):
            column, row = np.array([x, y]) + np.eye(2)[axis] * distance
            assert hard[int(row * fold), int(column * fold)] == expected


def test_connected_faces_make_no_pair_and_split_ones_do():
    box = trimesh.creation.box((0.5, 0.5, 0.5))
    layer = np.zeros(12, np.int32)

    def inside(mesh):
        outlines = find_outlines(*checked_mesh(mesh.vertices, mesh.faces), CAMERA, layer, 1)
        return np.count_nonzero((outlines.face.reshape(-1)[outlines.pixels] >= 0).all(1))

    assert inside(box) == 0
    box.unmerge_vertices()
    assert inside(box) > 20


def test_faces_that_reach_behind_the_camera_are_left_out_and_nothing_gives_nothing():
    vertices, faces, layer = soup(2)
    forward = CAMERA.world_from_camera[:3, 2]
    vertices[faces[::2, 0]] -= (5.0 * forward).astype(np.float32)
    outlines = find_outlines(vertices, faces, CAMERA, layer, 3)
    half = find_outlines(vertices, faces[1::2].copy(), CAMERA, layer[1::2].copy(), 3)
    np.testing.assert_array_equal(outlines.face >= 0, half.face >= 0)
    np.testing.assert_array_equal(outlines.edge, half.edge)
    nothing = find_outlines(vertices, faces[:0], CAMERA, layer[:0], 1)
    assert (nothing.face == -1).all() and len(nothing.edge) == len(nothing.pixels) == 0
