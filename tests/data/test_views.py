import dataclasses

import numpy as np
import pytest

from maquette.data.backgrounds import random_ground, tiling_noise
from maquette.data.catalogue import Catalogue
from maquette.data.compose import compose
from maquette.data.illumination import around, develop, stacked_shadow_maps
from maquette.data.layout import placed_asset
from maquette.data.rooms import compose_room
from maquette.data.scenes import ComposedScene, placed_vertices
from maquette.data.views import (
    NEAREST_CENTRE,
    UNIT_CORNERS,
    View,
    ViewConfig,
    fit_position,
    sample_camera,
    sample_view,
    sample_views,
)
from maquette.errors import InputError
from maquette.geometry.cameras import azimuth_of, lift, look_at, pitch_of, pixel_rays, project
from maquette.geometry.transforms import transform_points
from tests.data.toys import Toys

SMALL = ViewConfig(size=64, unmasked=0.0)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.of(Toys.many())


@pytest.fixture(scope="module")
def views(catalogue: Catalogue) -> tuple[View, ...]:
    rng = np.random.default_rng(20)
    return tuple(
        v for _ in range(6) for v in sample_views(compose(catalogue, rng), catalogue, rng, 2, SMALL)
    )


def scene_vertices(view: View, catalogue: Catalogue, index: int) -> np.ndarray:
    return transform_points(
        view.scene_from_world, placed_vertices(catalogue, view.placements[index]).astype(np.float64)
    )


def test_the_scene_frame_is_centred_and_its_longest_side_is_one(
    views: tuple[View, ...], catalogue: Catalogue
) -> None:
    for view in views:
        points = np.concatenate(
            [scene_vertices(view, catalogue, k) for k in range(len(view.placements))]
        )
        assert np.allclose(points.min(0) + points.max(0), 0.0, atol=1e-6)
        assert np.ptp(points, axis=0).max() == pytest.approx(1.0, abs=1e-6)
        assert (
            azimuth_of(view.camera) == pytest.approx(0.0, abs=1e-9) and pitch_of(view.camera) > 0.0
        )
        rotation = view.camera.world_from_camera[:3, :3]
        assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)


def test_lifted_depth_lies_on_the_objects_and_on_the_ground(
    views: tuple[View, ...], catalogue: Catalogue
) -> None:
    for view in views:
        points = lift(view.camera, np.where(np.isfinite(view.depth), view.depth, 0.0))
        for index in range(len(view.placements)):
            box = scene_vertices(view, catalogue, index)
            own = points[view.instance == index + 1]
            assert len(own) >= 12
            assert (own > box.min(0) - 2e-4).all() and (own < box.max(0) + 2e-4).all()
        behind = points[
            (view.instance == 0) & np.isfinite(view.depth) & (view.normal[..., 1] > 0.999)
        ]
        assert not len(behind) or abs(np.median(behind[:, 1]) - view.ground_height) < 0.02


def test_normals_are_unit_and_face_the_camera(views: tuple[View, ...]) -> None:
    for view in views:
        seen = np.isfinite(view.depth)
        rays = pixel_rays(view.camera) @ view.camera.world_from_camera[:3, :3].T
        assert np.allclose(np.linalg.norm(view.normal[seen], axis=1), 1.0, atol=1e-3)
        assert (np.einsum("nc,nc->n", view.normal[seen], rays[seen]) < 1e-3).all()
        assert (view.normal[~seen] == 0.0).all()


def test_every_label_is_there_and_visible_enough(views: tuple[View, ...]) -> None:
    for view in views:
        counts = np.bincount(view.instance.ravel(), minlength=len(view.placements) + 1)
        assert len(counts) == len(view.placements) + 1 and counts[1:].min() >= SMALL.least_pixels
        assert (
            view.image.shape == (64, 64, 3)
            and view.image.dtype == np.uint8
            and view.image.std() > 2.0
        )


