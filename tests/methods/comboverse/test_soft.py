"""The soft rasteriser against the hard one, against finite differences, and against what geometry
says about areas and order.
"""

import math

import numpy as np
import pytest
import torch
import trimesh

from maquette.errors import InputError
from maquette.geometry.cameras import intrinsics_from_fov, look_at
from maquette.geometry.transforms import rotation_y
from maquette.methods.comboverse.soft import (
    LEAST_ALPHA,
    SoftImage,
    _visible_share,
    gaussian_blur,
    soft_render,
)
from maquette.render.rasterize import rasterize
from maquette.types import Camera

SHARP = math.inf


def camera_at(position, size=48, target=(0.0, 0.0, 0.0), fov=0.7):
    return Camera(
        intrinsics_from_fov(fov, size, size),
        look_at(np.array(position, float), np.array(target, float)),
        size,
        size,
    )


CAMERA = camera_at((0.3, 0.9, 2.1))


def gathered(*meshes, dtype=torch.float64, seed=0):
    """Vertices, faces, random colours and instances of several meshes."""
    offsets = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    vertices = torch.tensor(np.concatenate([m.vertices for m in meshes]), dtype=dtype)
    faces = np.concatenate([m.faces + start for m, start in zip(meshes, offsets)])
    colours = torch.rand(
        len(vertices), 3, generator=torch.Generator().manual_seed(seed), dtype=dtype
    )
    return (
        vertices,
        faces,
        colours,
        np.repeat(np.arange(len(meshes)), [len(m.faces) for m in meshes]),
    )


def moved(mesh, by):
    mesh.apply_translation(by)
    return mesh


def scene():
    """A ball before a split-colour box, and a ring that hides itself."""
    box = trimesh.creation.box((0.5, 0.4, 0.3))
    box.unmerge_vertices()
    box.apply_transform(trimesh.transformations.rotation_matrix(0.5, [0.2, 1.0, 0.1]))
    ring = trimesh.creation.torus(0.25, 0.08, major_sections=16, minor_sections=8)
    ring.apply_transform(trimesh.transformations.rotation_matrix(1.2, [1.0, 0.4, 0.0]))
    return gathered(
        moved(trimesh.creation.icosphere(2, 0.2), [0.05, 0.05, 0.35]),
        box,
        moved(ring, [0.4, 0.0, 0.1]),
    )


def parts(image: SoftImage):
    return [
        image.colour,
        image.alpha,
        image.instance_alpha,
        torch.where(image.depth.isinf(), 0.0, image.depth),
    ]


def test_inside_of_faces_it_is_the_hard_rasteriser():
    vertices, faces, colours, instance = scene()
    shades = (colours * 255).round()
    camera = camera_at((0.3, 0.9, 2.1), 192)
    hard = rasterize(
        vertices.numpy(),
        faces,
        camera,
        vertex_colors=shades.numpy().astype(np.uint8),
        face_instance=instance,
    )
    soft = soft_render(
        vertices, faces, shades / 255, camera, sharpness=SHARP, face_instance=instance
    )
    rows, columns = np.nonzero(hard.face[1:-1, 1:-1] >= 0)
    around = np.stack(
        [
            hard.face[rows + 1 + i, columns + 1 + j]
            for i, j in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
        ]
    )
    rows = rows[(around == around[0]).all(0)] + 1
    columns = columns[(around == around[0]).all(0)] + 1
    alone = (
        soft.instance_alpha[:, rows, columns].numpy() == np.eye(3)[hard.instance[rows, columns]].T
    )  # no outline of a hidden one below
    rows = rows[alone.all(0)]
    columns = columns[alone.all(0)]
    assert len(rows) > 2000
    np.testing.assert_allclose(
        soft.colour.numpy()[rows, columns], hard.albedo[rows, columns], atol=2e-5
    )
    np.testing.assert_allclose(
        soft.depth.numpy()[rows, columns], hard.depth[rows, columns], rtol=1e-5
    )


