"""Arranging finished meshes after a photo: bookkeeping of the frames, the reference loss, and what
descent brings back.
"""

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.transform import Rotation

from maquette.data.procedural import procedural_asset
from maquette.errors import InputError
from maquette.geometry.cameras import intrinsics_from_fov, look_at, resized
from maquette.geometry.transforms import similarity, transform_points
from maquette.methods.comboverse.arrange import (
    ArrangeOptions,
    Placements,
    Reference,
    arrange,
    parts_from_meshes,
    placed_vertices,
    placements_from,
    reference_loss,
    reference_view,
    transforms,
)
from maquette.methods.comboverse.soft import soft_render
from maquette.render.rasterize import rasterize
from maquette.types import Camera, InstanceMask, SceneInput

EYE = np.array([0.2, 0.6, 1.7])
CAMERA = Camera(intrinsics_from_fov(0.7, 160, 120), look_at(EYE, np.zeros(3)), 160, 120)
CAMERA_FORWARD = torch.from_numpy(CAMERA.world_from_camera[:3, 2]).float()


def painted(mesh, colour, shift=(0.0, 0.0, 0.0)):
    """A copy whose own frame is not centred, in one colour."""
    colours = np.tile([*colour, 255], (len(mesh.vertices), 1)).astype(np.uint8)
    return trimesh.Trimesh(
        mesh.vertices + np.array(shift), mesh.faces, vertex_colors=colours, process=False
    )


BOX = painted(trimesh.creation.box((1.0, 0.6, 0.7)), (220, 60, 40), (2.0, -1.0, 0.5))
BALL = painted(trimesh.creation.icosphere(2, 0.4), (40, 90, 220))


def photo(meshes, places, camera=CAMERA):
    """The hard rasteriser's picture as a SceneInput: an independent target."""
    counts = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    buffers = rasterize(
        np.concatenate([transform_points(p, m.vertices) for m, p in zip(meshes, places)]),
        np.concatenate([m.faces + c for m, c in zip(meshes, counts)]),
        camera,
        vertex_colors=np.concatenate([m.visual.vertex_colors[:, :3] for m in meshes]),
        face_instance=np.repeat(np.arange(len(meshes)), [len(m.faces) for m in meshes]),
    )
    masks = tuple(InstanceMask(k + 1, buffers.instance == k) for k in range(len(meshes)))
    return SceneInput((buffers.albedo * 255).round().astype(np.uint8), masks)


def stands(mesh, scale, position, yaw=0.0):
    """scene_from_mesh that puts the centre of a mesh at a position."""
    turn = Rotation.from_rotvec([0.0, yaw, 0.0]).as_matrix()
    return similarity(scale, turn, np.asarray(position) - scale * turn @ mesh.bounds.mean(0))


def test_places_come_back_and_place_the_vertices():
    rng = np.random.default_rng(0)
    turns = Rotation.from_rotvec(rng.uniform(-1, 1, (2, 3))).as_matrix()
    places = np.stack(
        [similarity(s, r, t) for s, r, t in zip((0.3, 2.0), turns, rng.uniform(-1, 1, (2, 3)))]
    )
    parts = parts_from_meshes([BOX, BALL])
    placements = placements_from(parts, places)
    np.testing.assert_allclose(transforms(parts, placements), places, atol=1e-6)
    expected = np.concatenate(
        [transform_points(p, m.vertices) for m, p in zip((BOX, BALL), places)]
    )
    np.testing.assert_allclose(placed_vertices(parts, placements).numpy(), expected, atol=1e-5)
    torch.testing.assert_close(parts.colours[0], torch.tensor([220.0, 60, 40]) / 255)


def test_gradients_of_placements_are_finite_and_right_without_any_rotation():
    parts = parts_from_meshes([BOX])
    rotation = torch.zeros(1, 3, requires_grad=True)
    point = placed_vertices(parts, Placements(torch.zeros(1), rotation, torch.zeros(1, 3)))[0]
    slopes = torch.stack(
        [torch.autograd.grad(point[axis], rotation, retain_graph=True)[0][0] for axis in range(3)]
    )
    expected = np.stack(
        [np.cross(axis, parts.vertices[0].numpy()) for axis in np.eye(3)], axis=1
    )  # d (w x v) / dw
    np.testing.assert_allclose(slopes.numpy(), expected, atol=1e-6)


