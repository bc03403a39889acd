"""An image prior that needs no training: it fills holes with one colour and says noise by a formula
in which every argument counts.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from maquette.flow.ddpm import LinearSchedule


class FormulaPrior:
    """Fulfils ``ImagePrior``; ``fill`` is the colour (3,) in 0..1 of everything that it paints."""

    size = 16
    length = 12

    def __init__(self, fill: Sequence[float] = (0.5, 0.5, 0.5)) -> None:
        self.schedule = LinearSchedule()
        self.fill = torch.tensor(fill).reshape(1, 3, 1, 1)
        self.asked: list[
            tuple[Tensor, Tensor, tuple[str, ...]]
        ] = []  # of every inpainting: pictures, masks, prompts
        self.gains: list[Tensor | None] = []

    def words(self, prompt: str) -> tuple[str, ...]:
        return tuple(prompt.split())[: self.length]

    def context(self, prompts: Sequence[str]) -> Tensor:
        rows = [
            [1.0 + sum(map(ord, word)) % 7 for word in self.words(prompt)] for prompt in prompts
        ]
        return torch.tensor([row + [0.0] * (self.length - len(row)) for row in rows])[..., None]

    def encode(self, pictures: Tensor) -> Tensor:
        return 2 * pictures - 1

    def decode(self, latents: Tensor) -> Tensor:
        return (0.5 * latents + 0.5).clamp(0, 1)

    def noise(
        self, x_t: Tensor, step: Tensor, context: Tensor, gain: Tensor | None = None
    ) -> Tensor:
        self.gains.append(gain)
        weight = torch.ones_like(context[..., 0]) if gain is None else gain
        told = (context[..., 0] * weight).mean(1) / 100
        return x_t * (0.9 + step / 10_000)[:, None, None, None] + told[:, None, None, None]

    def inpaint(
        self,
        pictures: Tensor,
        masks: Tensor,
        prompts: Sequence[str],
        seeds: Sequence[int],
        steps: int = 30,
        guidance: float = 7.5,
    ) -> Tensor:
        self.asked.append((pictures, masks, tuple(prompts)))
        return torch.where(masks > 0.5, self.fill.expand_as(pictures), pictures)
