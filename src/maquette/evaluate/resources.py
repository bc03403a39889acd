"""What a method is made of, read from the files of its weights: parameters, size, and the training
that their headers record.

Stands beside the scores in the tables: a method may be better because it is larger or was trained
longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from safetensors import safe_open

from maquette.checkpoints.embedded import ModelSet, load_models
from maquette.evaluate.contestants import Contestant
from maquette.pipeline import PUBLISHED
from maquette.types import JsonObject


@dataclass(frozen=True)
class Network:
    """One file of weights. Steps and minutes are those of all trainings that its header tells of,
    one after the other.
    """

    kind: str
    sha256: str
    parameters: int  # numbers in the file; of a difference to another network only what differs
    bytes: int
    steps: int
    minutes: float
    processor: str  # of the last training


def networks_of(contestant: Contestant) -> list[Network]:
    """The networks of a generator with embedded or own weights, in the order in which it uses them;
    [] for any other contestant.

    Files that are not there are left out: without them the method fails, and its rows say so.
    """
    if contestant.kind != "generator" or contestant.method in PUBLISHED:
        return []
    models = load_models(contestant.weights)
    # once each: a method may use what perception uses, too
    kinds = dict.fromkeys(contestant.asked().kinds_of(models))
    return [read_network(models, kind) for kind in kinds if models.has(kind)]


def read_network(models: ModelSet, kind: str) -> Network:
    """Read what a file says of itself, and count its numbers. CheckpointError as when it is
    loaded.
    """
    checkpoint = models[kind]
    path = models.file(kind)
    with safe_open(path, framework="np") as file:
        names = file.keys()
        count = sum(prod(file.get_slice(name).get_shape()) for name in names)
    said = checkpoint.metadata
    earlier = said.get("trained_before", ())
    minutes = said.get("seconds", 0.0) / 60 + sum(part.get("minutes", 0) for part in earlier)
    steps = said.get("step", 0) + sum(part.get("steps", 0) for part in earlier)
    return Network(
        kind=kind,
        sha256=checkpoint.sha256,
        parameters=count,
        bytes=path.stat().st_size,
        steps=steps,
        minutes=round(minutes, 2),
        processor=_processor(said),
    )


def _processor(said: JsonObject) -> str:
    """On what, and on how many of it, weights were trained."""
    if "hardware" in said:
        return str(said["hardware"])
    if "device" not in said:
        return "-"
    count = said.get("processes", 1)
    return f"{count} {'process' if count == 1 else 'processes'} on {said['device']}"


def parameters(networks: Sequence[Network]) -> float:
    """Millions, of all networks together."""
    return sum(network.parameters for network in networks) / 1e6


def megabytes(networks: Sequence[Network]) -> float:
    """MB of 2^20 bytes, of all files together."""
    return sum(network.bytes for network in networks) / 2**20


def minutes(networks: Sequence[Network]) -> float:
    """Minutes of training, of all networks together."""
    return sum(network.minutes for network in networks)
