"""Stable Diffusion (1.x, 2.x) of a diffusers folder as an image prior: latents of its VAE, words of
its tokenizer, its own schedule.

In the flow: ``open_prior`` reads a local folder, and what comes out takes the place of the embedded
``TextToImage`` in ComboVerse's inpainting and score distillation (models/image_prior.py). Nothing
is downloaded. diffusers and transformers come with maquette[hub].

Attention to single words is multiplied at the values: with gains g of the words, (A diag(g)) V = A
(diag(g) V), so the fused kernels stay in use and a gain of one changes no bit. Inpainting is that
of the UNet when it was made for it (9 channels); any other UNet fills a hole while the noise of the
known region is told to the sampler (blended latents, Avrahami et al. 2022, arXiv 2206.02779, with
one noise for all steps). B pictures, L words, S side in pixels, s side of the latents.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.errors import CheckpointError, MissingExtraError
from maquette.flow.ddpm import LinearSchedule, ddim, noise_from_velocity
from maquette.flow.guidance import guided_noise
from maquette.flow.sample import seeded_noise
from maquette.models.image_prior import ImagePrior
from maquette.nn.layers import of_kind
from maquette.types import JsonObject, StrPath

INSTALL = "pip install 'maquette[hub]'"
PARTS = ("unet", "vae", "text_encoder", "tokenizer")
FAINTEST = 1e-6  # least share of signal: schedules that end in pure noise would divide by zero


@dataclass(frozen=True, eq=False)
class TabulatedSchedule(LinearSchedule):
    """A diffusion whose cumulative a_t are given one by one."""

    signals: Tensor = field(kw_only=True)  # (T,) float64

    @classmethod
    def of(cls, alphas_cumprod: Tensor) -> TabulatedSchedule:
        """The schedule of a diffusers scheduler."""
        signals = alphas_cumprod.detach().cpu().double().clamp(min=FAINTEST)
        return cls(steps=len(signals), signals=signals)

    def signal(self) -> Tensor:
        """(T,) float64 the cumulative a_t."""
        return self.signals


class PipelineNetwork(Protocol):
    """What is used of a network of diffusers or transformers, a module of torch."""

    config: Any
    __call__: Callable[..., Any]
    eval: Callable[[], nn.Module]
    to: Callable[..., nn.Module]
    named_modules: Callable[[], Iterator[tuple[str, nn.Module]]]

    @property
    def device(self) -> torch.device:
        """Where its weights are."""

    @property
    def dtype(self) -> torch.dtype:
        """Precision of its weights."""


class Autoencoder(PipelineNetwork, Protocol):
    """What is used of diffusers' AutoencoderKL."""

    encode: Callable[[Tensor], Any]
    decode: Callable[[Tensor], Any]


