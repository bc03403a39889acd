"""The volume VAE: shapes follow the config, latents are normalised consistently, convolutions are
local.
"""

import torch

from maquette.models.volume_vae import VolumeVAE, VolumeVAEConfig

TINY = VolumeVAEConfig(
    resolution=16, patch=2, latent_channels=4, encoder_channels=(8, 16), decoder_channels=(16, 8)
)


def test_latent_resolution_and_round_trip_shapes():
    vae = VolumeVAE(TINY)
    latent = vae.encode(torch.randn(2, 4, 16, 16, 16))
    assert latent.shape == (2, 4, *(TINY.latent_resolution,) * 3) and TINY.latent_resolution == 4
    assert vae.decode(latent).shape == (2, 4, 16, 16, 16)


def test_normalisation_cancels():
    vae = VolumeVAE(TINY).eval()
    volume = torch.randn(1, 4, 16, 16, 16)
    plain = vae.decode(vae.encode(volume))
    vae.latent_mean += 1.5
    vae.latent_std *= 3.0
    torch.testing.assert_close(vae.decode(vae.encode(volume)), plain, atol=1e-4, rtol=1e-4)


def test_published_form_has_one_channel_and_no_patch():
    vae = VolumeVAE(
        VolumeVAEConfig(
            channels=1,
            resolution=16,
            patch=1,
            latent_channels=8,
            encoder_channels=(4, 8, 16),
            decoder_channels=(16, 8, 4),
            encoder_blocks=2,
            decoder_blocks=2,
            middle_blocks=2,
            stem_kernel=3,
        )
    )
    assert vae.encode(torch.randn(1, 1, 16, 16, 16)).shape == (1, 8, 4, 4, 4)