def test_the_reference_keeps_areas_and_colours():
    given = photo([BOX, BALL], [stands(BOX, 0.4, (-0.2, 0, 0)), stands(BALL, 0.4, (0.2, 0, 0.1))])
    reference = reference_view(given, [2, 1], CAMERA, 64)
    assert (
        reference.colour.shape == (48, 64, 3)
        and reference.camera.width == 64
        and reference.camera.height == 48
    )
    areas = [mask.mask.mean() for mask in given.masks]
    np.testing.assert_allclose(reference.alpha.mean((1, 2)), areas[::-1], rtol=1e-4)
    total = given.image[given.masks[0].mask | given.masks[1].mask].sum(0) / 255 / (120 * 160)
    np.testing.assert_allclose(reference.colour.mean((0, 1)), total, rtol=1e-4)
    with pytest.raises(InputError, match=r"\[3\]"):
        reference_view(given, [1, 3], CAMERA)


@pytest.mark.parametrize("blur", [0.1, 1.0, 4.0])
def test_the_loss_is_zero_at_the_truth_at_every_blur_and_a_weighted_mean_elsewhere(blur):
    parts = parts_from_meshes([BOX])
    camera = resized(CAMERA, 40, 30)
    vertices = placed_vertices(parts, placements_from(parts, stands(BOX, 0.5, (0, 0, 0))[None]))

    def drawn(sharpness):
        return soft_render(
            vertices,
            parts.faces,
            parts.colours,
            camera,
            sharpness=sharpness,
            face_instance=parts.face_instance,
        )

    sharp = drawn(np.inf)
    assert (
        reference_loss(drawn(1 / blur), Reference(camera, sharp.colour, sharp.instance_alpha), blur)
        < 1e-2
    )
    darker = Reference(camera, sharp.colour - 0.1, sharp.instance_alpha + 0.02)
    assert float(reference_loss(drawn(1 / blur), darker, blur, (1000.0, 500.0))) == pytest.approx(
        100 + 10, rel=1e-3
    )


def test_displaced_objects_come_back():
    """Procedural assets, target drawn by the hard rasteriser. Size and depth are one in a single
    view, so depth keeps still here.
    """
    rng = np.random.default_rng(1)
    assets = [procedural_asset(rng, family, face_budget=250) for family in ("chair", "car")]
    meshes = [
        trimesh.Trimesh(a.vertices, a.faces, vertex_colors=a.colors, process=False) for a in assets
    ]
    goal = [
        stands(meshes[0], 0.45, (-0.25, 0, 0), 0.2),
        stands(meshes[1], 0.5, (0.2, -0.1, 0.1), -0.4),
    ]
    right, down = CAMERA.world_from_camera[:3, :2].T
    start = [
        stands(meshes[0], 0.36, [-0.25, 0, 0] + 0.12 * right - 0.06 * down, 0.2),
        stands(meshes[1], 0.6, [0.2, -0.1, 0.1] - 0.05 * right, -0.1),
    ]
    parts = parts_from_meshes(meshes)
    options = ArrangeOptions(iterations=80, rate=0.01, moves=("place", "scale", "yaw"))
    reference = reference_view(photo(meshes, goal), [1, 2], CAMERA, 48)
    found = arrange(parts, placements_from(parts, np.stack(start)), reference, options)
    truth = placements_from(parts, np.stack(goal))
    error = (placed_vertices(parts, found.placements) - placed_vertices(parts, truth)).norm(dim=1)
    assert found.last < 0.25 * found.first
    for number in range(2):
        assert (
            error[parts.owner == number].mean() < 0.02
        )  # started at 0.14 and 0.09; a pixel is 0.025 wide


def test_a_wrong_order_in_depth_is_turned_round():
    """The ball stands behind the box; it starts before it, where its own picture is the same."""
    goal = [stands(BOX, 0.4, (0, 0, 0.2)), stands(BALL, 0.6, (0.2, 0.15, -0.2))]
    nearer = similarity(0.78, None, 0.22 * EYE)  # towards the eye and smaller
    parts = parts_from_meshes([BOX, BALL])
    start = placements_from(parts, np.stack([goal[0], nearer @ goal[1]]))
    reference = reference_view(photo([BOX, BALL], goal), [1, 2], CAMERA, 48)
    found = arrange(parts, start, reference, ArrangeOptions(iterations=60))
    depths = [
        np.linalg.norm(p.translation.numpy() - EYE, axis=1) for p in (start, found.placements)
    ]
    assert depths[0][1] < depths[0][0] and depths[1][1] > depths[1][0]
    assert found.last < 0.75 * found.first