class DiffusersPrior:
    """The parts of a Stable Diffusion pipeline; fulfils ``ImagePrior``. Its weights are frozen."""

    def __init__(
        self,
        unet: PipelineNetwork,
        vae: Autoencoder,
        text_encoder: PipelineNetwork,
        tokenizer: Any,
        scheduler: Any,
    ):
        for part in (unet, vae, text_encoder):
            part.eval().requires_grad_(False)
        self.unet = unet
        self.vae = vae
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer
        self.schedule = TabulatedSchedule.of(scheduler.alphas_cumprod)
        self.says = scheduler.config.prediction_type
        if self.says not in ("epsilon", "v_prediction"):
            raise CheckpointError(
                f"the pipeline predicts {self.says!r}, expected epsilon or v_prediction; choose "
                "another pipeline"
            )
        self.channels = vae.config.latent_channels
        taken = unet.config.in_channels
        when_inpainting = 2 * self.channels + 1
        if taken not in (self.channels, when_inpainting):
            raise CheckpointError(
                f"the UNet takes {taken} channels, expected {self.channels} (text to image) or "
                f"{when_inpainting} (inpainting); choose a Stable Diffusion 1 or 2 pipeline"
            )
        self.inpaints = taken > self.channels
        self.reduction = 2 ** (len(vae.config.block_out_channels) - 1)  # pixels per latent
        self.size = unet.config.sample_size * self.reduction

    @classmethod
    def of(cls, pipeline: Any) -> DiffusersPrior:
        """The prior of a diffusers pipeline that is already loaded; its parts are frozen, nothing
        else about it changes.
        """
        names = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
        return cls(*(getattr(pipeline, name) for name in names))

    def to(self, device: torch.device | str) -> DiffusersPrior:
        """Move the networks to a device, as modules do; returns itself."""
        for part in (self.unet, self.vae, self.text_encoder):
            part.to(device)
        return self

    # ---- words

    def words(self, prompt: str) -> tuple[str, ...]:
        """The byte-pair tokens of a prompt between the markers of start and end; a word's last
        token ends with "</w>".
        """
        length = self.tokenizer.model_max_length
        tokens = self.tokenizer(prompt, truncation=True, max_length=length)
        return tuple(self.tokenizer.convert_ids_to_tokens(tokens.input_ids))

    @torch.no_grad()
    def context(self, prompts: Sequence[str]) -> Tensor:
        """(B, L, C) of the text encoder, padded to the tokenizer's length, on its device."""
        tokens = self.tokenizer(
            list(prompts),
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).to(self.text_encoder.device)
        masked = getattr(self.text_encoder.config, "use_attention_mask", None)
        return self.text_encoder(tokens.input_ids, tokens.attention_mask if masked else None)[0]

    # ---- pictures, which may be on any device: what is made of them comes back to theirs

    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in 0..1 -> latents (B, c, s, s), the mean of the VAE's posterior;
        differentiable.
        """
        moments = self.vae.encode((2 * pictures - 1).to(self.vae.device, self.vae.dtype))
        return (moments.latent_dist.mode() * self.vae.config.scaling_factor).to(pictures)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, c, s, s) -> pictures (B, 3, S, S) in 0..1."""
        scaled = latents / self.vae.config.scaling_factor
        pictures = self.vae.decode(scaled.to(self.vae.device, self.vae.dtype)).sample
        return (0.5 * pictures + 0.5).clamp(0, 1).to(latents)

    # ---- the network

    def noise(
        self,
        x_t: Tensor,
        step: Tensor,
        context: Tensor,
        gain: Tensor | None = None,
        masked: Tensor | None = None,
    ) -> Tensor:
        """The noise (B, c, s, s) in ``x_t`` at ``step`` (B,) int64; ``gain`` (B, L) as in
        ``ImagePrior``. ``masked`` (B, 1 + c, s, s) is for UNets that inpaint: the mask and the
        latents of the masked picture; None = all is hidden.
        """
        inputs = x_t
        if self.inpaints:
            hidden = self._all_hidden(x_t) if masked is None else masked.to(x_t)
            inputs = torch.cat([x_t, hidden], dim=1)
        dtype = self.unet.dtype
        device = self.unet.device
        words = context.to(device, dtype)
        with _louder(self.unet, gain):
            output = self.unet(
                inputs.to(device, dtype), step.to(device), encoder_hidden_states=words
            )
        said = output.sample.to(x_t)
        if self.says == "epsilon":
            return said
        signal = self.schedule.signal()[step.cpu()]  # float64, which not every device has
        return noise_from_velocity(x_t, said, signal)

    @torch.no_grad()
    def _all_hidden(self, x_t: Tensor) -> Tensor:
        picture = torch.full((1, 3, self.size, self.size), 0.5, device=x_t.device)
        grey = self.encode(picture).expand(len(x_t), -1, -1, -1)
        return torch.cat([torch.ones_like(grey[:, :1]), grey], dim=1).to(x_t)

    @torch.no_grad()
    def inpaint(
        self,
        pictures: Tensor,
        masks: Tensor,
        prompts: Sequence[str],
        seeds: Sequence[int],
        steps: int = 30,
        guidance: float = 7.5,
    ) -> Tensor:
        """Pictures (B, 3, S, S) in 0..1 with the pixels under ``masks`` (B, 1, S, S), 1 = to be
        filled, made by the model.
        """
        hole = masks > 0.5
        known = self.encode(torch.where(hole, torch.full_like(pictures, 0.5), pictures))
        # a latent that sees any of the hole is to be made
        filled = F.max_pool2d(hole.to(known.dtype), self.reduction)
        context = self.context([*prompts, *[""] * len(prompts)])
        twice = None
        if self.inpaints:
            small = F.interpolate(hole.to(known.dtype), known.shape[-2:], mode="nearest")
            twice = torch.cat([small, known], dim=1).repeat(2, 1, 1, 1)
        noise = partial(self.noise, context=context, masked=twice)

        def predict(x: Tensor, step: int) -> Tensor:
            at = torch.full((len(x),), step, device=x.device)
            guided = guided_noise(noise, x, at, guidance)
            if self.inpaints:
                return guided
            return torch.where(filled > 0.5, guided, self._noise_of(x, known, step))

        start = seeded_noise(known.shape[1:], seeds).to(known)
        return torch.where(hole, self.decode(ddim(predict, start, self.schedule, steps)), pictures)

    def _noise_of(
        self,
        x_t: Tensor,
        data: Tensor,
        step: int,
    ) -> Tensor:
        """The noise that turns known latents into ``x_t``; a sampler that is told this arrives at
        these latents.
        """
        signal = self.schedule.signal()[step].to(x_t)
        return (x_t - signal.sqrt() * data) / (1 - signal).sqrt()