def test_it_converges_to_the_hard_rasteriser_as_sharpness_and_resolution_grow():
    vertices, faces, colours, instance = scene()
    shades = (colours * 255).round()

    def difference(size, sharpness):
        camera = camera_at((0.3, 0.9, 2.1), size)
        hard = rasterize(
            vertices.numpy(),
            faces,
            camera,
            vertex_colors=shades.numpy().astype(np.uint8),
            face_instance=instance,
        )
        soft = soft_render(
            vertices, faces, shades / 255, camera, sharpness=sharpness, face_instance=instance
        )
        covered = torch.from_numpy(hard.face >= 0).double()
        return (soft.colour - torch.from_numpy(hard.albedo)).abs().mean() + (
            soft.alpha - covered
        ).abs().mean()

    sharper = [difference(48, s) for s in (0.5, 1.0, 2.0, 20.0)]
    assert sharper == sorted(sharper, reverse=True)
    finer = [
        difference(size, SHARP) for size in (48, 96, 192)
    ]  # only outlines differ, and they get thinner
    assert finer[1] < 0.65 * finer[0] and finer[2] < 0.65 * finer[1]


def test_alpha_is_the_share_of_the_pixel_that_is_covered():
    vertices, faces, colours, _ = scene()
    fine = rasterize(vertices.numpy(), faces, camera_at((0.3, 0.9, 2.1), 48 * 16)).face >= 0
    exact = torch.from_numpy(fine.reshape(48, 16, 48, 16).mean((1, 3)))
    error = (soft_render(vertices, faces, colours, CAMERA, sharpness=SHARP).alpha - exact).abs()
    outline = (exact > 0) & (exact < 1)
    assert outline.sum() > 80 and error[outline].mean() < 0.04 and error[~outline].max() < 0.1
    assert (
        abs(
            float(
                (soft_render(vertices, faces, colours, CAMERA, sharpness=SHARP).alpha - exact).sum()
            )
        )
        < 0.004 * exact.sum()
    )


@pytest.mark.parametrize("angle", np.linspace(0.05, 3.1, 7))
def test_an_edge_through_a_pixel_centre_covers_half_of_it_whatever_its_slope(angle):
    camera = Camera(
        intrinsics_from_fov(0.7, 9, 9), look_at(np.array([0.0, 0.0, 1.0]), np.zeros(3)), 9, 9
    )
    along = np.array([np.cos(angle), np.sin(angle), 0])
    across = np.array([-np.sin(angle), np.cos(angle), 0])
    triangle = torch.tensor(
        np.stack([-10 * along, 10 * along, 10 * across])
    )  # its first edge runs through the middle pixel's centre
    pixel = 2 * math.tan(0.35) / 9

    def middle(distance):
        shifted = triangle + torch.tensor(across * distance * pixel)
        return float(
            soft_render(
                shifted, np.array([[0, 1, 2]]), triangle * 0, camera, sharpness=SHARP
            ).alpha[4, 4]
        )

    assert middle(1e-5) == pytest.approx(0.5, abs=1e-3) and middle(-1e-5) == pytest.approx(
        0.5, abs=1e-3
    )
    covered = [middle(d) for d in np.linspace(-0.9, 0.9, 19)]
    assert covered == sorted(covered, reverse=True) and covered[0] == 1 and covered[-1] == 0


@pytest.mark.parametrize("sharpness", [SHARP, 2.0, 0.5])
def test_gradients_agree_with_finite_differences(sharpness):
    vertices, faces, colours, instance = scene()
    generator = torch.Generator().manual_seed(3)
    background = torch.rand(48, 48, 3, generator=generator, dtype=torch.float64)
    weights = [
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((48, 48, 3), (48, 48), (3, 48, 48), (48, 48))
    ]
    weights[3] = weights[3] * (
        soft_render(vertices, faces, colours, CAMERA, sharpness=sharpness).alpha > 0.01
    )

    def loss(v, c):
        image = soft_render(
            v,
            faces,
            c,
            CAMERA,
            sharpness=sharpness,
            order_sharpness=2.0,
            background=background,
            face_instance=instance,
        )
        return sum((w * part).sum() for w, part in zip(weights, parts(image)))

    leaves = vertices.clone().requires_grad_(), colours.clone().requires_grad_()
    by_vertices, by_colours = torch.autograd.grad(loss(*leaves), leaves)
    assert (by_vertices != 0).any(1).sum() > 80 and (by_colours != 0).any(1).sum() > 80
    together = torch.unique(vertices, dim=0, return_inverse=True)[1]
    step = 1e-7
    for trial in range(6):
        direction = torch.randn(vertices.shape, generator=generator, dtype=torch.float64)[
            together
        ]  # a surface that tears has a kink
        if trial % 2:  # a whole instance moves
            direction = (
                direction[:1].expand_as(vertices) * (torch.arange(len(vertices)) < 162)[:, None]
            )
        slope = (
            loss(vertices + step * direction, colours) - loss(vertices - step * direction, colours)
        ) / (2 * step)
        assert float(slope) == pytest.approx(float((by_vertices * direction).sum()), rel=1e-4)
        slope = (
            loss(vertices, colours + step * direction) - loss(vertices, colours - step * direction)
        ) / (2 * step)
        assert float(slope) == pytest.approx(float((by_colours * direction).sum()), rel=1e-4)


