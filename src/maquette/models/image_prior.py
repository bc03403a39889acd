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


class NoiseSchedule(Protocol):
    """Steps 0 .. T - 1 of a diffusion; ``flow.ddpm.LinearSchedule`` is one."""

    @property
    def steps(self) -> int:
        """T."""

    def signal(self) -> Tensor:
        """(T,) the cumulative a_t: share of the data's variance that is left after each step."""


class ImagePrior(Protocol):
    """A text-to-image diffusion model that says noise, fills holes, and lets the caller multiply
    the attention to single words.
    """

    size: int  # S, side in pixels of the pictures it was trained on
    schedule: NoiseSchedule

    def words(self, prompt: str) -> tuple[str, ...]:
        """The prompt's tokens in the order of the attention maps, at most L; markers of start and
        end are tokens too.
        """

    def context(self, prompts: Sequence[str]) -> Tensor:
        """(B, L, C) what the network attends to; "" is the unconditional prompt. L is the same for
        all prompts.
        """

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in 0..1 -> latents (B, c, s, s); differentiable."""

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, c, s, s) -> pictures (B, 3, S, S) in 0..1."""

    def noise(
        self, x_t: Tensor, step: Tensor, context: Tensor, gain: Tensor | None = None
    ) -> Tensor:
        """The noise (B, c, s, s) that the network sees in ``x_t`` (B, c, s, s) at ``step`` (B,)
        int64.

        ``gain`` (B, L) multiplies the cross-attention map of each word after the softmax and before
        the values are summed, without normalising again (SSDS of ComboVerse: 25 at spatial words, 1
        elsewhere); None is 1 everywhere.
        """

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
