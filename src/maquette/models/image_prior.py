"""What a method needs of a text-to-image diffusion model: the small protocol that the embedded one
and published ones fulfil.

In the flow: ``TextToImage`` (embedded, pictures themselves) and ``checkpoints.diffusers_prior``
(Stable Diffusion, latents of a VAE) are such priors; score distillation and the inpainting of
ComboVerse see nothing else of them. B pictures, L words of a context, S the side in pixels. Noise
is DDPM's: x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) eps, as in ``flow.ddpm``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from maquette.flow.distillation import NoisePrior


class ImagePrior(NoisePrior, Protocol):
    """A text-to-image diffusion model that says noise, fills holes, and lets the caller multiply
    the attention to single words.
    """

    def words(self, prompt: str) -> tuple[str, ...]:
        """The prompt's tokens in the order of the attention maps, at most L; markers of start and
        end are tokens too.
        """

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, c, s, s) -> pictures (B, 3, S, S) in 0..1."""

    def inpaint(
        self,
        pictures: Tensor,
        masks: Tensor,
        prompts: Sequence[str],
        seeds: Sequence[int],
        steps: int = 30,
        guidance: float = 7.5,
    ) -> Tensor:
        """Pictures (B, 3, S, S) in 0..1 whose pixels under ``masks`` (B, 1, S, S), 1 = to be
        filled, are made by the model.

        One seed for each picture: what it becomes does not depend on the others. Other pixels come
        back as they were.
        """
