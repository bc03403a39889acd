"""Who finds outlines in the app: the server's own proposer, or networks of others by their short
names. Folders and repositories are the command line's; a client names none.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from maquette.checkpoints.catalogue import HUB_MODELS, HubModel, hub_folder
from maquette.errors import InputError, require_extra
from maquette.masks.propose import MaskProposer
from maquette.options import EMBEDDED
from maquette.types import InstanceMask

DETECTOR = "grounding-dino"
TITLES = {
    "sam2.1": "SAM 2.1",
    "grounding-dino": "Grounding DINO",
    "mask2former": "Mask2Former",
}
FINDERS = {model.name: model for model in HUB_MODELS if model.gives in ("masks", "boxes")}

JsonObject = dict[str, Any]


def offered() -> list[JsonObject]:
    """All finders as JSON, the server's own first; ``bring`` says how to get what is not here."""
    own: JsonObject = {
        "name": EMBEDDED,
        "title": "Built in",
        "about": "best on plain backgrounds",
        "gives": "masks",
        "bring": "",
    }
    return [own, *(_offer(model) for model in FINDERS.values())]


def _offer(model: HubModel) -> JsonObject:
    return {
        "name": model.name,
        "title": TITLES.get(model.name, model.name),
        "about": model.what.partition(" ")[2],
        "gives": model.gives,
        "bring": "" if _is_here(model) else _how(model),
    }


def _is_here(model: HubModel) -> bool:
    with contextlib.suppress(InputError):
        hub_folder(model.name, gives=model.gives)
        return importlib.util.find_spec("transformers") is not None
    return False


def _how(model: HubModel) -> str:
    size = f"about {model.about / 1e6:.0f} MB, {model.licence}"
    return f"pip install 'maquette[hub]' && maquette models fetch {model.name}  ({size})"


@cache
def opened(name: str) -> MaskProposer:
    """A network that proposes masks. MissingExtraError, or InputError that says how to bring it."""
    _require(name, "masks")
    from maquette.checkpoints.mask_networks import open_proposer
    from maquette.hardware import choose_device

    return open_proposer(name, choose_device("auto"))


def named(
    image: np.ndarray,
    words: str,
    proposer: MaskProposer,
) -> Sequence[InstanceMask]:
    """Masks of what words, separated by commas, name in a photo (H, W, 3) uint8. Raises InputError,
    MissingExtraError.
    """
    _require(DETECTOR, "boxes")
    from maquette.checkpoints.mask_networks import find

    return find(image, words.split(","), DETECTOR, proposer)


def _require(name: str, gives: str) -> None:
    """MissingExtraError without the libraries, InputError for an unknown name."""
    known = [model.name for model in FINDERS.values() if model.gives == gives]
    if name not in known:
        raise InputError(f"unknown model {name!r}; choose one of {EMBEDDED}, {', '.join(known)}")
    then = f", then bring it with: maquette models fetch {name}"
    require_extra("transformers", f"finding objects by {name}", "hub", then)
