import numpy as np
import pytest
import torch
import trimesh

from maquette.checkpoints.published import triposg
from maquette.methods.decoded import coloured_mesh, field_mesh
from tests.checkpoints.tiny_releases import LATENT, VAE, seeded, with_surface


@torch.inference_mode()
def test_the_surface_of_a_ball_is_a_closed_ball_of_its_size():
    vae = with_surface(seeded(triposg.build_vae, VAE, 4))
    mesh = field_mesh(vae, torch.zeros(16, LATENT), cells=64)
    assert mesh.is_watertight and mesh.volume > 0  # outward normals
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=0.1)
    assert np.abs(mesh.bounds + mesh.bounds[::-1]).max() < 0.15


@torch.inference_mode()
def test_chunks_of_points_change_nothing():
    vae = with_surface(seeded(triposg.build_vae, VAE, 4))
    whole, parts = (
        field_mesh(vae, torch.zeros(16, LATENT), 32, points) for points in (65536, 1000)
    )
    assert (
        np.array_equal(whole.faces, parts.faces)
        and np.abs(whole.vertices - parts.vertices).max() < 1e-4
    )


@torch.inference_mode()
def test_a_field_without_a_surface_has_no_mesh():
    vae = seeded(triposg.build_vae, VAE, 4)
    vae.decoder.proj_out.weight.zero_()
    vae.decoder.proj_out.bias.fill_(1.0)
    assert field_mesh(vae, torch.zeros(16, LATENT), 32) is None


def test_colours_are_rounded_to_bytes_and_grey_without():
    box = trimesh.creation.box((1, 1, 1))
    mesh = coloured_mesh(box.vertices, box.faces, np.tile([0.0, 0.5, 1.0], (8, 1)))
    assert (mesh.visual.vertex_colors == [0, 128, 255, 255]).all()
    assert (coloured_mesh(box.vertices, box.faces).visual.vertex_colors[:, :3] == 128).all()
