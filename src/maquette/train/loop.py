"""The one training loop: any task, CPU or GPU, one process or many (torchrun), resumable.

A sample depends only on (seed, index) and the noise of a step only on (seed, step), so a resumed
run continues exactly: on a processor, with as many processes as before, to the identical loss
curve. (Graphics cards add in any order, so there the curves are alike.) The run folder holds
``checkpoint.pt`` (everything to resume), ``weights.safetensors`` (the averaged weights, ready to
use), ``log.csv``, ``loss.png`` and pictures of the periodic evaluation.
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic

import numpy as np
import torch
from PIL import Image
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from maquette.checkpoints.store import Checkpoint, save_model
from maquette.errors import CheckpointError
from maquette.hardware import native_bf16
from maquette.nn.blocks import (
    ModulatedCrossBlock,
    ResBlock2d,
    ResBlock3d,
    TransformerBlock,
    VectorSetBlock,
)
from maquette.options.training import LoopConfig
from maquette.output import atomic_write, writable_folder
from maquette.train.board import Board
from maquette.train.muon import Muon
from maquette.train.plot import write_loss_plot
from maquette.train.ranks import Ranks
from maquette.train.task import Batch, LossAndParts, Net, Parts, Task, on_device
from maquette.types import JsonObject, StrPath

Log = Callable[[str], None]
Row = dict[str, float]  # of the log
BLOCKS = (ModulatedCrossBlock, ResBlock2d, ResBlock3d, TransformerBlock, VectorSetBlock)


def compile_blocks(model: nn.Module, **options: Any) -> nn.Module:
    """The same network with its blocks compiled, each when it is first called.

    Losses are not: they draw numbers and read sizes, which a compiler cannot look through.
    """
    for module in model.modules():
        if isinstance(module, BLOCKS):
            module.compile(**options)
    return model


class _Batches:
    """Batch ``b`` of rank ``r`` of ``w`` holds the samples ((b w + r) n ... + n - 1): the same data
    whatever was interrupted.
    """

    def __init__(
        self,
        first: int,
        size: int,
        ranks: Ranks,
    ):
        self.first = first
        self.size = size
        self.ranks = ranks

    def __iter__(self) -> Iterator[list[int]]:
        batch = self.first
        while True:
            start = (batch * self.ranks.world + self.ranks.rank) * self.size
            yield list(range(start, start + self.size))
            batch += 1


class _Loss(nn.Module):
    """A task's loss as a module, for that is what works on several processes."""

    def __init__(self, task: Task[Net], model: Net):
        super().__init__()
        self.model = model  # so that its weights belong to this module
        self.loss = partial(task.loss, model)

    def forward(self, batch: Batch, generator: torch.Generator) -> LossAndParts:
        return self.loss(batch, generator)


@dataclass
class _Progress:
    """What a run has behind it."""

    step: int = 0
    seconds: float = 0.0
    samples: int = 0


@dataclass
class _Timer:
    """Says when so many minutes are over."""

    minutes: float | None
    since: float = field(default_factory=time.monotonic)

    def over(self, seconds: float | None = None) -> bool:
        """Whether they are, by the clock or after so many ``seconds``."""
        passed = time.monotonic() - self.since if seconds is None else seconds
        return self.minutes is not None and passed > 60 * self.minutes

    def restart(self) -> None:
        """Begin anew."""
        self.since = time.monotonic()