def test_a_hidden_object_is_dropped_and_the_frame_is_that_of_the_rest(catalogue: Catalogue) -> None:
    cover = placed_asset(catalogue, 1, 3.0, 0.0, (0.0, 0.0, 0.0))
    hidden = placed_asset(catalogue, 2, 0.2, 0.0, (0.0, 1.0, 0.0))  # inside of the box
    view = sample_view(
        ComposedScene((hidden, cover), "test"), catalogue, np.random.default_rng(21), SMALL
    )
    assert [p.asset for p in view.placements] == [1] and set(np.unique(view.instance)) <= {0, 1}
    assert np.ptp(scene_vertices(view, catalogue, 0)[:, 1]) == pytest.approx(1.0)


def test_a_view_that_shows_nothing_is_refused(catalogue: Catalogue) -> None:
    speck = ComposedScene((placed_asset(catalogue, 2, 1.0, 0.0, (0.0, 0.0, 0.0)),), "test")
    with pytest.raises(InputError, match="larger view size"):
        sample_view(
            speck,
            catalogue,
            np.random.default_rng(0),
            dataclasses.replace(SMALL, least_pixels=64 * 64 + 1),
        )


def test_views_depend_on_the_generator_only(catalogue: Catalogue) -> None:
    scene = compose_room(catalogue, np.random.default_rng(22))
    first, second, other = (
        sample_view(scene, catalogue, np.random.default_rng(s), SMALL) for s in (5, 5, 6)
    )
    for field in ("image", "depth", "normal", "instance", "scene_from_world"):
        assert np.array_equal(getattr(first, field), getattr(second, field))
    assert not np.array_equal(first.image, other.image)


def test_the_fitted_camera_spans_what_was_asked_for() -> None:
    rng = np.random.default_rng(23)
    for _ in range(50):
        points = rng.uniform(-1.0, 1.0, (40, 3)) * rng.uniform(0.2, 2.0, 3) + (3.0, 1.0, -2.0)
        away = np.array([rng.normal(), rng.uniform(0.1, 1.5), rng.normal()])
        rotation = look_at(away, np.zeros(3))[:3, :3]
        offset = rng.uniform(-0.3, 0.3, 2)
        local = (points - fit_position(points, rotation, 0.4, offset)) @ rotation
        tangents = local[:, :2] / local[:, 2:] - offset
        assert (local[:, 2] > 0).all() and np.abs(tangents).max() == pytest.approx(0.4, rel=1e-6)
        low = tangents.min(0)
        high = tangents.max(0)
        assert np.ptp(tangents, axis=0).max() == pytest.approx(
            0.8, rel=1e-6
        )  # one side touches on both ends
        assert (
            np.abs(low + high) < 0.5 * (0.8 - (high - low)) + 1e-6
        ).all()  # the other one is about in the middle


def test_cameras_look_from_everywhere_within_their_ranges() -> None:
    config = dataclasses.replace(SMALL, elevation=(10.0, 50.0), field_of_view=(30.0, 60.0), cut=0.0)
    rng = np.random.default_rng(24)
    corners = UNIT_CORNERS + (0.0, 0.5, 0.0)
    cameras = [sample_camera(corners, rng, config) for _ in range(300)]
    pitches = np.degrees([pitch_of(c) for c in cameras])
    fields = np.degrees([2.0 * np.arctan(0.5 * c.height / c.intrinsics[0, 0]) for c in cameras])
    assert pitches.min() >= 9.99 and pitches.max() <= 50.01 and np.ptp(pitches) > 30.0
    assert fields.min() >= 29.99 and fields.max() <= 60.01
    assert np.histogram([azimuth_of(c) for c in cameras], 6, (-np.pi, np.pi))[0].min() > 25
    pixels = np.stack([project(c, corners)[0] for c in cameras])
    assert pixels.min() > -1.0 and pixels.max() < 65.0  # without cuts the scene stays in the frame
    spans = np.ptp(pixels, axis=1).max(1) / 64
    assert spans.min() > 0.4 and spans.max() < 0.99
    middles = 0.5 * (pixels.min(1) + pixels.max(1)) - 32.0
    assert 0.25 < (np.abs(middles).max(1) < 2.0).mean() < 0.75  # about half of them are centred


