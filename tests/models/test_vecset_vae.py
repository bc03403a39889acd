"""The vector-set VAE: laws for any weights. What the original computes is in tests/golden."""

import numpy as np
import torch

from maquette.models.vecset_vae import (
    VecSetVAE,
    VecSetVAEConfig,
    embed_points,
    farthest_points,
    field_in_chunks,
    sample_queries,
)

TINY = VecSetVAEConfig(
    latent_channels=4,
    heads=2,
    encoder_width=16,
    encoder_blocks=1,
    decoder_width=16,
    decoder_blocks=2,
    frequencies=3,
)


def network():
    torch.manual_seed(0)
    made = VecSetVAE(TINY).eval()
    for parameter in made.parameters():
        parameter.data = parameter.data + 0.1 * torch.randn_like(parameter)
    return made


def test_embedding_is_the_point_then_sines_then_cosines_axis_by_axis():
    point = torch.tensor([0.3, -0.2, 0.9])
    embedded = embed_points(point, 3)
    assert embedded.shape == (21,) and torch.equal(embedded[:3], point)
    torch.testing.assert_close(embedded[3:6], (0.3 * torch.tensor([1.0, 2.0, 4.0])).sin())
    torch.testing.assert_close(
        embedded[12 + 3 : 12 + 6], (-0.2 * torch.tensor([1.0, 2.0, 4.0])).cos()
    )
    torch.testing.assert_close(
        embed_points(point, 3, include_pi=True)[3], (0.3 * torch.tensor(torch.pi)).sin()
    )


def test_a_point_is_asked_independently_of_the_others_and_of_chunks():
    made = network()
    latent = torch.randn(1, 5, 4)
    points = torch.rand(100, 3) * 2 - 1
    prepared = made.prepare(latent)
    plain = made.field(points[None], made.decoder_tokens(latent))[0]
    torch.testing.assert_close(
        field_in_chunks(made, prepared, points, 7), plain, atol=1e-6, rtol=1e-5
    )
    torch.testing.assert_close(
        field_in_chunks(made, prepared, points[40:60]), plain[40:60], atol=1e-6, rtol=1e-5
    )


def test_latent_vectors_are_a_set():
    made = network()
    latent = torch.randn(1, 5, 4)
    points = torch.rand(1, 30, 3)
    flipped, plain = (
        made.field(points, made.prepare(vectors)) for vectors in (latent.flip(1), latent)
    )
    torch.testing.assert_close(flipped, plain, atol=1e-5, rtol=1e-4)


def test_the_order_of_surface_points_does_not_matter():
    made = network()
    surface = torch.randn(1, 40, 6)
    sampled = surface[:, :5]
    for found, expected in zip(
        made.encode(surface.flip(1), sampled), made.encode(surface, sampled)
    ):
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_variances_are_bounded():
    made = network()
    made.quant.bias.data.fill_(1e4)
    assert float(made.encode(torch.randn(1, 20, 6), torch.randn(1, 4, 6))[1].detach().max()) == 20.0


def test_farthest_points_are_the_greedy_choice():
    points = torch.rand(30, 3, generator=torch.Generator().manual_seed(0))
    chosen = [0]
    for _ in range(7):
        chosen.append(int(torch.cdist(points, points[chosen]).amin(1).argmax()))
    assert farthest_points(points, 8).tolist() == chosen


def test_queries_are_points_of_the_surface_and_a_function_of_the_seed():
    surface = torch.randn(2, 50, 6)
    first, again = (sample_queries(surface, 8, np.random.default_rng(3)) for _ in range(2))
    assert first.shape == (2, 8, 6) and torch.equal(first, again)
    assert (first[:, :, None] == surface[:, None]).all(-1).any(-1).all()


def test_half_precision_in_the_blocks_changes_little():
    half = network()
    exact = network()
    latent = torch.randn(1, 5, 4)
    points = torch.rand(1, 20, 3)
    half.encoder.blocks.to(torch.bfloat16), half.decoder.blocks.to(torch.bfloat16)
    found, expected = (made.field(points, made.prepare(latent)) for made in (half, exact))
    assert (
        found.dtype == torch.float32
        and 0 < (found - expected).abs().max() < 0.1 * expected.abs().max()
    )
    assert half.encode(torch.randn(1, 20, 6), torch.randn(1, 4, 6))[0].dtype == torch.float32
