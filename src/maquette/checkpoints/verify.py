"""Proof that a network computes what the original computed: a folder with a configuration, weights,
inputs and recorded outputs.

In the flow: config.json + model.safetensors + io.npz -> build, load strictly, run, compare. The
folders in tests/golden were made with the original implementations; anybody can make one of a
checkpoint of their own.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from maquette.checkpoints.layouts import read_config, read_tensors
from maquette.checkpoints.published.base import (
    Config,
    PublishedModel,
    Tensors,
    bounded,
    check_shapes,
    check_sizes,
    check_steps,
    class_name,
)
from maquette.checkpoints.published.families import FAMILIES
from maquette.containers import MemoryBudget, read_npz
from maquette.errors import CheckpointError, InputError, contained
from maquette.types import StrPath

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
RECORD = "io.npz"


@dataclass(frozen=True)
class Comparison:
    """One recorded output."""

    output: str
    error: float  # largest absolute difference; nan when it was not computed
    tolerance: float
    skipped: str = ""  # why it is not compared

    @property
    def share(self) -> float:
        """Of the tolerance that the error takes; infinite when it was not computed."""
        return self.error / self.tolerance if self.error == self.error else math.inf

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; a skipped output passes."""
        return bool(self.skipped) or self.error <= self.tolerance


@dataclass(frozen=True)
class Verification:
    """One folder."""

    folder: str
    model: str
    comparisons: tuple[Comparison, ...]
    problem: str = ""  # why nothing could be compared

    @property
    def passed(self) -> bool:
        """Whether every output is within its tolerance."""
        return not self.problem and all(c.passed for c in self.comparisons)

    @property
    def worst(self) -> Comparison | None:
        """The comparison that is nearest to its tolerance, or farthest beyond."""
        compared = [c for c in self.comparisons if not c.skipped]
        return max(compared, key=lambda c: c.share, default=None)


def model_of(config: Config, where: StrPath) -> PublishedModel:
    """The published model that a configuration names; CheckpointError lists the known classes."""
    for family in FAMILIES:
        for model in family.MODELS:
            if model.answers(config):
                return model
    known = sorted(name for family in FAMILIES for model in family.MODELS for name in model.classes)
    raise CheckpointError(
        f"{where}: unknown model class {class_name(config)!r}; known are {', '.join(known)}"
    )


def read_record(path: Path) -> dict[str, Tensor]:
    """Inputs and outputs of an io.npz; half precision becomes float32, other types stay. Raises
    CheckpointError.
    """
    try:
        arrays = read_npz(path, path, MemoryBudget())
    except InputError as error:
        raise CheckpointError(f"{error}") from error
    with contained(f"{path}: not arrays of numbers", "record them again", CheckpointError):
        tensors = {}
        for name, array in arrays.items():
            single = array.astype(np.float32) if array.dtype == np.float16 else array
            tensors[name] = torch.from_numpy(single)
        return tensors


def verify(folder: StrPath) -> Verification:
    """Build, load, run and compare, in float32 on the CPU. Raises InputError without a record or
    when it does not suit the network, CheckpointError for what is damaged and for other weights.
    """
    folder = Path(folder)
    if not (folder / CONFIG).is_file() or not (folder / RECORD).is_file():
        raise InputError(
            f"{folder}: expected {CONFIG}, {RECORD} and, for a network, {WEIGHTS}; "
            "see docs/published-models.md"
        )
    config = read_config(folder / CONFIG)
    model = model_of(config, folder / CONFIG)
    record = read_record(folder / RECORD)
    absent = sorted(model.inputs - set(record))
    if absent:
        raise InputError(
            f"{folder / RECORD}: lacks the inputs {', '.join(absent)} of {model.name}; add them"
        )
    with _named(folder / CONFIG):
        check_steps(config)
    network = _network(model, config, record, folder)
    given = {name: record[name] for name in model.inputs}
    unfit = f"{folder}: {model.name} cannot be run as {CONFIG} says on the inputs in {RECORD}"
    with contained(unfit, "record both again"), torch.inference_mode():
        computed = model.run(network, given, config)
    names = [name for name in record if name not in model.inputs]
    comparisons = tuple(compare(name, record[name], computed, model) for name in names)
    return Verification(str(folder), model.name, comparisons)


def _network(
    model: PublishedModel,
    config: Config,
    record: Tensors,
    folder: Path,
) -> nn.Module | None:
    """The loaded network, None for a mere procedure; it is built on the meta device first, where
    nonsense sizes take no memory. Raises CheckpointError.
    """
    if model.build is None:
        return None
    weights = folder / WEIGHTS
    tensors = read_tensors(weights)
    with _named(folder / CONFIG):
        check_sizes(config, {**record, **tensors})
    unfit = f"{folder / CONFIG}: makes no {model.name} for the weights"
    with contained(unfit, "pass the files of one model", CheckpointError):
        with torch.device("meta"), bounded():
            sizes = model.shapes(model.build(config))
        with _named(weights):
            check_shapes(sizes, tensors)
            network = model.build(config)
            model.load(network, tensors, torch.float32)
    return network


@contextlib.contextmanager
def _named(file: Path) -> Iterator[None]:
    """Put a file before what is wrong with it."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from error


def compare(
    name: str,
    expected: Tensor,
    computed: Mapping[str, Tensor],
    model: PublishedModel,
) -> Comparison:
    """One recorded output against the computed one; a missing output or another shape has no error
    and does not pass.
    """
    tolerance = model.tolerance(name)
    if name in model.skipped:
        return Comparison(name, math.nan, tolerance, model.skipped[name])
    found = computed.get(name)
    if found is None or found.shape != expected.shape:
        return Comparison(name, math.nan, tolerance)
    difference = (found.double() - expected.double()).abs().flatten()
    return Comparison(name, float(difference.max()) if len(difference) else 0.0, tolerance)