@pytest.mark.parametrize("sharpness", [SHARP, 1.0])
def test_the_area_of_a_sphere_and_its_growth_have_their_analytic_values(sharpness):
    distance = 2.0
    focal = 0.5 * 64 / math.tan(0.35)
    camera = camera_at((0.0, 0.0, distance), 64)
    ball = trimesh.creation.icosphere(5, 1.0)
    vertices = torch.tensor(ball.vertices)
    for value in (0.15, 0.25, 0.35):
        radius = torch.tensor(value, dtype=torch.float64, requires_grad=True)
        area = soft_render(
            radius * vertices, ball.faces, vertices * 0, camera, sharpness=sharpness
        ).alpha.sum()
        area.backward()
        remaining = distance**2 - value**2
        assert float(area.detach()) == pytest.approx(
            math.pi * focal**2 * value**2 / remaining, rel=3e-3
        )
        assert float(radius.grad) == pytest.approx(
            2 * math.pi * focal**2 * value * distance**2 / remaining**2, rel=0.015
        )


def test_moving_or_scaling_the_world_with_its_camera_changes_nothing():
    vertices, faces, colours, instance = scene()
    shift = np.array([3.0, -7.0, 11.0])
    turn = rotation_y(0.7)
    pose = CAMERA.world_from_camera.copy()
    pose[:3, :3], pose[:3, 3] = turn @ pose[:3, :3], 5.0 * turn @ pose[:3, 3] + shift
    elsewhere = 5.0 * vertices @ torch.from_numpy(turn).T + torch.from_numpy(shift)
    here = soft_render(vertices, faces, colours, CAMERA, face_instance=instance)
    there = soft_render(
        elsewhere, faces, colours, Camera(CAMERA.intrinsics, pose, 48, 48), face_instance=instance
    )
    for a, b in zip(
        (here.colour, here.alpha, here.instance_alpha, here.depth),
        (*parts(there)[:3], there.depth / 5),
    ):
        torch.testing.assert_close(
            a, b, atol=1e-4, rtol=1e-5
        )  # who sees what is decided in float32


def test_the_order_of_faces_and_instances_does_not_matter():
    vertices, faces, colours, instance = scene()
    order = np.random.default_rng(0).permutation(len(faces))
    image = soft_render(vertices, faces, colours, CAMERA, face_instance=instance)
    shuffled = soft_render(vertices, faces[order], colours, CAMERA, face_instance=instance[order])
    renamed = soft_render(vertices, faces, colours, CAMERA, face_instance=(instance + 1) % 3)
    for a, b, c in zip(parts(image), parts(shuffled), parts(renamed)):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(
            a, c if c.ndim == 2 or c.shape[-1] == 3 else c.roll(-1, 0), atol=1e-9, rtol=1e-9
        )


