"""Who finds outlines in the app: the server's own proposer, or networks of others by their short
names. Folders and repositories are the command line's; a client names none.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from maquette.checkpoints.catalogue import HUB_MODELS, HubModel, hub_folder
from maquette.errors import InputError, present, require_extra
from maquette.masks.propose import MaskProposer
from maquette.masks.segment import ByColour
from maquette.options import EMBEDDED
from maquette.types import InstanceMask, JsonObject

DETECTOR = "grounding-dino"
TITLES = {
    "sam2.1": "SAM 2.1",
    "grounding-dino": "Grounding DINO",
    "mask2former": "Mask2Former",
}
FINDERS = {model.name: model for model in HUB_MODELS if model.gives in ("masks", "boxes")}


def offered() -> list[JsonObject]:
    """All finders as JSON, the server's own first; ``bring`` says how to get what is not here."""
    own: JsonObject = {
        "name": EMBEDDED,
        "title": "Built in",
        "about": "best where things stand apart",
        "gives": "masks",
        "size": "",
        "bring": "",
    }
    return [own, *(_offer(model) for model in FINDERS.values())]


def _offer(model: HubModel) -> JsonObject:
    shown = {
        "name": model.name,
        "title": TITLES.get(model.name, model.name),
        "gives": model.gives,
    }
    shown["about"] = model.what.partition(" ")[2]
    shown["size"] = f"about {model.about / 1e6:.0f} MB, {model.licence}"
    how = f"pip install 'maquette[hub]' && maquette models fetch {model.name}"
    shown["bring"] = "" if _is_here(model) else how
    return shown


def _is_here(model: HubModel) -> bool:
    with contextlib.suppress(InputError):
        hub_folder(model.name, gives=model.gives)
        return importlib.util.find_spec("transformers") is not None
    return False


@dataclass(frozen=True)
class Finders:
    """Who finds outlines. What needs torch is imported by them when they are called."""

    # the server's own, and a network by its name
    own: MaskProposer = ByColour
    opened: Callable[[str], MaskProposer] | None = None
    # masks of what words name in a photo (H, W, 3) uint8, within boxes of DETECTOR
    named: Callable[[np.ndarray, Sequence[str], MaskProposer], Sequence[InstanceMask]] | None = None

    def proposer(self, name: str) -> MaskProposer:
        """By a name of ``offered``. MissingExtraError, or InputError that says how to bring it."""
        if name == EMBEDDED:
            return self.own
        _require(name, "masks")
        return present(self.opened, "network")(name)

    def by_words(
        self,
        image: np.ndarray,
        words: str,
        name: str,
    ) -> Sequence[InstanceMask]:
        """Masks of what words, separated by commas, name in a photo. Raises InputError,
        MissingExtraError.
        """
        _require(DETECTOR, "boxes")
        return present(self.named, "detector")(image, words.split(","), self.proposer(name))


GRABCUT = Finders()  # no networks


def _require(name: str, gives: str) -> None:
    """MissingExtraError without the libraries, InputError for an unknown name."""
    known = [model.name for model in FINDERS.values() if model.gives == gives]
    if name not in known:
        raise InputError(f"unknown model {name!r}; choose one of {EMBEDDED}, {', '.join(known)}")
    then = f", then bring it with: maquette models fetch {name}"
    require_extra("transformers", f"finding objects by {name}", "hub", then)