def arranged(scale=1.0, **options):
    goal = [stands(BOX, 0.4, (-0.1, 0, 0)), stands(BALL, 0.4, (0.2, 0.1, 0.1))]
    start = [stands(BOX, 0.35, (-0.05, 0, 0.1)), stands(BALL, 0.45, (0.2, 0, 0))]
    world = similarity(scale)
    pose = CAMERA.world_from_camera.copy()
    pose[:3, 3] *= scale
    parts = parts_from_meshes([BOX, BALL])
    camera = Camera(CAMERA.intrinsics, pose, 160, 120)
    reference = reference_view(photo([BOX, BALL], goal), [1, 2], camera, 32)
    start = placements_from(parts, np.stack([world @ s for s in start]))
    callbacks = {k: options.pop(k) for k in ("extra", "progress") if k in options}
    return start, arrange(
        parts,
        start,
        reference,
        ArrangeOptions(**{"iterations": 12, "every": 4} | options),
        **callbacks,
    )


def test_units_do_not_matter():
    _, here = arranged()
    _, there = arranged(scale=7.0)
    np.testing.assert_allclose(there.losses, here.losses, rtol=1e-2)
    torch.testing.assert_close(
        there.placements.translation, 7 * here.placements.translation, atol=0.02, rtol=0
    )
    torch.testing.assert_close(
        there.placements.log_scale - np.log(7), here.placements.log_scale, atol=2e-3, rtol=0
    )


@pytest.mark.parametrize("moves", [("depth",), ("yaw",), ("place", "scale"), ()])
def test_only_what_may_move_moves(moves):
    if not moves:
        with pytest.raises(InputError, match="moves"):
            arranged(moves=moves)
        return
    start, found = arranged(
        moves=moves, extra=lambda vertices, _: 0 * vertices.sum()
    )  # with an extra loss the end is returned
    end = found.placements
    assert torch.equal(end.log_scale, start.log_scale) == ("scale" not in moves)
    assert torch.equal(end.rotation, start.rotation) == ("yaw" not in moves)
    assert torch.equal(end.rotation[:, ::2], start.rotation[:, ::2])
    sights = [
        torch.nn.functional.normalize(p.translation - torch.tensor(EYE).float(), dim=1)
        for p in (start, end)
    ]
    assert torch.allclose(*sights, atol=1e-5) == ("place" not in moves)
    assert torch.allclose(start.translation, end.translation, atol=1e-6) == (moves == ("yaw",))


def test_others_may_pull_and_look():
    seen = []
    asked = []

    def lift(vertices, iteration):
        asked.append(iteration)
        return -1e5 * vertices[:, 1].mean()

    start, found = arranged(
        extra=lift, progress=lambda done, placements: seen.append((done, placements))
    )
    assert asked == list(range(12)) and [done for done, _ in seen] == [4, 8, 12]
    assert (
        torch.equal(seen[-1][1].translation, found.placements.translation)
        and not found.placements.translation.requires_grad
    )
    assert (found.placements.translation[:, 1] > start.translation[:, 1]).all()


@pytest.mark.parametrize("reach", [None, 0.1])
def test_nothing_pulls_an_object_beyond_its_reach(reach):
    start, found = arranged(
        reach=reach,
        moves=("depth",),
        depth_rate=0.2,
        extra=lambda vertices, _: 1e6 * vertices[:, 2].mean(),
    )
    near, far = (
        (p.translation - torch.tensor(EYE).float()) @ CAMERA_FORWARD
        for p in (start, found.placements)
    )
    change = (far / near - 1).abs()
    assert (change < 0.1).all() and (change > 0.09).all() if reach else (change > 0.2).all()


def test_what_makes_it_worse_is_not_returned():
    start, found = arranged(iterations=4, rate=5.0)
    assert found.last == found.first < found.losses[-1] and torch.equal(
        found.placements.translation, start.translation
    )


EMPTY = trimesh.Trimesh(np.zeros((3, 3)), np.zeros((0, 3), int), process=False)


@pytest.mark.parametrize("meshes, places", [([], 0), ([BOX, EMPTY], 2), ([BOX], 2)])
def test_what_cannot_be_placed_is_refused(meshes, places):
    with pytest.raises(InputError):
        placements_from(parts_from_meshes(meshes), np.stack([np.eye(4)] * places))
    with pytest.raises(InputError, match="up"):
        arranged(moves=("depth", "up"))