@pytest.mark.parametrize("sharpness", [0.3, 2.0, SHARP])
def test_shares_are_shares(sharpness):
    rng = np.random.default_rng(0)
    corners = (rng.uniform(-1, 1, (90, 1, 3)) + rng.uniform(-0.4, 0.4, (90, 3, 3))).reshape(-1, 3)
    vertices = torch.tensor(corners, dtype=torch.float32)
    faces = np.arange(270).reshape(-1, 3)
    instance = np.arange(90) % 5
    image = soft_render(
        vertices, faces, torch.rand(270, 3), CAMERA, sharpness=sharpness, face_instance=instance
    )
    for part in (image.colour, image.alpha, image.instance_alpha):
        assert part.min() >= 0 and part.max() <= 1
    torch.testing.assert_close(image.instance_alpha.sum(0), image.alpha, atol=1e-5, rtol=1e-5)
    assert torch.equal(image.depth.isinf(), image.alpha <= LEAST_ALPHA)


def test_nothing_behind_the_camera_contributes():
    vertices, faces, colours, instance = scene()
    behind = gathered(
        moved(trimesh.creation.box((5.0, 5.0, 1.0)), [0.5, 1.5, 4.0]),
        trimesh.creation.box((0.1, 9.0, 9.0)),
    )[0][:8]
    for extra in (behind, behind - torch.tensor(CAMERA.world_from_camera[:3, 2]) * 0):
        both = torch.cat([vertices, extra]).requires_grad_()
        more = np.concatenate([faces, trimesh.creation.box().faces + len(vertices)])
        image = soft_render(
            both,
            more,
            torch.cat([colours, colours[:8]]),
            CAMERA,
            face_instance=np.append(instance, [3] * 12),
        )
        plain = soft_render(vertices, faces, colours, CAMERA, face_instance=instance)
        torch.testing.assert_close(image.colour.detach(), plain.colour)
        assert image.instance_alpha[3].max() == 0
        image.colour.sum().backward()
        assert both.grad.isfinite().all() and (both.grad[-8:] == 0).all()
    empty = soft_render(behind, trimesh.creation.box().faces, colours[:8], CAMERA)
    assert empty.alpha.max() == 0 and empty.depth.isinf().all() and empty.colour.max() == 0


def two_cards(near, far, sharpness):
    """A red card at z = near and a green one at z = far, seen from z = 2 along -z."""
    card = torch.tensor(
        [[-0.2, -0.2, 0.0], [0.2, -0.2, 0.0], [0.2, 0.2, 0.0], [-0.2, 0.2, 0.0]],
        dtype=torch.float64,
    )
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    colours = torch.eye(3, dtype=torch.float64)[[0] * 4 + [1] * 4]
    vertices = torch.cat([card + near * up, card + far * up])
    image = soft_render(
        vertices,
        np.concatenate([faces, faces + 4]),
        colours,
        camera_at((0.0, 0.0, 2.0), 32),
        sharpness=sharpness,
        face_instance=np.array([0, 0, 1, 1]),
    )
    return image.colour[16, 16]


def test_the_nearer_instance_hides_the_other_and_equal_ones_share():
    for sharpness in (SHARP, 20.0):
        torch.testing.assert_close(
            two_cards(0.1, 0.0, sharpness), torch.tensor([1.0, 0, 0]).double(), atol=1e-6, rtol=0
        )
        torch.testing.assert_close(
            two_cards(-0.1, 0.0, sharpness), torch.tensor([0, 1.0, 0]).double(), atol=1e-6, rtol=0
        )
        torch.testing.assert_close(
            two_cards(0.0, 0.0, sharpness), torch.tensor([0.5, 0.5, 0]).double()
        )
    near = torch.tensor(-0.05, dtype=torch.float64, requires_grad=True)
    two_cards(near, 0.0, 0.5)[0].backward()
    assert near.grad > 0.1  # a hidden object learns that it should come forward


@pytest.mark.parametrize("cover", [1e-45, 1e-30, 1e-19, 1e-10, 1e-6, 1e-5, 1e-2])
def test_the_faintest_covers_give_numbers_and_gradients(cover):
    layers = torch.zeros(2, 1, 1, 5)
    layers[:, 0, 0, 4] = cover
    layers[:, 0, 0, 3] = cover * torch.tensor([2.0, 3.0])
    layers.requires_grad_()
    share = _visible_share(layers, 100.0)
    (layers * share[..., None]).sum().backward()
    assert (
        torch.isfinite(share).all() and torch.isfinite(layers.grad).all() and (share <= 1.1).all()
    )


