import dataclasses

import numpy as np
import pytest
import trimesh

from maquette.errors import InputError
from maquette.geometry.cameras import intrinsics_from_fov, look_at, project
from maquette.geometry.transforms import similarity
from maquette.masks.overlay import instance_color
from maquette.render.preview import (
    CAPTION,
    FILL,
    GAP,
    LEGEND,
    MARGIN,
    comparison,
    orbit_cameras,
    preview,
    render_scene,
    render_views,
)
from maquette.render.silhouette import instance_silhouettes
from maquette.types import (
    Camera,
    Failure,
    Instance,
    InstanceMask,
    Scene,
    SceneInput,
    ShapeEstimate,
)

COLORS = ((210, 60, 50), (50, 90, 200), (60, 160, 80))


def scene_of(count, width=160, height=120, with_input=True):
    instances = []
    for k in range(count):
        mesh = trimesh.creation.icosphere(subdivisions=3, radius=0.5)
        mesh.visual.vertex_colors = [*COLORS[k % 3], 255]
        instances.append(
            Instance(
                k + 1,
                mesh,
                similarity(0.3, None, np.array([(k % 3 - 1) * 0.34, -0.35, (k // 3) * 0.34 - 0.2])),
                seed=0,
            )
        )
    pose = look_at(np.array([0.0, 0.5, 1.8]), np.array([0.0, -0.3, 0.0]))
    camera = Camera(
        intrinsics_from_fov(0.8 if width >= height else 1.2, width, height), pose, width, height
    )
    scene = Scene(
        tuple(instances), camera, provenance={"method": "iscene", "seconds": {"sample": 3.2}}
    )
    if not with_input:
        return scene
    labels = instance_silhouettes(scene)
    masks = tuple(InstanceMask(k + 1, labels == k + 1) for k in range(count))
    return dataclasses.replace(
        scene, input=SceneInput(np.full((height, width, 3), 128, np.uint8), masks)
    )


def tiles_of(sheet, width, height, columns):
    rows = (len(sheet) - MARGIN) // (height + CAPTION + GAP // 2)
    at = [
        (MARGIN + r * (height + CAPTION + GAP // 2), MARGIN + c * (width + GAP))
        for r in range(rows)
        for c in range(columns)
    ]
    return [sheet[y : y + height, x : x + width].astype(int) for y, x in at]


def hued(tile):
    return np.ptp(tile, axis=-1) > 40


@pytest.mark.compiles
def test_a_rendered_scene_shows_coloured_objects_where_their_silhouettes_are_on_a_neutral_studio():
    scene = scene_of(3)
    image = render_scene(scene).astype(int)
    labels = instance_silhouettes(scene)
    assert image.shape == (120, 160, 3)
    assert np.count_nonzero(hued(image) ^ (labels > 0)) < 0.12 * np.count_nonzero(labels)
    for label, channel in ((1, 0), (2, 2), (3, 1)):
        assert image[labels == label].mean(0).argmax() == channel
    assert np.median(image[labels == 0]) > 215
    contact = (labels == 0) & (np.roll(labels, 2, 0) > 0)  # just below the objects
    assert image[contact].mean() < image[labels == 0].mean() - 10
    assert render_scene(scene, size=(80, 60)).shape == (60, 80, 3)


def test_orbiting_cameras_fit_all_points_and_touch_the_margin():
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (400, 3)) * [1.0, 0.4, 0.7]
    cameras = orbit_cameras(points, [0.0, 0.9, np.pi], 160, 120)
    fullest = 0.0
    for camera in cameras:
        pixels, depth = project(camera, points)
        share = 2.0 * np.abs(pixels - [80, 60]) / [160, 120]
        assert depth.min() > 0 and share.max() <= FILL + 1e-6
        fullest = max(fullest, share.max())
    assert fullest == pytest.approx(FILL, abs=1e-6)
    assert (
        cameras[0].world_from_camera[2, 2] < -0.9 < 0.9 < cameras[2].world_from_camera[2, 2]
    )  # in front, then behind


@pytest.mark.parametrize("width, height, count", [(160, 120, 5), (90, 200, 1), (300, 100, 9)])
def test_the_sheet_holds_photo_masks_result_and_three_sides(width, height, count):
    sheet = preview(scene_of(count, width, height), tile_height=96)
    tile_width = round(96 * np.clip(width / height, 0.75, 1.6))
    tiles = tiles_of(sheet, tile_width, 96, 3)
    assert len(tiles) == 6 and sheet.shape[1] == 2 * MARGIN + 3 * tile_width + 2 * GAP
    photo, masks, result, *sides = tiles
    np.testing.assert_array_equal(photo[48, tile_width // 2], 128)
    assert not hued(photo).any()
    assert all(hued(tile).mean() > 0.005 for tile in (result, *sides))
    overlap = np.count_nonzero(hued(masks) & hued(result)) / max(np.count_nonzero(hued(masks)), 1)
    assert overlap > 0.8  # the result lies where the masks are, also on letterboxed tiles
    assert sheet[:MARGIN].min() > 230 and sheet[:, :MARGIN].min() > 220


def test_what_is_around_has_two_tiles_more_and_its_confidence():
    scene = scene_of(2)
    wall = trimesh.creation.box((2.0, 2.0, 0.01))
    wall.visual.vertex_colors = (90, 20, 160, 255)
    behind = similarity(1.0, None, np.array([0.0, 0.0, -1.5]))
    around = (Instance(9, wall, behind, seed=0, confidence=0.8, node="wall"),)
    bare = preview(scene, tile_height=96)
    sheet = preview(dataclasses.replace(scene, around=around), tile_height=96)
    tiles = tiles_of(sheet, 128, 96, 4)
    assert len(tiles) == 8 and sheet.shape[0] == bare.shape[0]
    share = [hued(tile).mean() for tile in tiles]
    assert share[3] > share[2] + 0.2 and share[7] > share[4] + 0.05
    assert (sheet[-60:, -300:] < 200).sum() > (bare[-60:, -300:] < 200).sum()


def test_what_is_expected_of_each_shape_stands_below_the_tiles():
    scene = scene_of(3)
    plain = preview(scene, tile_height=96)
    known = [
        dataclasses.replace(one, estimate=ShapeEstimate(0.5 + 0.1 * k, "it is bulky"))
        for k, one in enumerate(scene.instances)
    ]
    told = preview(dataclasses.replace(scene, instances=tuple(known)), tile_height=96)
    added = len(told) - len(plain)
    assert added == 4 * LEGEND + GAP // 2  # a heading, and a line each
    strip = told[len(plain) - 84 :][:added]
    for one in known:
        assert (strip == instance_color(one.label)).all(-1).sum() > 40  # its dot
    np.testing.assert_array_equal(told[: len(plain) - 84], plain[:-84])


def test_the_sheet_without_input_has_four_tiles_and_an_empty_scene_still_has_a_sheet():
    tiles = tiles_of(preview(scene_of(2, with_input=False), tile_height=96), 128, 96, 2)
    assert len(tiles) == 4 and all(hued(tile).mean() > 0.02 for tile in tiles)
    empty = dataclasses.replace(
        scene_of(1), instances=(), failures=(Failure(1, "lift", "no depth"),)
    )
    assert not hued(tiles_of(preview(empty, tile_height=96), 128, 96, 3)[2]).any()


def test_the_sheet_is_reproducible_and_its_footer_depends_on_the_provenance():
    scene = scene_of(2)
    sheet = preview(scene, tile_height=96)
    np.testing.assert_array_equal(sheet, preview(scene, tile_height=96))
    other = preview(dataclasses.replace(scene, provenance={}), tile_height=96)
    np.testing.assert_array_equal(sheet[:-60], other[:-60])
    assert (sheet[-60:] != other[-60:]).any()


def test_several_views_are_those_of_single_ones():
    scene = scene_of(3)
    turned = orbit_cameras(np.concatenate([i.box for i in scene.instances]), [0.0, 2.0], 64, 48)
    for picture, camera in zip(render_views(scene, turned), turned, strict=True):
        assert np.array_equal(picture, render_scene(scene, camera))


def test_a_comparison_has_a_column_for_each_scene_below_its_photo():
    one = scene_of(1)
    three = scene_of(3)
    sheet = comparison({"few": one, "many": three}, 90)
    tiles = tiles_of(sheet, 120, 90, 3)
    assert len(tiles) == 6
    shown = [np.count_nonzero(hued(tile)) for tile in tiles]
    assert 0 < shown[1] < shown[2] and min(shown[4:]) > 0
    same = tiles_of(comparison({"many": three, "few": one}, 90), 120, 90, 3)
    assert np.array_equal(tiles[2], same[1]) and np.array_equal(tiles[4], same[5])


@pytest.mark.parametrize("scenes", [{}, {"a": scene_of(1, with_input=False)}])
def test_a_comparison_needs_a_photo(scenes):
    with pytest.raises(InputError, match="made from a photo"):
        comparison(scenes)
