"""Task: the embedded text-to-image model. Pictures of random scenes and of single objects, their
captions, and holes to be filled.

A sample is a group of pictures of one view and a few single objects: reading a view costs more than
cropping it. The loss is the squared error of the angular velocity at a random step (flow/ddpm.py).
The text is dropped in 10 % of the pictures, for classifier-free guidance. The examination shows
whether the words matter: the error of the noise with the captions, and with those of other
pictures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.utils.data import Dataset

from maquette.data.captions import things_of
from maquette.data.catalogue import Catalogue
from maquette.data.pictures import CaptionedPicture, crop_of_view, single_object
from maquette.flow.ddpm import add_noise, angular_velocity, noise_from_velocity
from maquette.models.sentences import COMPLETION, VOCABULARY
from maquette.models.text_to_image import TextToImage, TextToImageConfig, hidden
from maquette.models.words import Vocabulary
from maquette.train.sources import Sources, ViewSource
from maquette.train.stored import StoredViews
from maquette.train.task import (
    Batch,
    HeldOut,
    LossAndParts,
    Sample,
    ScoresAndPicture,
    Task,
    concatenated,
    detached,
    device_of,
)

# pictures of a group: of its view, and of assets alone
CROPS = 4
SINGLES = 2
PROMPTS = (
    "a red chair",
    "a green tree",
    "a 3D model of a blue car",
    "a white house",
    "a brown table",
    "a red house behind a green tree",
    "a red box to the left of a blue box",
    "a blue box to the left of a red box",
    "a cup on a table",
    "a lamp next to a sofa",
    "two yellow balls",
    COMPLETION,
)
STEPS = (200, 400, 600, 800)  # of the examination
EXAMINED = 16  # held-out groups
# pixels of a contact sheet between pictures, and for the text below each of them
GAP = 8
TEXT_HEIGHT = 30


@dataclass(frozen=True, eq=False)
class CaptionedPictures(Dataset):
    """Groups of pictures (G, 3, S, S) and holes (G, 1, S, S), uint8, and numbers of words (G, L);
    sample i depends on (seed, i) only.
    """

    source: ViewSource
    catalogue: Catalogue
    config: TextToImageConfig
    seed: int = 0

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Numbers of the words."""
        return Vocabulary(self.config.vocabulary)

    def __getitem__(self, index: int) -> Sample:
        samples = self.samples(index)
        pictures = np.stack([s.picture for s in samples]).transpose(0, 3, 1, 2)
        holes = np.stack([s.hole for s in samples])[:, None]
        words = [self.vocabulary.numbers(s.caption, self.config.length) for s in samples]
        return {
            "pictures": torch.from_numpy(np.ascontiguousarray(pictures)),
            "holes": torch.from_numpy(holes.astype(np.uint8)),
            "words": torch.tensor(words),
        }

    def samples(self, index: int) -> list[CaptionedPicture]:
        """The pictures of a group."""
        rng = np.random.default_rng((self.seed, index, 11))
        found: list[CaptionedPicture] = []
        while len(found) < CROPS:
            view = self.source(rng)
            things = things_of(view, self.catalogue)
            crops = (crop_of_view(view, things, rng, self.config.size) for _ in range(CROPS))
            found += [crop for crop in crops if crop is not None]
        alone = rng.integers(len(self.catalogue), size=SINGLES).tolist()
        assets = [self.catalogue.asset(k) for k in alone]
        singles = [single_object(asset, rng, self.config.size) for asset in assets]
        return found[:CROPS] + singles


class TextToImageTask(Task[TextToImage]):
    """Train TextToImage."""

    text_dropped = 0.1
    collate = staticmethod(concatenated)

    def __init__(
        self,
        model: TextToImage,
        sources: Sources,
        seed: int = 0,
    ):
        # torch's stubs lack the overload
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        views = sources.views
        if isinstance(views, StoredViews):
            views = dataclasses.replace(views, geometry=False)
        self.dataset = CaptionedPictures(views, Catalogue.of(sources.library), model.config, seed)
        unseen = Catalogue.of(sources.held_out)
        held_out = CaptionedPictures(sources.unseen, unseen, model.config, seed + 1)
        self.examined = HeldOut(held_out, EXAMINED, self.collate)
        self.no_text = torch.tensor(model.vocabulary.numbers("", model.config.length))

    def loss(
        self,
        model: TextToImage,
        batch: Batch,
        generator: torch.Generator,
    ) -> LossAndParts:
        """Mean squared error of the angular velocity at one random step for each picture."""
        device = batch["pictures"].device
        count = len(batch["pictures"])
        steps = torch.randint(model.schedule.steps, (count,), generator=generator)
        kept = (torch.rand(count, generator=generator) >= self.text_dropped).to(device)
        words = torch.where(kept[:, None], batch["words"], self.no_text.to(device))
        noise = _noise(model, batch, generator)
        error = _errors(model, batch, words, steps, noise).velocity.mean()
        return error, detached({"velocity": error})

    @torch.no_grad()
    def examine(self, model: TextToImage) -> ScoresAndPicture:
        """Error of the noise on pictures of held-out objects: with their captions, with those of
        others; and a sheet of samples.
        """
        batch = self.examined.batch(device_of(model))
        # text-to-image: nothing but the words is known
        whole = batch | {"holes": torch.ones_like(batch["holes"])}
        scores = {}
        captions = {"": batch["words"], "_shuffled": batch["words"].roll(7, 0)}
        for name, words in captions.items():
            generator = torch.Generator().manual_seed(0)
            errors = []
            for step in STEPS:
                noise = _noise(model, whole, generator)
                errors.append(_errors(model, whole, words, torch.full((len(words),), step), noise))
            scores[f"noise{name}"] = float(torch.stack([e.noise for e in errors]).mean())
            scores[f"velocity{name}"] = float(torch.stack([e.velocity for e in errors]).mean())
        scores["words_help"] = scores["velocity_shuffled"] / scores["velocity"] - 1
        return scores, _sheet(model, batch)