def test_a_wall_seen_from_behind_is_left_out(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(25)
    for _ in range(6):
        scene = compose_room(catalogue, rng)
        for view in sample_views(scene, catalogue, rng, 2, SMALL):
            assert (view.instance > 0).mean() > 0.01  # never hidden behind a wall altogether


def test_shadow_maps_measure_distance_along_the_light_in_texels() -> None:
    quad = np.array(
        [
            [-1, 0.5, -1],
            [1, 0.5, -1],
            [1, 0.5, 1],
            [-1, 0.5, 1],
            [-1, -0.5, -1],
            [1, -0.5, 1],
            [1, -0.5, -1],
        ],
        np.float32,
    )
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6]], np.int32)
    maps = stacked_shadow_maps(quad, faces, np.array([[0.0, 1.0, 0.0], [0.3, 1.0, 0.2]]), 64)
    for depth, affine in zip(maps.depth, maps.texels_from_world.astype(np.float64)):
        column, row, level = affine[:, :3] @ (0.1, 0.5, 0.1) + affine[:, 3]
        assert depth[round(row), round(column)] == pytest.approx(level, abs=0.2)
        assert depth[0, 0] > 1e8
        assert np.allclose(np.linalg.norm(affine[:, :3], axis=1), np.linalg.norm(affine[0, :3]))


def test_an_area_light_is_spread_about_its_axis() -> None:
    axis = np.array([0.2, 1.0, -0.4]) / np.linalg.norm([0.2, 1.0, -0.4])
    directions = around(axis, 0.3, 64)
    angles = np.arccos(directions @ axis)
    assert np.allclose(np.linalg.norm(directions, axis=1), 1.0) and 0.25 < angles.max() < 0.3001
    assert (
        np.degrees(np.arccos(directions.mean(0) @ axis / np.linalg.norm(directions.mean(0)))) < 1.0
    )


def test_shadows_darken_the_ground_and_light_is_monotone(catalogue: Catalogue) -> None:
    ramp = np.linspace(0.0, 3.0, 200, dtype=np.float32)[:, None, None].repeat(3, axis=2)
    picture = develop(ramp, 0.3, 0.6).astype(int)
    assert (np.diff(picture[:, 0, 0]) >= 0).all() and picture.min() == 0 and picture.max() > 240


def test_textures_repeat_without_a_seam() -> None:
    rng = np.random.default_rng(26)
    for cells in ((2, 2), (4, 4), (32, 2)):
        noise = tiling_noise(rng, cells, 3)
        across = np.abs(np.diff(np.concatenate([noise, noise], axis=1), axis=1)).mean(0)
        assert (
            across[255] < 2.5 * np.median(across) + 1e-6
        )  # the step over the seam is like any other
    ground = random_ground(rng, 1.0)
    assert ground.texture.shape == (256, 256, 3) and np.allclose(ground.axes @ ground.normal, 0.0)


def test_a_close_up_is_fitted_to_what_is_in_focus(catalogue: Catalogue) -> None:
    table = placed_asset(catalogue, 0, 3.0, 0.0, (0.0, 0.0, 0.0))
    top = 3.0 * float(catalogue.extents[0, 1])
    balls = [placed_asset(catalogue, 2, 0.3, 0.0, (x, top, 0.0)) for x in (-0.2, 0.2)]
    config = dataclasses.replace(SMALL, cut=0.0, off_centre=0.0, unmasked_support=1.0)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        view = sample_view(
            ComposedScene((table, *balls), "test", focus=(1, 2)), catalogue, rng, config
        )
        assert {p.asset for p in view.placements} == {2}  # the table is background
        assert (view.instance > 0).mean() > 0.05


def test_the_centre_of_a_scene_is_in_front_of_a_close_up(catalogue: Catalogue) -> None:
    table = placed_asset(catalogue, 0, 6.0, 0.0, (0.0, 0.0, 0.0))
    top = 6.0 * float(catalogue.extents[0, 1])
    ball = placed_asset(catalogue, 2, 0.3, 0.0, (2.5, top, 0.0))
    scene = ComposedScene((table, ball), "test", focus=(1,))
    config = dataclasses.replace(SMALL, unmasked_support=0.0)
    depths = []
    for seed in range(8):
        view = sample_view(scene, catalogue, np.random.default_rng(seed), config)
        depths.append(project(view.camera, np.zeros(3))[1])
    assert min(depths) > NEAREST_CENTRE
