"""Coherent 3D Scene Diffusion end to end on tiny weights: placed where the pose says, whole scenes
repeat, the prior needs no photo.
"""

import dataclasses

import numpy as np
import pytest
import torch

from maquette.geometry.transforms import rotation_y
from maquette.geometry.volumes import cell_centres, sample_volume
from maquette.methods.base import Sampling
from maquette.methods.coherent import (
    COHERENT,
    CoherentModels,
    imagine_coherent,
    look,
    make_coherent,
    turned,
)
from maquette.models.coherent import Coherent
from maquette.models.part_shapes import PartShapes
from maquette.models.pose_diffusion import Pose
from tests import tiny
from tests.methods.worlds import lively, result, world

FAST = Sampling(steps=3, zoom_steps=3)


def networks(**changes):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        scene = lively(Coherent(dataclasses.replace(tiny.COHERENT, **changes)))
        return CoherentModels(
            scene, PartShapes(tiny.SHAPES).eval(), world().models.generator, world().models.vae
        )


def run(labels, seed=0, sampling=FAST, **changes):
    drawn = dataclasses.replace(sampling, seed=seed)
    return result(make_coherent, networks(**changes), labels, drawn)


@torch.inference_mode()
def imagined(count, sampling):
    return [*imagine_coherent(networks(), world().perception.camera, count, sampling)]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_scene():
    a = run([1, 2])
    b = run([1, 2])
    c = run([1, 2], seed=1)
    assert all(
        torch.equal(x.volume, y.volume) and (x.scene_from_cube == y.scene_from_cube).all()
        for x, y in zip(a.shapes, b.shapes)
    )
    assert not np.array_equal(a.shapes[0].scene_from_cube, c.shapes[0].scene_from_cube)


def test_without_temperature_all_seeds_agree_and_the_prior_keeps_its_own():
    cold = dataclasses.replace(FAST, temperature=0.0)
    for x, y in zip(run([1, 2], 0, cold).shapes, run([1, 2], 1, cold).shapes):
        assert torch.equal(x.volume, y.volume) and np.array_equal(
            x.scene_from_cube, y.scene_from_cube
        )
    warm, other = (imagined(2, dataclasses.replace(cold, seed=seed)) for seed in (0, 1))
    assert not np.array_equal(warm[0].scene_from_cube, other[0].scene_from_cube)


def test_order_does_not_matter_and_company_does_through_intra_scene_attention_only():
    def second(labels, **changes):
        return next(s for s in run(labels, **changes).shapes if s.label == 2)

    for changes in ({}, {"intra_scene": False}):
        both, swapped, alone = (second(labels, **changes) for labels in ([1, 2], [2, 1], [2]))
        np.testing.assert_allclose(swapped.volume, both.volume, atol=5e-3)
        np.testing.assert_allclose(swapped.scene_from_cube, both.scene_from_cube, atol=1e-3)
        assert (float((alone.volume - both.volume).abs().max()) > 0.01) == (not changes)


def test_objects_stand_where_their_pose_is():
    w = world()
    models = networks()
    with torch.inference_mode():
        sight = look(models, w.perception, [1, 2])[1]
    for row, shape in enumerate(run([1, 2]).shapes):
        numbers = torch.from_numpy(np.stack([shape.state["pose"]] * 2))
        pose = Pose.of(numbers, sight)
        np.testing.assert_allclose(
            shape.scene_from_cube[:3, 3], pose.centre[row].numpy(), atol=1e-5
        )


def test_remaking_keeps_the_pose_and_changes_the_shape():
    w = world()
    shape = run([1, 2]).shapes[0]
    with torch.inference_mode():
        other = dataclasses.replace(FAST, seed=1)
        again = COHERENT.remake(networks(), w.perception, 1, shape.state, other)
    np.testing.assert_allclose(again.scene_from_cube, shape.scene_from_cube, atol=1e-5)
    assert not torch.equal(again.volume, shape.volume)


@pytest.mark.parametrize("yaw", [0.0, 0.5, -2.0])
def test_turning_a_volume_keeps_every_point_where_it_is(yaw):
    centres = cell_centres(48)
    distance = (centres - torch.tensor([0.25, 0.05, 0.0])).norm(dim=-1) - 0.12
    volume = (16 * distance).clamp(-1, 1)[None].repeat(4, 1, 1, 1)
    turned_volume, cube = turned(volume, np.array([0.1, 0.2, -0.1]), 0.4, yaw)
    at = 0.4 * rotation_y(yaw) @ np.array([0.25, 0.05, 0.0]) + np.array(
        [0.1, 0.2, -0.1]
    )  # the ball's centre in the scene
    directions = torch.nn.functional.normalize(
        torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), dim=1
    ).numpy()
    for radius, sign in ((0.12 * 0.4 - 0.008, -1), (0.12 * 0.4 + 0.008, 1)):
        inside_cube = (at + radius * directions - cube[:3, 3]) / cube[0, 0]
        values = sample_volume(turned_volume[:1], torch.from_numpy(inside_cube).float())[0]
        assert (sign * values > 0).all()


def test_the_prior_makes_scenes_without_a_photo():
    shapes = imagined(3, FAST)
    again = imagined(3, FAST)
    assert [s.label for s in shapes] == [1, 2, 3] and all(
        np.isfinite(s.scene_from_cube).all() for s in shapes
    )
    assert all(torch.equal(a.volume, b.volume) for a, b in zip(shapes, again))


def test_an_object_without_pixels_fails_alone():
    outcome = run([1, 9])
    assert [s.label for s in outcome.shapes] == [1] and [f.label for f in outcome.failures] == [9]
    assert run([9]).shapes == ()