@contextlib.contextmanager
def _louder(unet: PipelineNetwork, gain: Tensor | None) -> Iterator[None]:
    """Multiply the values of each word in all cross-attentions (attn2) by ``gain`` (B, L) while
    this lasts; None changes nothing.
    """
    if gain is None:
        yield
        return

    def louder(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        return output * gain[..., None].to(output)

    with contextlib.ExitStack() as hooks:
        for name, module in unet.named_modules():
            if name.endswith("attn2"):
                to_values = of_kind(module.to_v, nn.Module)
                hooks.callback(to_values.register_forward_hook(louder).remove)
        yield


def open_prior(folder: StrPath, device: torch.device | str = "cpu") -> ImagePrior:
    """The Stable Diffusion pipeline (1.x or 2.x, also one for inpainting) of a local folder, in
    half precision on GPUs.

    The folder is one that diffusers saves, with safetensors. Raises MissingExtraError and
    CheckpointError.
    """
    folder = Path(folder)
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(
            f"{folder} holds no diffusers pipeline (model_index.json is missing); pass the folder "
            "of one, such as what `hf download` of a Stable Diffusion repository leaves"
        )
    lacking = [f"it lacks {name}/" for name in PARTS if not (folder / name).is_dir()]
    if (folder / "text_encoder_2").is_dir():
        lacking.append("it has two text encoders")
    if lacking:
        raise CheckpointError(
            f"{folder} is no Stable Diffusion 1 or 2 pipeline ({lacking[0]}); choose one of those"
        )
    try:
        import diffusers
        import transformers
    except ImportError as error:
        raise MissingExtraError(
            f"a Stable Diffusion pipeline needs diffusers and transformers: {INSTALL}"
        ) from error

    def opened(kind: Any, name: str) -> Any:
        part = folder / name
        return kind.from_pretrained(part, **_variant(part), local_files_only=True)

    try:
        unet = opened(diffusers.UNet2DConditionModel, "unet")
        vae = opened(diffusers.AutoencoderKL, "vae")
        text_encoder = opened(transformers.CLIPTextModel, "text_encoder")
        tokenizer = transformers.CLIPTokenizer.from_pretrained(
            str(folder / "tokenizer"), local_files_only=True
        )
        scheduler = diffusers.DDPMScheduler.from_pretrained(
            folder / "scheduler", local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise CheckpointError(
            f"{folder} cannot be read as a Stable Diffusion pipeline with safetensors: "
            f"{lines[0][:200]}"
        ) from error
    on_processor = torch.device(device).type == "cpu"
    dtype = torch.float32 if on_processor else torch.float16
    unet, vae, text_encoder = (part.to(device, dtype) for part in (unet, vae, text_encoder))
    return DiffusersPrior(unet, vae, text_encoder, tokenizer, scheduler)


def _variant(folder: Path) -> JsonObject:
    """How to ask for the files of a part: the plain ones, or those of half precision where only
    these are.
    """
    names = [path.name for path in folder.glob("*.safetensors")]
    half = bool(names) and all(".fp16." in name for name in names)
    return {"use_safetensors": True, **({"variant": "fp16"} if half else {})}
