import numpy as np
import pytest
import trimesh

from maquette.data.assets import weld
from maquette.data.procedural import FAMILIES, is_held_out, procedural_asset
from maquette.data.procedural.meshing import asset_from_solid
from maquette.data.procedural.shapes import (
    ball,
    box,
    capsule,
    cylinder,
    lathe,
    painted,
    polygon_distance,
    prism,
    smooth_union,
    subtracted,
    torus,
    transformed,
    union,
    with_mirror_image,
)
from maquette.errors import InputError
from maquette.geometry.transforms import rotation_y

POINTS = np.random.default_rng(0).uniform(-1.2, 1.2, (4000, 3)).astype(np.float32)
SQUARE = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
EXACT = {
    "box": box(0.9, 0.6, 0.4, x=0.1),
    "rounded box": box(0.9, 0.6, 0.4, rounding=0.1),
    "capsule": capsule((-0.4, 0, 0), (0.3, 0.5, 0.2), 0.2),
    "torus": torus(0.5, 0.15),
    "cylinder": cylinder(0.4, 0.9),
    "prism": prism(SQUARE, 0.5),
    "lathe": lathe([(0, 0), (0.5, 0), (0.3, 0.6), (0, 0.6)]),
    "moved": transformed(box(0.9, 0.6, 0.4), x=0.2, y=0.1, rotation=rotation_y(0.7), scale=1.3),
    "mirrored": with_mirror_image(capsule((0.3, 0, 0), (0.5, 0.5, 0.2), 0.15)),
}


@pytest.mark.compiles
@pytest.mark.parametrize("name", EXACT)
def test_distances_have_slope_one_outside(name):
    """An exact distance field loses exactly what one walks towards the surface."""
    shape = EXACT[name]
    distance = shape.distance(POINTS)
    away = distance > 0.05
    step = 1e-2
    gradient = np.stack(
        [
            (shape.distance(POINTS + d) - shape.distance(POINTS - d)) / (2 * step)
            for d in step * np.eye(3, dtype=np.float32)
        ],
        1,
    )
    slope = np.linalg.norm(gradient[away], axis=1)
    assert np.median(np.abs(slope - 1)) < 2e-3
    assert slope.max() < 1.01
    walked = POINTS - gradient * distance[:, None] / np.maximum(
        np.linalg.norm(gradient, axis=1, keepdims=True), 1e-6
    )
    assert np.median(np.abs(shape.distance(walked.astype(np.float32)[away]))) < 5e-3


@pytest.mark.parametrize("name", EXACT)
def test_boxes_contain_their_shapes(name):
    shape = EXACT[name]
    inside = POINTS[shape.distance(POINTS) <= 0]
    assert len(inside)
    assert (inside >= shape.box[0] - 1e-5).all() and (inside <= shape.box[1] + 1e-5).all()


def test_a_square_prism_is_a_box():
    assert np.allclose(
        prism(SQUARE, 0.5).distance(POINTS), box(1.0, 1.0, 0.5).distance(POINTS), atol=1e-5
    )


def test_the_sides_of_a_lathe_that_lie_on_the_axis_are_no_surface():
    radius = np.hypot(POINTS[:, 0], POINTS[:, 2])
    height = np.abs(POINTS[:, 1])
    q = np.stack([radius - 0.4, height - 0.45], axis=1)
    exact = np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(1), 0)
    assert np.allclose(cylinder(0.4, 0.9).distance(POINTS), exact, atol=1e-5)


def test_polygon_distance_of_a_concave_polygon_has_the_sign_of_membership():
    ell = np.array([(0, 0), (1, 0), (1, 0.3), (0.3, 0.3), (0.3, 1), (0, 1)], float)
    p = np.random.default_rng(1).uniform(-0.5, 1.5, (2000, 2)).astype(np.float32)
    inside = ((p > 0) & (p < 1)).all(1) & ((p[:, 0] < 0.3) | (p[:, 1] < 0.3))
    assert ((polygon_distance(p, ell) < 0) == inside).all()


def test_unions_skip_far_parts_without_changing_the_result():
    parts = [
        transformed(ball(0.2), at=centre)
        for centre in np.random.default_rng(2).uniform(-0.8, 0.8, (6, 3))
    ]
    every = np.array([part.distance(POINTS) for part in parts])
    assert np.allclose(union(*parts).distance(POINTS), every.min(0))
    blended = smooth_union(0.1, *parts).distance(POINTS)
    assert (blended <= every.min(0) + 1e-6).all() and (blended >= every.min(0) - 0.1).all()
    assert np.allclose(
        subtracted(parts[0], parts[1]).distance(POINTS), np.maximum(every[0], -every[1])
    )


def test_a_meshed_solid_has_the_right_size_volume_and_paint():
    shape = union(
        painted(box(2.0, 1.0, 1.0), paint=(200, 0, 0)),
        painted(box(0.5, 2.0, 0.5, y=1.0), paint=(0, 0, 200)),
    )
    asset = asset_from_solid(shape, "tee", resolution=64)
    vertices, faces = weld(asset.vertices, asset.faces)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert mesh.is_watertight
    assert np.ptp(asset.vertices, axis=0) == pytest.approx([0.8, 1.0, 0.4], abs=0.03)
    assert mesh.volume == pytest.approx((2.0 + 1.5 * 0.25) / 2.5**3, rel=0.05)
    red = asset.colors[:, 0] == 200
    assert (asset.vertices[~red, 1] > -0.15).all() and (asset.vertices[red, 1] < -0.05).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_makes_watertight_normalised_assets(family):
    asset = procedural_asset(np.random.default_rng(7), family)
    low = asset.vertices.min(0)
    high = asset.vertices.max(0)
    assert np.abs(low + high).max() < 1e-5 and (high - low).max() == pytest.approx(1.0, abs=1e-5)
    assert (
        asset.colors.dtype == np.uint8
        and asset.faces.dtype == np.int32
        and asset.vertices.dtype == np.float32
    )
    vertices, faces = weld(asset.vertices, asset.faces)
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    assert mesh.is_watertight and mesh.volume > 0
    assert asset.name.startswith(f"{family}-")


def test_the_same_seed_gives_the_same_asset_and_another_seed_another():
    first, again, other = (
        procedural_asset(np.random.default_rng(seed), "lamp") for seed in (3, 3, 4)
    )
    assert (
        first.name == again.name
        and (first.vertices == again.vertices).all()
        and (first.colors == again.colors).all()
    )
    assert other.name != first.name and other.vertices.shape != first.vertices.shape


def test_held_out_families_are_never_drawn_by_chance():
    held_out = [family for family in FAMILIES if is_held_out(family)]
    assert 3 <= len(held_out) < len(FAMILIES) / 2
    drawn = {
        procedural_asset(np.random.default_rng(seed), face_budget=500).name.split("-")[0]
        for seed in range(4)
    }
    assert not drawn & set(held_out) and len(drawn) > 1
    with pytest.raises(InputError, match="choose one of"):
        is_held_out("dragon")
