"""Score distillation: a loss whose gradient asks a text-to-image model how a rendered picture
should change to fit a prompt.

Score distillation sampling (DreamFusion, Poole et al. 2022, arXiv 2209.14988, equation 3): with the
picture's latents x, a random step t, noise eps, and x_t = sqrt(a_t) x + sqrt(1 - a_t) eps,

    d loss / d x = w(t) (eps_hat(x_t; prompt, t) - eps),    w(t) = 1 - a_t,    eps_hat guided with a
    large weight,

where nothing is differentiated through the network. Spatially-aware distillation (SSDS, ComboVerse,
arXiv 2403.12409, equation 4) is the same loss with the cross-attention maps of the spatial words
("on", "behind") multiplied by 25, and with late steps only, t in [800, 900] of 1000: at this noise
the layout is decided, texture is not.

Stands before the models: any network with the four names of ``NoisePrior`` will do, see
``models.image_prior.ImagePrior``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn.functional import interpolate

from maquette.errors import InputError
from maquette.flow.ddpm import add_noise, table_for
from maquette.flow.guidance import guided_noise
from maquette.flow.path import per_row

Latents = Float[Tensor, "B c s s"]


@runtime_checkable
class NoiseSchedule(Protocol):
    """Steps 0 .. T - 1 of a diffusion; ``flow.ddpm.LinearSchedule`` is one."""

    @property
    def steps(self) -> int:
        """T."""

    def signal(self) -> Float64[Tensor, " T"]:
        """On the CPU, the cumulative a_t: share of the data's variance that is left
        after each step.
        """


@runtime_checkable
class NoisePrior(Protocol):
    """The part of a text-to-image model that distillation needs. Pictures, latents and steps may be
    on any device, contexts are on the network's; results come back to where the pictures or
    latents are.
    """

    size: int  # S, side in pixels of the pictures it was trained on

    @property
    def schedule(self) -> NoiseSchedule:
        """Its diffusion."""

    def context(self, prompts: Sequence[str]) -> Float[Tensor, "B L C"]:
        """What the network attends to; "" is the unconditional prompt. L is the same for
        all prompts.
        """

    def encode(self, pictures: Float[Tensor, "B 3 S S"]) -> Latents:
        """Pictures in 0..1 -> latents; differentiable."""

    def noise(
        self,
        x_t: Latents,
        step: Int64[Tensor, " B"],
        context: Float[Tensor, "B L C"],
        gain: Float[Tensor, "B L"] | None = None,
    ) -> Latents:
        """The noise that the network sees in ``x_t`` at ``step``.

        ``gain`` multiplies the cross-attention map of each word after the softmax and before
        the values are summed, without normalising again (SSDS of ComboVerse: 25 at spatial words, 1
        elsewhere); None is 1 everywhere.
        """


def sds_loss(
    prior: NoisePrior,
    pictures: Float[Tensor, "*given"],
    prompt: str | Sequence[str],
    *,
    generator: torch.Generator,
    gain: Float[Tensor, "*one_or_each"] | None = None,
    steps: tuple[int, int] = (800, 900),
    guidance: float = 100.0,
    negative: str = "",
) -> Float[Tensor, ""]:
    """Return the loss of pictures (B, 3, H, W) in 0..1, a scalar: half the mean over pictures of
    w(t) |eps_hat - eps|^2.

    Its gradient is that of the module's equation, divided by B, pulled back through the encoder;
    its value only tells how far the network disagrees. One prompt, or one for each picture.
    ``gain`` (L,) or (B, L) acts on the words of the prompt, not on those of ``negative``, the
    prompt that guidance leads away from. Steps are drawn uniformly, both ends included, one for
    each picture; then the noise. ``guidance`` is 100 as in DreamFusion, and 1 is none. No gradient
    reaches the prior's weights. Raises InputError for steps that the prior does not have and for
    shapes that do not fit.
    """
    prompts = [prompt] * len(pictures) if isinstance(prompt, str) else list(prompt)
    _check_request(prior, pictures, prompts, steps)
    leaf = pictures.detach().requires_grad_()
    with torch.enable_grad():
        latents = prior.encode(_resized(leaf, prior.size))
    with torch.no_grad():
        step = torch.randint(
            steps[0],
            steps[1] + 1,
            (len(pictures),),
            generator=generator,
            device=generator.device,
        )
        step = step.to(latents.device)
        noise = torch.randn(
            latents.shape,
            dtype=latents.dtype,
            generator=generator,
            device=generator.device,
        )
        noise = noise.to(latents.device)
        signal = prior.schedule.signal()
        x_t = add_noise(latents.detach(), noise, table_for(noise, signal)[step])
        error = _guided_noise(prior, x_t, step, prompts, negative, gain, guidance) - noise
        weight = per_row(table_for(noise, 1 - signal)[step], error)
        value = 0.5 * (weight * error.square()).sum() / len(pictures)
    # Not .backward(): the weights must not collect anything.
    (pull,) = torch.autograd.grad(latents, leaf, weight * error / len(pictures))
    return _with_gradient(value, pictures, pull)


def _check_request(
    prior: NoisePrior,
    pictures: Tensor,
    prompts: Sequence[str],
    steps: tuple[int, int],
) -> None:
    """InputError for pictures, prompts and steps that do not fit each other or the prior."""
    shape = tuple(pictures.shape)
    if len(shape) != 4 or shape[1] != 3 or shape[0] == 0:
        raise InputError(
            f"pictures have shape {shape}, expected (B, 3, H, W) with at least one; stack what was "
            "rendered"
        )
    first, last = steps
    known = prior.schedule.steps
    if not 0 <= first <= last < known:
        raise InputError(
            f"steps {first} to {last}, but the prior has 0 to {known - 1}; choose a range inside"
        )
    if len(prompts) != len(pictures):
        raise InputError(
            f"{len(prompts)} prompts for {len(pictures)} pictures; give one, or one for each"
        )


def _with_gradient(value: Tensor, pictures: Tensor, pull: Tensor) -> Tensor:
    """A scalar of this value whose gradient by the pictures is ``pull``."""
    linear = (pictures * pull).sum()
    return value + (linear - linear.detach())


def _guided_noise(
    prior: NoisePrior,
    x_t: Tensor,
    step: Tensor,
    prompts: list[str],
    negative: str,
    gain: Tensor | None,
    guidance: float,
) -> Tensor:
    """eps_u + w (eps_c - eps_u), both in one batch; only the conditional one where w is 1."""
    context = prior.context(prompts)
    if gain is not None:
        if gain.shape not in (context.shape[1:2], context.shape[:2]):
            raise InputError(
                f"gain has shape {tuple(gain.shape)}, expected a number for each of "
                f"{context.shape[1]} words; see prior.words"
            )
        gain = gain.to(x_t).expand(context.shape[:2])
    if guidance == 1.0:
        return prior.noise(x_t, step, context, gain)
    gains = None if gain is None else torch.cat([gain, torch.ones_like(gain)])
    contexts = torch.cat([context, prior.context([negative] * len(x_t))])
    return guided_noise(lambda x, at: prior.noise(x, at, contexts, gains), x_t, step, guidance)


def _resized(pictures: Tensor, size: int) -> Tensor:
    """Pictures (B, 3, H, W) as squares."""
    if pictures.shape[-2:] == (size, size):
        return pictures
    return interpolate(pictures, (size, size), mode="bilinear", antialias=True)
