"""The embedded text-to-image diffusion model: small pictures of objects from a sentence, with
attention to every single word.

In the flow: trained on renders with captions (train/text_to_image.py); ComboVerse (arXiv
2403.12409) fills hidden parts with it and asks it where objects belong (score distillation,
flow/distillation.py). It fulfils ``models.image_prior.ImagePrior``.

A UNet over 2 x 2 pixels at half, quarter and eighth resolution; at the eighth, transformer blocks.
Words enter through cross-attention only, so that multiplying a word's map is multiplying its
influence. As in published inpainting models, a masked picture and its mask are further input
channels; a mask of ones everywhere is text-to-image. The network says the angular velocity
(flow/ddpm.py), from which noise follows. B pictures, L words, S side in pixels, Q queries (cells),
H heads, C channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maquette.flow.ddpm import LinearSchedule, ddim, noise_from_velocity, table_for
from maquette.flow.guidance import guided_noise
from maquette.flow.sample import seeded_noise
from maquette.models.words import MARKER, PADDING, Vocabulary, tokenise
from maquette.nn.attention import CrossProjections, SelfAttention, merge_heads
from maquette.nn.blocks import FeedForward, LayerNorm, TransformerBlock, to_grid, to_tokens
from maquette.nn.embeddings import TimestepEmbedder, learned_positions
from maquette.nn.layers import repeated, zero_init


@dataclass(frozen=True)
class TextToImageConfig:
    """Sizes; the default with the captions' vocabulary has 1.7 M parameters."""

    vocabulary: tuple[str, ...] = ()
    size: int = 64  # S
    length: int = 24  # L, the marker included
    word_width: int = 64
    word_blocks: int = 2
    word_heads: int = 4
    widths: tuple[int, int, int] = (48, 96, 128)  # at S / 2, S / 4, S / 8
    blocks: int = 4  # at S / 8
    heads: int = 4
    time_width: int = 96


@dataclass(frozen=True, eq=False)
class Words:
    """What cross-attention needs of a prompt."""

    tokens: Tensor  # (B, L, C)
    bias: Tensor  # (B, 1, 1, L) 0 at words, -inf at padding
    gain: Tensor | None = None  # (B, 1, 1, L)

    @classmethod
    def of(cls, context: Tensor, gain: Tensor | None) -> Words:
        """From contextual words (B, L, C + 1), whose last channel is 1 at words, and (B, L)."""
        bias = context[:, None, None, :, -1].float().log()
        if gain is not None:
            gain = gain[:, None, None, :]
        return cls(context[..., :-1], bias, gain)


def _weights(query: Tensor, key: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    """(B, H, Q, L) softmax maps in float32."""
    logits = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    return (logits.float() + bias).softmax(-1)


def _attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    external: object = None,
    bias: Tensor | float = 0.0,
) -> Tensor:
    """Plan: a sequence's own tokens, in two matrix products; for so few tokens they train twice as
    fast as the fused kernel.
    """
    return _weights(query, key, bias).to(value.dtype) @ value


class WordEncoder(nn.Module):
    """Numbers of words -> (B, L, C + 1) contextual words; the last channel is 1 where there is a
    word and 0 at padding.
    """

    def __init__(self, config: TextToImageConfig, count: int):
        super().__init__()
        width = config.word_width
        self.embedding = nn.Embedding(count, width)
        self.position = learned_positions(config.length, width)
        self.blocks = repeated(config.word_blocks, TransformerBlock, width, config.word_heads, 2.0)
        self.norm = LayerNorm(width)
        nn.init.normal_(self.embedding.weight, std=0.3)

    def forward(self, numbers_BL: Tensor) -> Tensor:
        """(B, L) int64 -> (B, L, C + 1); words do not see the padding."""
        flag = (numbers_BL != PADDING).float()[..., None]
        among_words = partial(_attend, bias=flag.log()[:, None, None, :, 0])
        x = self.embedding(numbers_BL) + self.position
        for block in self.blocks:
            x = block(x, among_words)
        return torch.cat([self.norm(x) * flag, flag], dim=-1)


class WordAttention(CrossProjections):
    """Cross-attention to words whose maps can be multiplied."""

    def forward(self, x_BQC: Tensor, words: Words) -> Tensor:
        """(B, Q, C) -> (B, Q, C)."""
        key, value = self.keys_values(words.tokens)
        weights = _weights(self.query(x_BQC), key, words.bias)
        if words.gain is not None:
            weights = weights * words.gain
        return self.to_out(merge_heads(weights.to(value.dtype) @ value))


