"""The one training loop: any task, CPU or GPU, one process or many (torchrun), resumable to the
identical loss curve.

A sample depends only on (seed, index) and the noise of a step only on (seed, step), so a resumed
run continues exactly. The run folder holds ``checkpoint.pt`` (everything to resume),
``weights.safetensors`` (the averaged weights, ready to use), ``log.csv``, ``loss.png`` and pictures
of the periodic evaluation.
"""

from __future__ import annotations

import copy
import csv
import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from maquette.checkpoints.store import Checkpoint, save_model
from maquette.errors import CheckpointError, InputError
from maquette.hardware import native_bf16
from maquette.output import atomic_write, writable_folder
from maquette.train.muon import Muon
from maquette.train.plot import write_loss_plot


class Task(Protocol):
    """What is trained: the model, its samples, its loss and its examination on held-out data."""

    model: nn.Module  # what is optimised and saved
    dataset: Dataset  # map-style over any non-negative index; a sample depends only on the index

    def collate(self, samples: list[Any]) -> Any:
        """Samples -> a batch of tensors (a dict)."""

    def loss(
        self, model: nn.Module, batch: Any, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The scalar to minimise, and named numbers for the log."""

    def examine(self, model: nn.Module) -> tuple[dict[str, float], np.ndarray | None]:
        """Scores on held-out data, and a picture (H, W, 3) uint8."""

    def finish(self, model: nn.Module) -> None:
        """Last change to the averaged weights before they are saved (such as latent statistics)."""


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast."""

    steps: int | None = None  # end after this many steps, or
    minutes: float | None = (
        None  # after this much training time, summed over resumed runs; the schedule ends with it
    )
    slice_minutes: float | None = None  # stop (resumable) after this much time in this process
    batch: int = 8
    learning_rate: float = 4e-4
    optimizer: str = "adamw"  # or "muon" (muon.py)
    weight_decay: float = 0.01
    warmup: int = 100  # steps
    decay: float = 0.3  # the last part of the run, in which the rate falls linearly to zero
    clip: float = 1.0
    ema: float = 0.998
    seed: int = 0
    workers: int = 1
    precision: str = (
        "auto"  # "fp32", "bf16", or "auto": bf16 where the hardware multiplies it natively
    )
    log_every: int = 20
    save_minutes: float = 5.0
    examine_minutes: float = 15.0
    compile: bool = False

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise InputError(
                f"training needs either steps or minutes, got steps={self.steps} and minutes={self.minutes}; pass one of them"
            )
        if self.optimizer not in ("muon", "adamw"):
            raise InputError(f"optimizer {self.optimizer!r} is unknown; choose muon or adamw")


class _Batches:
    """Batch ``b`` of rank ``r`` of ``w`` holds the samples ((b w + r) n ... + n - 1): the same data
    whatever was interrupted.
    """

    def __init__(self, first: int, size: int, rank: int, world: int):
        self.first = first
        self.size = size
        self.rank = rank
        self.world = world

    def __iter__(self) -> Iterator[list[int]]:
        batch = self.first
        while True:
            start = (batch * self.world + self.rank) * self.size
            yield list(range(start, start + self.size))
            batch += 1


@dataclass
class _Progress:
    """What a run has behind it."""

    step: int = 0
    seconds: float = 0.0
    samples: int = 0


class Run:
    """A training run in a folder. With ``base``, the weights file holds only what differs from that
    checkpoint.
    """

    def __init__(
        self,
        task: Task,
        folder: str | Path,
        config: LoopConfig,
        device: str = "cpu",
        metadata: dict[str, Any] | None = None,
        base: Checkpoint | None = None,
    ):
        self.task = task
        self.config = config
        self.folder = writable_folder(folder)
        self.rank = int(os.environ.get("RANK", 0))
        self.world = int(os.environ.get("WORLD_SIZE", 1))
        self.device = torch.device(
            f"{device}:{os.environ.get('LOCAL_RANK', 0)}"
            if device == "cuda" and self.world > 1
            else device
        )
        self.metadata = metadata or {}
        self.base = base
        self.model = task.model.to(self.device)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        self.progress = _Progress()
        self.rows: list[dict[str, float]] = []
        self.bf16 = config.precision == "bf16" or (
            config.precision == "auto" and native_bf16(self.device)
        )
        self.optimizer = self._optimizer()

    def _optimizer(self) -> torch.optim.Optimizer:
        c = self.config
        if c.optimizer == "muon":
            return Muon(
                self.model,
                c.learning_rate,
                c.weight_decay,
                dtype=torch.bfloat16 if self.bf16 else torch.float32,
            )
        decayed = [p for p in self.model.parameters() if p.requires_grad and p.ndim >= 2]
        plain = [p for p in self.model.parameters() if p.requires_grad and p.ndim < 2]
        groups = [
            {"params": decayed, "weight_decay": c.weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(
            groups, lr=c.learning_rate, betas=(0.9, 0.99), fused=self.device.type == "cuda"
        )

    # ---- saving and resuming
    #   -------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write everything needed to resume, the averaged weights, the log and its plot (rank 0
        only).
        """
        if self.rank:
            return
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": dataclasses.asdict(self.progress),
        }
        with atomic_write(self.folder / "checkpoint.pt") as temporary:
            torch.save(state, temporary)
        finished = copy.deepcopy(self.average)
        self.task.finish(finished)
        save_model(self.folder / "weights.safetensors", finished, self.history(), base=self.base)
        if self.rows:
            names = list(dict.fromkeys(name for row in self.rows for name in row))
            with (
                atomic_write(self.folder / "log.csv") as temporary,
                temporary.open("w", newline="") as file,
            ):
                writer = csv.DictWriter(file, names, restval="")
                writer.writeheader()
                writer.writerows(self.rows)
            write_loss_plot(self.folder / "loss.png", self.rows)

    def history(self) -> dict[str, Any]:
        """What the weights have behind them, for the file's header and the model card."""
        return {
            **self.metadata,
            **dataclasses.asdict(self.progress),
            "device": self.device.type,
            "processes": self.world,
            "loop": dataclasses.asdict(self.config),
        }

    def resume(self) -> None:
        """Continue from the folder's checkpoint; CheckpointError when there is none or it is of
        another model.
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
            raise CheckpointError(
                f"{path} is of another model, --optimizer or settings; use another folder ({str(error)[:80]})"
            ) from error
        self.progress = _Progress(**state["progress"])
        log = self.folder / "log.csv"
        if log.exists():
            with log.open() as file:
                rows = [
                    {k: float(v) for k, v in row.items() if v != ""} for row in csv.DictReader(file)
                ]
            self.rows = [row for row in rows if row["step"] <= self.progress.step]

    # ---- training
    #   ------------------------------------------------------------------------------------------------------------

    def fraction_done(self) -> float:
        """How much of the run is over, in [0, 1]; decides the learning rate and the end."""
        if self.config.steps is not None:
            return min(1.0, self.progress.step / self.config.steps)
        return min(1.0, self.progress.seconds / (60.0 * self.config.minutes))

    def rate(self) -> float:
        """Learning rate: linear warm-up, constant, linear fall to zero over the last ``decay`` of
        the run.
        """
        warm = min(1.0, (self.progress.step + 1) / max(1, self.config.warmup))
        return (
            self.config.learning_rate
            * warm
            * min(1.0, max(0.0, 1.0 - self.fraction_done()) / self.config.decay)
        )

    def _average_gradients(self) -> None:
        """Over all processes; in one message, as each costs more than what is in it."""
        if self.world > 1:
            gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
            together = torch.cat([gradient.flatten() for gradient in gradients])
            torch.distributed.all_reduce(together)
            parts = torch.split(together / self.world, [gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts):
                gradient.copy_(part.view_as(gradient))

    def _agreed(self, *seconds: float) -> list[float]:
        """Times of the first process, for all: rate and end follow from them, and weights must stay
        the same everywhere.
        """
        if self.world == 1:
            return list(seconds)
        clock = torch.tensor(seconds, dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(clock, 0)
        return clock.tolist()

    def step(self, batch: Any, loss_of: Callable[..., Any]) -> dict[str, float]:
        """One update; returns the numbers for the log."""
        seed = (self.config.seed * 1_000_003 + self.progress.step) * 257 + self.rank
        generator = torch.Generator().manual_seed(seed)
        batch = {
            k: v.to(self.device, non_blocking=True) if isinstance(v, Tensor) else v
            for k, v in batch.items()
        }
        rate = self.rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss, numbers = loss_of(self.model, batch, generator)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._average_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        if torch.isfinite(norm):  # a rare overflow must not poison the weights
            self.optimizer.step()
        beta = min(self.config.ema, (1 + self.progress.step) / (10 + self.progress.step))
        with torch.no_grad():
            averaged = list(self.average.parameters())
            current = list(self.model.parameters())
            torch._foreach_lerp_(averaged, current, 1 - beta)
            for target, source in zip(self.average.buffers(), self.model.buffers()):
                target.copy_(source)
        self.progress.step += 1
        self.progress.samples += self.config.batch * self.world
        return {
            "loss": float(loss.detach()),
            **numbers,
            "gradient_norm": float(norm),
            "learning_rate": rate,
        }

    def _examine(self, log: Callable[[str], None]) -> None:
        was_training = self.average.training
        scores, picture = self.task.examine(self.average.eval())
        self.average.train(was_training)
        named = {f"held_out_{k}": v for k, v in scores.items()}
        self.rows.append(
            {"step": self.progress.step, "seconds": round(self.progress.seconds, 1), **named}
        )
        if picture is not None:
            from PIL import Image

            with atomic_write(self.folder / f"sample_{self.progress.step:07d}.png") as temporary:
                Image.fromarray(picture).save(temporary)
        log(
            f"step {self.progress.step}: held-out "
            + json.dumps({k: round(v, 4) for k, v in scores.items()})
        )

    def train(self, log: Callable[[str], None] = lambda line: None) -> dict[str, float]:
        """Train to the end of the schedule or of the slice; saves always, also on Ctrl-C. Returns
        the last row of the log.
        """
        c = self.config
        if self.world > 1 and not torch.distributed.is_initialized():
            torch.distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        loader = DataLoader(
            self.task.dataset,
            batch_sampler=_Batches(self.progress.step, c.batch, self.rank, self.world),
            num_workers=c.workers,
            collate_fn=self.task.collate,
            persistent_workers=c.workers > 0,
            prefetch_factor=3 if c.workers else None,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=_one_thread,
        )
        loss_of = torch.compile(self.task.loss) if c.compile else self.task.loss
        self.model.train()
        start = last_save = last_examination = last = time.monotonic()
        window: list[dict[str, float]] = []
        try:
            for batch in loader if self.fraction_done() < 1 else ():
                window.append(self.step(batch, loss_of))
                now = time.monotonic()
                self.progress.seconds, elapsed = self._agreed(
                    self.progress.seconds + now - last, now - start
                )
                last = now
                done = self.fraction_done() >= 1 or (
                    c.slice_minutes is not None and elapsed > 60 * c.slice_minutes
                )
                if self.progress.step % c.log_every == 0 or done:
                    row = {k: float(np.mean([w[k] for w in window if k in w])) for k in window[-1]}
                    speed = (
                        c.batch * self.world * self.progress.step / max(self.progress.seconds, 1e-9)
                    )
                    seconds = round(self.progress.seconds, 1)
                    self.rows.append(
                        {
                            "step": self.progress.step,
                            "seconds": seconds,
                            "samples_per_second": speed,
                            **row,
                        }
                    )
                    window.clear()
                    if self.rank == 0:
                        log(
                            f"step {self.progress.step} | {100 * self.fraction_done():.1f} % | {speed:.1f} samples/s | "
                            + " | ".join(f"{k} {v:.4g}" for k, v in row.items())
                        )
                if done:
                    break
                if now - last_save > 60 * c.save_minutes:
                    self.save()
                    last_save = time.monotonic()
                if self.rank == 0 and now - last_examination > 60 * c.examine_minutes:
                    self._examine(log)
                    last_examination = time.monotonic()
                last = time.monotonic()
        finally:
            if self.progress.step:
                self.save()
        if self.rank == 0 and self.fraction_done() >= 1:
            self._examine(log)
            self.save()
        return self.rows[-1] if self.rows else {}


def _one_thread(worker: int) -> None:
    """Workers compute on one thread each; otherwise they fight the training process for its cores."""
    torch.set_num_threads(1)
    import cv2

    cv2.setNumThreads(1)