@dataclass(frozen=True, eq=False)
class DenoisingErrors:
    """Squared errors of B pictures, each a mean over the picture."""

    velocity: Tensor  # (B,)
    noise: Tensor  # (B,)


def _noise(model: TextToImage, batch: Batch, generator: torch.Generator) -> Tensor:
    """Noise for the pictures of a batch, on their device."""
    return torch.randn(batch["pictures"].shape, generator=generator).to(batch["pictures"].device)


def _errors(
    model: TextToImage,
    batch: Batch,
    words: Tensor,
    steps: Tensor,
    noise: Tensor,
) -> DenoisingErrors:
    """Errors at ``steps`` (B,), which are with the processor."""
    pictures = model.encode(batch["pictures"].float() / 255)
    masked = hidden(pictures, batch["holes"].float())
    # float32, for not every device knows float64
    signal = model.schedule.signal()[steps].float().to(pictures.device)
    x_t = add_noise(pictures, noise, signal)
    context = model.encoder(words)
    velocity = model.velocity(x_t, steps.to(pictures.device), context, masked=masked).float()
    off = velocity - angular_velocity(pictures, noise, signal)
    wrong = noise_from_velocity(x_t, velocity, signal) - noise
    return DenoisingErrors(*(e.square().flatten(1).mean(1) for e in (off, wrong)))


def _sheet(model: TextToImage, batch: Batch) -> np.ndarray:
    """Pictures of ``PROMPTS``, and some holes with what the model fills in."""
    device = batch["pictures"].device
    made = model.generate(PROMPTS, range(len(PROMPTS)), guidance=5.0)
    hidden_share = batch["holes"].flatten(1).float().mean(1)
    partly = torch.nonzero(hidden_share < 1)[:6, 0]
    pictures = batch["pictures"][partly].float() / 255
    holes = batch["holes"][partly].float()
    sentences = [COMPLETION] * len(partly)
    filled = model.inpaint(pictures, holes, sentences, range(len(partly)), guidance=2.0)
    pink = torch.tensor([0.9, 0.2, 0.7], device=device).reshape(3, 1, 1)
    given = torch.where(holes > 0.5, pink, pictures)
    shown = list(zip(made, PROMPTS))
    for trio in zip(given, filled, pictures):
        shown += [(picture, "") for picture in trio]
    return contact_sheet([(_bytes(picture), text) for picture, text in shown])


def _bytes(picture: Tensor) -> np.ndarray:
    """(3, S, S) in [0, 1] -> (S, S, 3) uint8."""
    return picture.permute(1, 2, 0).mul(255).byte().cpu().numpy()


def new_text_to_image(tiny: bool = False) -> TextToImage:
    """The untrained network with the vocabulary of the captions."""
    if not tiny:
        return TextToImage(TextToImageConfig(VOCABULARY))
    config = TextToImageConfig(
        VOCABULARY,
        size=32,
        word_width=16,
        word_blocks=1,
        word_heads=2,
        widths=(8, 16, 16),
        blocks=1,
        heads=2,
        time_width=16,
    )
    return TextToImage(config)


def contact_sheet(
    pictures: Sequence[tuple[np.ndarray, str]], columns: int = 6, side: int = 160
) -> np.ndarray:
    """(H, W, 3) uint8 pictures (S, S, 3) uint8, enlarged, each with its text below."""
    rows = -(-len(pictures) // columns)
    across = side + GAP
    down = side + GAP + TEXT_HEIGHT
    sheet = Image.new("RGB", (columns * across + GAP, rows * down + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (picture, text) in enumerate(pictures):
        row, column = divmod(number, columns)
        x = GAP + column * across
        y = GAP + row * down
        larger = Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)
        sheet.paste(larger, (x, y))
        lines = f"{text[:27]}\n{text[27:54]}"
        draw.multiline_text((x, y + side + 2), lines, fill="black", font_size=11)
    return np.asarray(sheet)
