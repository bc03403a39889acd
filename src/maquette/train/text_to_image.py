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

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.utils.data import Dataset

from maquette.data.captions import things_of
from maquette.data.layout import Catalogue
from maquette.data.pictures import CaptionedPicture, crop_of_view, single_object
from maquette.flow.ddpm import add_noise, angular_velocity, noise_from_velocity
from maquette.models.sentences import COMPLETION, VOCABULARY
from maquette.models.text_to_image import TextToImage, TextToImageConfig, hidden
from maquette.models.words import Vocabulary
from maquette.train.sequences import ViewSource
from maquette.train.sources import Sources
from maquette.train.stored import StoredViews

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


class CaptionedPictures(Dataset):
    """Groups of pictures (G, 3, S, S) and holes (G, 1, S, S), uint8, and numbers of words (G, L);
    sample i depends on (seed, i) only.
    """

    def __init__(
        self, source: ViewSource, catalogue: Catalogue, config: TextToImageConfig, seed: int = 0
    ):
        self.source = source
        self.catalogue = catalogue
        self.config = config
        self.seed = seed
        self.vocabulary = Vocabulary(config.vocabulary)

    def __len__(self) -> int:
        return 2**31

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        samples = self.samples(index)
        pictures = np.stack([s.picture for s in samples]).transpose(0, 3, 1, 2)
        return {
            "pictures": torch.from_numpy(np.ascontiguousarray(pictures)),
            "holes": torch.from_numpy(
                np.stack([s.hole for s in samples])[:, None].astype(np.uint8)
            ),
            "words": torch.tensor(
                [self.vocabulary.numbers(s.caption, self.config.length) for s in samples]
            ),
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
        assets = (
            self.catalogue.asset(int(k)) for k in rng.integers(len(self.catalogue), size=SINGLES)
        )
        return found[:CROPS] + [single_object(asset, rng, self.config.size) for asset in assets]


class TextToImageTask:
    """Train TextToImage."""

    text_dropped = 0.1

    def __init__(self, model: TextToImage, sources: Sources, seed: int = 0):
        self.model = model.to(memory_format=torch.channels_last)
        views = sources.views
        if isinstance(views, StoredViews):
            views = dataclasses.replace(views, geometry=False)
        self.dataset = CaptionedPictures(views, Catalogue.of(sources.library), model.config, seed)
        unseen = Catalogue.of(sources.held_out)
        self.held_out = CaptionedPictures(sources.unseen, unseen, model.config, seed + 1)
        self._examination: dict[str, Tensor] | None = None

    def collate(self, samples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """All pictures of all groups in one batch."""
        return {name: torch.cat([s[name] for s in samples]) for name in samples[0]}

    def loss(
        self, model: TextToImage, batch: dict[str, Tensor], generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """Mean squared error of the angular velocity at one random step for each picture."""
        device = batch["pictures"].device
        count = len(batch["pictures"])
        steps = torch.randint(model.schedule.steps, (count,), generator=generator).to(device)
        kept = (torch.rand(count, generator=generator) >= self.text_dropped).to(device)
        words = torch.where(
            kept[:, None],
            batch["words"],
            torch.tensor(model.vocabulary.numbers("", model.config.length), device=device),
        )
        error = self._errors(model, batch, words, steps, generator)[0].mean()
        return error, {"velocity": float(error.detach())}

    def _errors(
        self,
        model: TextToImage,
        batch: dict[str, Tensor],
        words: Tensor,
        steps: Tensor,
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor]:
        """(B,) squared errors of the velocity and of the noise."""
        pictures = model.encode(batch["pictures"].float() / 255)
        masked = hidden(pictures, batch["holes"].float())
        noise = torch.randn(pictures.shape, generator=generator).to(pictures)
        signal = model.schedule.signal().to(pictures.device)[steps]
        x_t = add_noise(pictures, noise, signal)
        velocity = model.velocity(x_t, steps, model.encoder(words), masked=masked).float()
        off = (velocity - angular_velocity(pictures, noise, signal)).square().flatten(1).mean(1)
        return off, (noise_from_velocity(x_t, velocity, signal) - noise).square().flatten(1).mean(1)

    @torch.no_grad()
    def examine(self, model: TextToImage) -> tuple[dict[str, float], np.ndarray | None]:
        """Error of the noise on pictures of held-out objects: with their captions, with those of
        others; and a sheet of samples.
        """
        device = next(model.parameters()).device
        if self._examination is None:
            self._examination = self.collate([self.held_out[i] for i in range(16)])
        batch = {name: values.to(device) for name, values in self._examination.items()}
        whole = batch | {
            "holes": torch.ones_like(batch["holes"])
        }  # text-to-image: nothing but the words is known
        scores = {}
        for name, words in (
            ("noise", batch["words"]),
            ("noise_shuffled", batch["words"].roll(7, 0)),
        ):
            generator = torch.Generator().manual_seed(0)
            per_step = [
                self._errors(
                    model, whole, words, torch.full((len(words),), step, device=device), generator
                )
                for step in STEPS
            ]
            scores[name] = float(torch.stack([noise for _, noise in per_step]).mean())
            scores[name.replace("noise", "velocity")] = float(
                torch.stack([velocity for velocity, _ in per_step]).mean()
            )
        scores["words_help"] = scores["velocity_shuffled"] / scores["velocity"] - 1
        return scores, self._sheet(model, batch)

    def _sheet(self, model: TextToImage, batch: dict[str, Tensor]) -> np.ndarray:
        """Pictures of ``PROMPTS``, and some holes with what the model fills in: given, filled,
        truth.
        """
        device = batch["pictures"].device
        made = model.generate(PROMPTS, range(len(PROMPTS)), guidance=5.0)
        partly = torch.nonzero(batch["holes"].flatten(1).float().mean(1) < 1)[:6, 0]
        pictures = batch["pictures"][partly].float() / 255
        holes = batch["holes"][partly].float()
        filled = model.inpaint(
            pictures, holes, [COMPLETION] * len(partly), range(len(partly)), guidance=2.0
        )
        given = torch.where(
            holes > 0.5, torch.tensor([0.9, 0.2, 0.7], device=device).reshape(3, 1, 1), pictures
        )
        rows = [
            *zip(made, PROMPTS),
            *((p, "") for trio in zip(given, filled, pictures) for p in trio),
        ]
        return contact_sheet(
            [
                (picture.permute(1, 2, 0).mul(255).byte().cpu().numpy(), text)
                for picture, text in rows
            ]
        )

    def finish(self, model: TextToImage) -> None:
        """Nothing to measure."""


def new_text_to_image(tiny: bool = False) -> TextToImage:
    """The untrained network with the vocabulary of the captions."""
    sizes = (
        {
            "size": 32,
            "word_width": 16,
            "word_blocks": 1,
            "word_heads": 2,
            "widths": (8, 16, 16),
            "blocks": 1,
            "heads": 2,
            "time_width": 16,
        }
        if tiny
        else {}
    )
    return TextToImage(TextToImageConfig(VOCABULARY, **sizes))


def contact_sheet(
    pictures: Sequence[tuple[np.ndarray, str]], columns: int = 6, side: int = 160
) -> np.ndarray:
    """(H, W, 3) uint8 pictures (S, S, 3) uint8, enlarged, each with its text below."""
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (side + 8) + 8, rows * (side + 38) + 8), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (picture, text) in enumerate(pictures):
        x = 8 + number % columns * (side + 8)
        y = 8 + number // columns * (side + 38)
        sheet.paste(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC), (x, y))
        draw.multiline_text(
            (x, y + side + 2), "\n".join([text[:27], text[27:54]]), fill="black", font_size=11
        )
    return np.asarray(sheet)
