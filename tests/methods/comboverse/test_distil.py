"""Distillation of a layout: views around the photo's, gain at the spatial words, gradients to the
objects.
"""

import numpy as np
import torch
import trimesh

from maquette.geometry.cameras import azimuth_of, project
from maquette.methods.comboverse.arrange import parts_from_meshes, placed_vertices, placements_from
from maquette.methods.comboverse.distil import AZIMUTH, ELEVATION, GAIN, Distillation, spatial_gain
from tests.priors import FormulaPrior

PROMPT = "a lamp on a box"


def parts():
    boxes = [trimesh.creation.box((0.3, 0.3, 0.3)), trimesh.creation.icosphere(1, 0.15)]
    for mesh, colour in zip(boxes, ((200, 40, 40, 255), (30, 60, 200, 255))):
        mesh.visual.vertex_colors = np.tile(np.array(colour, np.uint8), (len(mesh.vertices), 1))
    return parts_from_meshes(boxes)


def distillation(seed=0, gain=None, prior=None, views=2):
    return Distillation(
        prior or FormulaPrior(),
        parts(),
        PROMPT,
        gain,
        views,
        5.0,
        torch.Generator().manual_seed(seed),
    )


def start():
    places = np.stack([np.eye(4), np.eye(4)])
    places[:, 0, 3] = -0.2, 0.25
    return placements_from(parts(), places)


def test_the_gain_is_at_the_spatial_words():
    prior = FormulaPrior()
    gain = spatial_gain(prior, PROMPT)
    assert gain.tolist() == [1, 1, GAIN, 1, 1] + [1] * (prior.length - 5) and GAIN == 25


def test_views_see_everything_from_around_the_photos_view():
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 3))
    cameras = distillation(views=40).cameras(points)
    azimuths = np.array([azimuth_of(camera) for camera in cameras])
    heights = np.array([np.arcsin(-camera.world_from_camera[1, 2]) for camera in cameras])
    assert (np.abs(azimuths) <= AZIMUTH + 1e-9).all() and np.ptp(azimuths) > AZIMUTH
    assert (heights >= ELEVATION[0] - 1e-9).all() and (heights <= ELEVATION[1] + 1e-9).all()
    for camera in cameras:
        pixel, depth = project(camera, points)
        assert (depth > 0).all() and (pixel >= 0).all() and (pixel <= FormulaPrior.size).all()


def test_the_same_generator_gives_the_same_loss_and_gradients_reach_every_object():
    losses = []
    slopes = []
    for seed in (0, 0, 1):
        at = start()
        at.translation.requires_grad_()
        loss = distillation(seed)(placed_vertices(parts(), at), 0)
        losses.append(float(loss.detach()))
        slopes.append(torch.autograd.grad(loss, at.translation)[0])
    assert losses[0] == losses[1] != losses[2] and torch.equal(slopes[0], slopes[1])
    assert (slopes[0].norm(dim=1) > 0).all()


def test_ssds_with_gain_one_is_sds():
    vertices = placed_vertices(parts(), start())
    plain, one, many = (
        float(distillation(gain=g)(vertices, 0))
        for g in (None, torch.ones(12), spatial_gain(FormulaPrior(), PROMPT))
    )
    assert plain == one != many