def test_a_blur_keeps_sums_inside_and_constants_everywhere():
    dot = torch.zeros(21, 31, dtype=torch.float64)
    dot[10, 15] = 1.0
    spread = gaussian_blur(dot, 1.5)
    rows = torch.arange(21.0, dtype=torch.float64) - 10
    assert float(spread.sum()) == pytest.approx(1.0) and float(
        (spread.sum(1) * rows**2).sum()
    ) == pytest.approx(1.5**2, rel=1e-4)
    torch.testing.assert_close(gaussian_blur(torch.full((4, 5), 0.3), 2.0), torch.full((4, 5), 0.3))
    assert gaussian_blur(dot, 0.0) is dot


def test_a_displaced_scaled_and_turned_object_comes_back():
    box = trimesh.creation.box((0.5, 0.3, 0.35))
    box.unmerge_vertices()
    ball = moved(trimesh.creation.icosphere(1, 0.12), [0.25, 0.15, 0.1])
    vertices, faces, _, _ = gathered(box, ball, dtype=torch.float32)
    paints = torch.rand(13, 3, generator=torch.Generator().manual_seed(1))
    colours = torch.cat([paints[torch.arange(36) // 6], paints[12].expand(len(vertices) - 36, 3)])

    sideways = torch.tensor(
        CAMERA.world_from_camera[:3, :2], dtype=torch.float32
    )  # nearer and larger are one in one view

    def placed(scale, turn, shift):
        zero = turn * 0
        skew = torch.stack(
            [
                torch.stack([zero, zero, turn]),
                torch.stack([zero, zero, zero]),
                torch.stack([-turn, zero, zero]),
            ]
        )
        return scale.exp() * vertices @ torch.matrix_exp(skew).T + sideways @ shift

    goal = placed(torch.tensor(0.0), torch.tensor(0.4), torch.tensor([0.05, -0.03]))
    scale = torch.tensor(math.log(1.3))
    turn = torch.tensor(0.0)
    shift = torch.tensor([-0.2, 0.12])
    leaves = [leaf.requires_grad_() for leaf in (scale, turn, shift)]
    adam = torch.optim.Adam(leaves, lr=0.02)
    camera = camera_at((0.3, 0.9, 2.1), 32)
    for step in range(70):
        sharpness = (0.3, 0.6, 1.2, 2.0)[min(step // 15, 3)]
        if step == 60:
            adam.param_groups[0]["lr"] = 0.004
        with torch.no_grad():
            target = soft_render(goal, faces, colours, camera, sharpness=sharpness)
        image = soft_render(placed(*leaves), faces, colours, camera, sharpness=sharpness)
        adam.zero_grad()
        (
            (image.colour - target.colour).abs().mean() + (image.alpha - target.alpha).abs().mean()
        ).backward()
        adam.step()
    error = (placed(*leaves) - goal).norm(dim=1).mean()
    assert float(error.detach()) < 0.02  # started at 0.3; a pixel is 0.05 wide there


@pytest.mark.parametrize(
    "changes",
    [
        {"sharpness": 0.0},
        {"order_sharpness": -1.0},
        {"colours": torch.zeros(2, 3)},
        {"face_instance": np.array([0, 1])},
        {"face_instance": np.array([-1])},
        {"faces": np.array([[0, 1, 3]])},
    ],
    ids=str,
)
def test_what_cannot_be_drawn_is_refused(changes):
    given = {
        "vertices": torch.zeros(3, 3),
        "faces": np.array([[0, 1, 2]]),
        "colours": torch.zeros(3, 3),
        "camera": CAMERA,
    }
    with pytest.raises(InputError):
        soft_render(**given | changes)


def test_without_softness_there_are_gradients_of_the_outlines():
    vertices, faces, colours, instance = scene()
    vertices.requires_grad_(True)
    camera = camera_at((0.3, 0.4, 2.0))
    image = soft_render(
        vertices, faces, colours, camera, sharpness=math.inf, face_instance=instance
    )
    image.alpha.sum().backward()
    assert torch.isfinite(vertices.grad).all() and vertices.grad.abs().max() > 1
