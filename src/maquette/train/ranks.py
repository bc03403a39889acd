"""The processes of one training, as torchrun starts them: who this one is, its device, its group.

torchrun says by environment variables which of how many processes this is; without them there is
one. Every process has an accelerator of its own, or its share of the processor's cores.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from maquette.errors import InputError

# The others wait while the first process examines and saves; who dies is noticed at once anyway.
PATIENCE = timedelta(hours=6)
MOST_WORKERS = 16  # processes that prepare data for one accelerator


@dataclass(frozen=True)
class Ranks:
    """One process among those that train together."""

    rank: int = 0
    world: int = 1  # processes
    local: int = 0  # among those on this machine
    local_world: int = 1
    restarts: int = 0  # of all of them, after one was lost

    @classmethod
    def of_environment(cls) -> Ranks:
        """What torchrun said."""
        names = {
            "rank": "RANK",
            "world": "WORLD_SIZE",
            "local": "LOCAL_RANK",
            "local_world": "LOCAL_WORLD_SIZE",
            "restarts": "TORCHELASTIC_RESTART_COUNT",
        }
        told = {field: os.environ.get(name) for field, name in names.items()}
        return cls(**{field: int(value) for field, value in told.items() if value is not None})

    def device(self, name: str) -> torch.device:
        """The device of this process, made the current one: with several processes ``cuda`` is the
        card of its own number. InputError when they are all sent to one card.
        """
        device = torch.device(name)
        if device.type != "cuda":
            return device
        if self.world > 1 and device.index is not None:
            raise InputError(
                f"got the device {name} for {self.world} processes; expected cuda, of which each "
                "takes its own card"
            )
        if self.world > 1:
            device = torch.device("cuda", self.local)
        if device.index is not None:
            torch.cuda.set_device(device)
        return device

    def data_workers(self, device: torch.device) -> int:
        """How many processes should prepare data: one beside a processor, which needs its cores
        itself, but what is left of the machine beside an accelerator, which waits for nothing else.
        """
        if device.type == "cpu":
            return 1
        share = (os.cpu_count() or 1) // self.local_world - 1
        return min(MOST_WORKERS, max(1, share))

    @contextlib.contextmanager
    def together(self, device: torch.device) -> Iterator[None]:
        """Join the other processes for as long as the context lasts."""
        if self.world == 1 or distributed.is_initialized():
            yield
            return
        # clocks stay on the processor: what is agreed on there, no card is waited for
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        meeting, rank, world = next(distributed.rendezvous("env://"))
        # torchrun keeps its store after a loss: there the lost processes' addresses stand, too
        store = distributed.PrefixStore(f"start {self.restarts}", meeting)
        distributed.init_process_group(
            backend,
            timeout=PATIENCE,
            store=store,
            rank=rank,
            world_size=world,
        )
        try:
            yield
        finally:
            distributed.destroy_process_group()