class _TimedResBlock(nn.Module):
    """Residual block of two 3 x 3 convolutions; the noise level scales and shifts between them."""

    def __init__(self, channels: int, time_width: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(8, channels)
        self.norm2 = nn.GroupNorm(8, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = zero_init(nn.Conv2d(channels, channels, 3, padding=1))
        self.modulation = zero_init(nn.Linear(time_width, 2 * channels))

    def forward(self, x: Tensor, time_BC: Tensor) -> Tensor:
        scale, shift = self.modulation(time_BC)[:, :, None, None].chunk(2, dim=1)
        hidden = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(hidden) * (1 + scale) + shift))


class _WordLayer(nn.Module):
    """Adds what the words say to a picture of features."""

    def __init__(
        self,
        channels: int,
        word_width: int,
        heads: int,
    ):
        super().__init__()
        self.norm = LayerNorm(channels)
        self.attention = WordAttention(channels, word_width, heads)

    def forward(self, x: Tensor, words: Words) -> Tensor:
        return x + to_grid(self.attention(self.norm(to_tokens(x)), words), x.shape[2:])


class _MiddleBlock(nn.Module):
    """Self-attention (modulated by the noise level), attention to words, feed-forward."""

    def __init__(
        self,
        width: int,
        word_width: int,
        heads: int,
        time_width: int,
    ):
        super().__init__()
        self.norm1 = LayerNorm(width, elementwise_affine=False)
        self.norm2 = LayerNorm(width)
        self.norm3 = LayerNorm(width)
        self.modulation = zero_init(nn.Linear(time_width, 2 * width))
        self.among = SelfAttention(width, heads)
        self.words = WordAttention(width, word_width, heads)
        self.mlp = FeedForward(width, 2.0)

    def forward(
        self,
        x: Tensor,
        time_BC: Tensor,
        words: Words,
    ) -> Tensor:
        scale, shift = self.modulation(time_BC)[:, None].chunk(2, dim=-1)
        x = x + self.among(self.norm1(x) * (1 + scale) + shift, _attend)
        x = x + self.words(self.norm2(x), words)
        return x + self.mlp(self.norm3(x))


