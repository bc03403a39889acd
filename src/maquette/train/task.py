"""What the loop trains: the protocol of a task, and how its samples become batches.

In the flow: samples (dicts of tensors) -> ``collate`` -> a batch -> ``on_device`` -> the task's
loss. Functions that collate are plain ones, for they travel to the processes that prepare data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from maquette.errors import CheckpointError

Sample = dict[str, Tensor]
Batch = dict[str, Any]  # tensors, and lists of numbers that the processor needs itself
Parts = dict[str, Tensor]  # scalars
LossAndParts = tuple[Tensor, Parts]
Scores = dict[str, float]
ScoresAndPicture = tuple[Scores, np.ndarray | None]  # the picture is (H, W, 3) uint8


Net = TypeVar("Net", bound=nn.Module)


class Task(Protocol, Generic[Net]):
    """What is trained: the model, its samples, its loss and its examination on held-out data."""

    model: Net  # what is optimised and saved
    frozen: Sequence[nn.Module] = ()  # networks that the loss needs besides
    dataset: Dataset  # map-style over any non-negative index; a sample depends only on the index
    collate: Callable[[list[Any]], Batch]  # a plain function: it is sent to other processes

    def loss(
        self,
        model: Net,
        batch: Batch,
        generator: torch.Generator,
    ) -> LossAndParts:
        """The scalar to minimise, and named scalars without gradients for the log.

        Nothing in it should wait for the device: the scalars are read every few steps only.
        """

    def examine(self, model: Net) -> ScoresAndPicture:
        """Scores on held-out data, and a picture of some of them."""

    def finish(self, model: Net) -> None:
        """Last change to the averaged weights before they are saved (such as latent statistics)."""
        return None


def of_class(network: object, wanted: type[Net]) -> Net:
    """The network, known to be of a class; CheckpointError when its file holds another one."""
    if not isinstance(network, wanted):
        raise CheckpointError(
            f"the weights are of a {type(network).__name__}, expected a {wanted.__name__}; "
            "give the file of another network"
        )
    return network


def fixed(network: Net) -> Net:
    """The network for use only: nothing trains it."""
    return network.eval().requires_grad_(False)


def stacked(samples: list[Sample]) -> Batch:
    """Samples of equal shapes, one after the other along a new first dimension."""
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


def concatenated(samples: list[Sample]) -> Batch:
    """Samples of several rows each; the rows of all of them, one after the other."""
    return {name: torch.cat([sample[name] for sample in samples]) for name in samples[0]}


def scenes_of_rows(samples: list[Sample], scenes: str) -> Tensor:
    """``scene_of`` of all rows of the samples, which counts on after each one's ``scenes``."""
    starts = np.cumsum([0] + [len(sample[scenes]) for sample in samples[:-1]])
    return torch.cat([sample["scene_of"] + int(start) for sample, start in zip(samples, starts)])


def picture_of(sheet: Tensor) -> np.ndarray:
    """(H, W, 3) uint8 of colours (3, H, W) in -1..1."""
    levels = (sheet.permute(1, 2, 0).numpy() + 1) * 127.5
    return levels.clip(0, 255).astype(np.uint8)


def on_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on a device; lists stay with the processor."""
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }


def device_of(model: nn.Module) -> torch.device:
    """Where a network is."""
    return next(model.parameters()).device


def detached(parts: Parts) -> Parts:
    """Parts of a loss for the log."""
    return {name: part.detach() for name, part in parts.items()}


class HeldOut:
    """The first samples of a data set as one batch, made when it is first asked for and kept."""

    def __init__(
        self,
        samples: Dataset,
        count: int,
        collate: Callable[[list[Any]], Batch],
    ):
        self.samples = samples
        self.count = count
        self.collate = collate
        self._batch: Batch | None = None

    def batch(self, device: torch.device) -> Batch:
        """The batch on a device."""
        if self._batch is None:
            self._batch = self.collate([self.samples[i] for i in range(self.count)])
        return on_device(self._batch, device)