class Run(Generic[Net]):
    """A training run in a folder. With ``base``, the weights file holds only what differs from that
    checkpoint.
    """

    def __init__(
        self,
        task: Task[Net],
        folder: StrPath,
        config: LoopConfig,
        device: str = "cpu",
        metadata: JsonObject | None = None,
        base: Checkpoint | None = None,
    ):
        self.task = task
        self.config = config
        self.folder = writable_folder(folder)
        self.ranks = Ranks.of_environment()
        self.device = self.ranks.device(device)
        self.metadata = metadata or {}
        self.base = base
        self.model = task.model.to(self.device)
        for network in task.frozen:
            network.to(self.device)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.progress = _Progress()
        self.rows: list[Row] = []
        self.board: Board | None = None
        native = config.precision == "auto" and native_bf16(self.device)
        self.bf16 = config.precision == "bf16" or native
        self.optimizer = self._optimizer()
        if config.compile:
            compile_blocks(self.model)
        self._loss: nn.Module = _Loss(task, self.model)
        self._unread: list[Parts] = []  # numbers of the steps since the last row
        self._rates: list[float] = []  # of these steps

    def _optimizer(self) -> torch.optim.Optimizer:
        """Weight decay is for matrices only."""
        c = self.config
        if c.optimizer == "muon":
            dtype = torch.bfloat16 if self.bf16 else torch.float32
            return Muon(self.model, c.learning_rate, c.weight_decay, dtype=dtype)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        matrices = [p for p in trained if p.ndim >= 2]
        vectors = [p for p in trained if p.ndim < 2]
        groups = [
            {"params": matrices, "weight_decay": c.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        fused = self.device.type == "cuda"
        return torch.optim.AdamW(
            groups,
            lr=c.learning_rate,
            betas=(0.9, 0.99),
            fused=fused,
        )

    # ---- saving and resuming

    def save(self) -> None:
        """Write everything needed to resume, the averaged weights, the log and its plot (rank 0
        only).
        """
        if self.ranks.rank:
            return
        state = {"model": self.model.state_dict(), "average": self.average.state_dict()}
        state["optimizer"] = self.optimizer.state_dict()
        state["progress"] = dataclasses.asdict(self.progress)
        with atomic_write(self.folder / "checkpoint.pt") as temporary:
            torch.save(state, temporary)
        finished = copy.deepcopy(self.average)
        self.task.finish(finished)
        save_model(
            self.folder / "weights.safetensors",
            finished,
            self.history(),
            base=self.base,
        )
        if self.rows:
            _write_rows(self.folder / "log.csv", self.rows)
            write_loss_plot(self.folder / "loss.png", self.rows)

    def history(self) -> JsonObject:
        """What the weights have behind them, for the file's header and the model card."""
        history = self.metadata | dataclasses.asdict(self.progress)
        history |= {"device": self.device.type, "processes": self.ranks.world}
        return history | {"loop": dataclasses.asdict(self.config)}

    def resume(self) -> None:
        """Continue from the folder's checkpoint, which every process has to see; CheckpointError
        when there is none or it is of another model.
        """
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            raise CheckpointError(
                f"nothing to resume: {path} does not exist; start without --resume"
            )
        state = torch.load(path, map_location=self.device, weights_only=True)
        try:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            reason = str(error)[:80]
            raise CheckpointError(
                f"{path} is of another model, --optimizer or settings; use another folder "
                f"({reason})"
            ) from error
        self.progress = _Progress(**state["progress"])
        known = _read_rows(self.folder / "log.csv")
        self.rows = [row for row in known if row["step"] <= self.progress.step]

    # ---- training

    def fraction_done(self) -> float:
        """How much of the run is over, in [0, 1]; decides the learning rate and the end."""
        c = self.config
        if c.minutes is not None:
            return min(1.0, self.progress.seconds / (60.0 * c.minutes))
        return min(1.0, self.progress.step / (c.steps or 1))

    def rate(self) -> float:
        """Learning rate: linear warm-up, constant, linear fall to zero over the last ``decay`` of
        the run.
        """
        warm = min(1.0, (self.progress.step + 1) / max(1, self.config.warmup))
        left = max(0.0, 1.0 - self.fraction_done())
        return self.config.learning_rate * warm * min(1.0, left / self.config.decay)

    def step(self, batch: Batch) -> None:
        """One update; its numbers are read later (``read``): nothing waits for the device."""
        seed = (self.config.seed * 1_000_003 + self.progress.step) * 257 + self.ranks.rank
        generator = torch.Generator().manual_seed(seed)
        rate = self.rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss, numbers = self._loss(on_device(batch, self.device), generator)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        overflow = ~torch.isfinite(norm)
        for parameter in self.model.parameters():  # a rare overflow must not poison the weights
            if parameter.grad is not None:
                parameter.grad.masked_fill_(overflow, 0.0)
        self.optimizer.step()
        self._average_weights()
        self.progress.step += 1
        self.progress.samples += self.config.batch * self.ranks.world
        self._unread.append(
            {
                "loss": loss.detach(),
                **numbers,
                "gradient_norm": norm,
            }
        )
        self._rates.append(rate)

    @torch.no_grad()
    def _average_weights(self) -> None:
        """Exponential moving average, quicker in the first steps."""
        step = self.progress.step
        beta = min(self.config.ema, (1 + step) / (10 + step))
        averaged: list[Tensor] = list(self.average.parameters())
        trained: list[Tensor] = list(self.model.parameters())
        torch._foreach_lerp_(averaged, trained, 1 - beta)
        for target, source in zip(self.average.buffers(), self.model.buffers()):
            target.copy_(source)

    def read(self) -> Row:
        """Means over the steps since numbers were last read. Waits for the device once."""
        columns = {
            name: [numbers[name] for numbers in self._unread if name in numbers]
            for name in self._unread[-1]
        }
        values = torch.stack([value.float() for column in columns.values() for value in column])
        ends = np.cumsum([len(column) for column in columns.values()])[:-1]
        parts = np.split(values.cpu().double().numpy(), ends)
        row = {name: float(np.mean(part)) for name, part in zip(columns, parts)}
        row["learning_rate"] = float(np.mean(self._rates))
        self._unread.clear()
        self._rates.clear()
        return row

    def _record(self, row: Row) -> None:
        """A row of the log, wherever that is kept."""
        self.rows.append(row)
        if self.board is not None:
            self.board.add(row)

    def _log_step(self, log: Log) -> None:
        """A row with the means since the last one, and a line for people."""
        numbers = self.read()
        step = self.progress.step
        seen = self.config.batch * self.ranks.world * step
        speed = seen / max(self.progress.seconds, 1e-9)
        times = {
            "seconds": round(self.progress.seconds, 1),
            "samples_per_second": speed,
        }
        self._record(
            {
                "step": step,
                **times,
                **numbers,
            }
        )
        if self.ranks.rank == 0:
            done = f"{100 * self.fraction_done():.1f} %"
            shown = [f"{name} {value:.4g}" for name, value in numbers.items()]
            log(" | ".join([f"step {step}", done, f"{speed:.1f} samples/s", *shown]))

    def _examine(self, log: Log) -> None:
        """Scores of the averaged weights as a row, a line and a picture."""
        was_training = self.average.training
        scores, picture = self.task.examine(self.average.eval())
        self.average.train(was_training)
        step = self.progress.step
        named = {f"held_out_{name}": score for name, score in scores.items()}
        self._record(
            {
                "step": step,
                "seconds": round(self.progress.seconds, 1),
                **named,
            }
        )
        if picture is not None:
            if self.board is not None:
                self.board.show(picture, step)
            with atomic_write(self.folder / f"sample_{step:07d}.png") as temporary:
                Image.fromarray(picture).save(temporary)
        rounded = {name: round(score, 4) for name, score in scores.items()}
        log(f"step {step}: held-out {json.dumps(rounded)}")

    def train(self, log: Log = lambda line: None) -> Row:
        """Train to the end of the schedule or of the slice; saves always, also on Ctrl-C. Returns
        the last row of the log.
        """
        if self.config.log == "tensorboard" and self.ranks.rank == 0:
            self.board = Board(self.folder, self.progress.step)
        with self.ranks.together(self.device):
            if self.ranks.world > 1:
                self._loss = self._among_processes()
            self.model.train()
            try:
                if self.fraction_done() < 1:
                    self._train(log)
            finally:
                if self.progress.step:
                    self.save()
            if self.ranks.rank == 0 and self.fraction_done() >= 1:
                self._examine(log)
                self.save()
        if self.board is not None:
            self.board.close()
        return self.rows[-1] if self.rows else {}

    def _among_processes(self) -> nn.Module:
        """The loss that begins with the first process's weights and whose gradients are means over
        all processes; a parameter that one of them did not use has a gradient of 0 there.
        """
        return DistributedDataParallel(
            _Loss(self.task, self.model),
            device_ids=[self.device] if self.device.type == "cuda" else None,
            find_unused_parameters=True,
        )

    def _loader(self) -> DataLoader:
        """Batches from where the run stands; processes as the device needs them."""
        c = self.config
        workers = self.ranks.data_workers(self.device) if c.workers is None else c.workers
        batches = _Batches(self.progress.step, c.batch, self.ranks)
        return DataLoader(
            self.task.dataset,
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=self.task.collate,
            persistent_workers=workers > 0,
            prefetch_factor=3 if workers else None,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=_one_thread,
        )

    def _train(self, log: Log) -> None:
        """Steps to the end of the schedule or of the slice."""
        c = self.config
        whole = _Timer(c.slice_minutes)
        saved = _Timer(c.save_minutes)
        examined = _Timer(c.examine_minutes)
        last = time.monotonic()
        for batch in self._loader():
            self.step(batch)
            now = time.monotonic()
            seconds = (self.progress.seconds + now - last, now - whole.since)
            self.progress.seconds, elapsed = self._agreed(*seconds)
            ended = self.fraction_done() >= 1 or whole.over(elapsed)
            if ended or self.progress.step % c.log_every == 0:
                self._log_step(log)
            if ended:
                break
            if saved.over():
                self.save()
                saved.restart()
            if self.ranks.rank == 0 and examined.over():
                self._examine(log)
                examined.restart()
            last = time.monotonic()  # saving and examining are no training

    def _agreed(self, *seconds: float) -> list[float]:
        """Times of the first process, for all: rate and end follow from them, and weights must stay
        the same everywhere.
        """
        if self.ranks.world == 1:
            return list(seconds)
        clock = torch.tensor(seconds, dtype=torch.float64)  # nobody waits for the device
        distributed.broadcast(clock, 0)
        return clock.tolist()


def _write_rows(path: Path, rows: list[Row]) -> None:
    """The log as CSV, all or nothing; rows may lack columns."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_write(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)


def _read_rows(path: Path) -> list[Row]:
    """The inverse of ``_write_rows``; no rows when there is no file."""
    if not path.exists():
        return []
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [{name: float(value) for name, value in row.items() if value != ""} for row in rows]


def _one_thread(worker: int) -> None:
    """Workers compute on one thread each; else they fight the training process for its cores. They
    leave at once when they are told to.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    import cv2

    cv2.setNumThreads(1)