class TextToImage(nn.Module):
    """The embedded image prior. Latents are the pictures themselves, scaled to -1..1."""

    def __init__(self, config: TextToImageConfig | None = None):
        super().__init__()
        self.config = config = config or TextToImageConfig()
        self.schedule = LinearSchedule()
        self.vocabulary = Vocabulary(config.vocabulary)
        fine, middle, coarse = config.widths
        time = config.time_width
        word = config.word_width
        heads = config.heads
        self.encoder = WordEncoder(config, len(self.vocabulary))
        self.time = TimestepEmbedder(time, 128)
        self.enter = nn.Conv2d(7 * 4, fine, 3, padding=1)
        self.down0 = _TimedResBlock(fine, time)
        self.down1 = _TimedResBlock(middle, time)
        self.to_middle = nn.Conv2d(fine, middle, 2, stride=2)
        self.to_coarse = nn.Conv2d(middle, coarse, 2, stride=2)
        self.down_words = _WordLayer(middle, word, heads)
        self.up_words = _WordLayer(middle, word, heads)
        self.position = learned_positions((config.size // 8) ** 2, coarse)
        self.middle = repeated(config.blocks, _MiddleBlock, coarse, word, heads, time)
        self.from_coarse = nn.Conv2d(coarse, middle, 1)
        self.from_middle = nn.Conv2d(middle, fine, 1)
        self.up1 = _TimedResBlock(middle, time)
        self.up0 = _TimedResBlock(fine, time)
        self.last = _TimedResBlock(fine, time)
        leave = zero_init(nn.Conv2d(fine, 3 * 4, 3, padding=1))
        self.leave = nn.Sequential(nn.GroupNorm(8, fine), nn.SiLU(), leave)

    @property
    def size(self) -> int:
        """S."""
        return self.config.size

    @property
    def device(self) -> torch.device:
        """Where the network is. What it is given may be elsewhere; results go back there."""
        return self.position.device

    # ---- words

    def words(self, prompt: str) -> tuple[str, ...]:
        """The marker and the prompt's words, at most L."""
        return (MARKER, *tokenise(prompt))[: self.config.length]

    def context(self, prompts: Sequence[str]) -> Tensor:
        """(B, L, C + 1) contextual words of prompts; the last channel is 1 where there is a word.
        "" is the marker alone.
        """
        numbers = [self.vocabulary.numbers(prompt, self.config.length) for prompt in prompts]
        return self.encoder(torch.tensor(numbers, device=self.device))

    # ---- pictures

    def encode(self, pictures: Tensor) -> Tensor:
        """(B, 3, S, S) in 0..1 -> -1..1."""
        return 2 * pictures - 1

    def decode(self, latents: Tensor) -> Tensor:
        """(B, 3, S, S) about -1..1 -> 0..1."""
        return (0.5 * latents + 0.5).clamp(0, 1)

    # ---- the network

    def velocity(
        self,
        x_t: Tensor,
        step: Tensor,
        context: Tensor,
        gain: Tensor | None = None,
        masked: Tensor | None = None,
    ) -> Tensor:
        """The angular velocity (B, 3, S, S) of ``x_t`` (B, 3, S, S) at ``step`` (B,) int64.

        ``context`` (B, L, C + 1) and ``gain`` (B, L) as in ``noise``; ``masked`` (B, 4, S, S) is a
        picture in -1..1 that is 0 under its mask, and the mask (``hidden``), None for a mask of
        ones.
        """
        home = x_t.device
        if masked is None:
            masked = torch.cat([torch.zeros_like(x_t), torch.ones_like(x_t[:, :1])], dim=1)
        seen = torch.cat([x_t, masked.to(x_t)], dim=1).to(self.device)
        gain = None if gain is None else gain.to(self.device)
        words = Words.of(context.to(self.device), gain)
        time = self.time(self.schedule.level(step.to(self.device)))
        x = F.pixel_unshuffle(seen, 2).contiguous(memory_format=torch.channels_last)
        fine = self.down0(self.enter(x), time)
        middle = self.down_words(self.down1(self.to_middle(fine), time), words)
        coarse = self.to_coarse(middle)
        tokens = to_tokens(coarse) + self.position
        for block in self.middle:
            tokens = block(tokens, time, words)
        coarse = self.from_coarse(to_grid(tokens, coarse.shape[2:]))
        middle = self.up1(middle + F.interpolate(coarse, scale_factor=2.0), time)
        middle = self.from_middle(self.up_words(middle, words))
        fine = self.up0(fine + F.interpolate(middle, scale_factor=2.0), time)
        return F.pixel_shuffle(self.leave(self.last(fine, time)), 2).to(home)

    def noise(
        self,
        x_t: Tensor,
        step: Tensor,
        context: Tensor,
        gain: Tensor | None = None,
        masked: Tensor | None = None,
    ) -> Tensor:
        """The noise (B, 3, S, S) in ``x_t`` at ``step`` (B,) int64; ``gain`` (B, L) multiplies the
        map of each word (ImagePrior), ``masked`` as in ``velocity``.
        """
        velocity = self.velocity(x_t, step, context, gain, masked)
        signal = table_for(x_t, self.schedule.signal())[step.to(x_t.device)]
        return noise_from_velocity(x_t, velocity.to(x_t.dtype), signal)

    # ---- pictures from words

    def generate(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        steps: int = 30,
        guidance: float = 7.5,
    ) -> Tensor:
        """Pictures (B, 3, S, S) in 0..1 of prompts, one seed each: DDIM with classifier-free
        guidance.
        """
        size = self.config.size
        blank = torch.zeros(len(prompts), 4, size, size, device=self.device)
        blank[:, 3] = 1
        return self.decode(self._sample(blank, prompts, seeds, steps, guidance))

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
        given = hidden(self.encode(pictures), masks).to(self.device)
        made = self.decode(self._sample(given, prompts, seeds, steps, guidance))
        return torch.where(masks > 0.5, made.to(pictures.device), pictures)

    @torch.no_grad()
    def _sample(
        self,
        masked: Tensor,
        prompts: Sequence[str],
        seeds: Sequence[int],
        steps: int,
        guidance: float,
    ) -> Tensor:
        context = self.context([*prompts, *[""] * len(prompts)])
        noise = partial(self.noise, context=context, masked=masked.repeat(2, 1, 1, 1))

        def predict(x: Tensor, step: int) -> Tensor:
            steps_B = torch.full((len(x),), step, device=x.device)
            return guided_noise(noise, x, steps_B, guidance)

        start = seeded_noise((3, self.size, self.size), seeds).to(masked.device)
        return ddim(predict, start, self.schedule, steps, bound=1.0)


def hidden(pictures: Tensor, masks: Tensor) -> Tensor:
    """(B, 4, S, S): pictures (B, 3, S, S) in -1..1 set to 0 under masks (B, 1, S, S) of 1 = to be
    filled, and the masks.
    """
    covered = (masks > 0.5).to(pictures.dtype)
    return torch.cat([pictures * (1 - covered), covered], dim=1)
