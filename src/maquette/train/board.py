"""Rows of a training log for TensorBoard, beside ``log.csv``: `maquette train --log tensorboard`,
then `tensorboard --logdir RUN`.

PyTorch's own writer does it; it needs the package tensorboard, which the extra of that name brings.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maquette.errors import MissingExtraError

FOLDER = "tensorboard"  # in the run's folder


class Board:
    """The curves and pictures of one run. ``step``: rows from there on, which a stopped run may
    have written already, are replaced. MissingExtraError without TensorBoard.
    """

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtraError(
                "--log tensorboard needs TensorBoard: pip install 'maquette[tensorboard]'"
            ) from error
        self.writer: Any = SummaryWriter(str(folder / FOLDER), purge_step=step or None)

    def add(self, row: Mapping[str, float]) -> None:
        """Every number of a row but its step, as a curve of its name."""
        step = int(row["step"])
        for name, value in row.items():
            if name != "step":
                group = "held out/" if name.startswith("held_out_") else "training/"
                self.writer.add_scalar(group + name.removeprefix("held_out_"), value, step)
        self.writer.flush()

    def show(self, picture: np.ndarray, step: int) -> None:
        """A picture (H, W, 3) uint8 of the examination."""
        self.writer.add_image("held out/samples", picture, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()
