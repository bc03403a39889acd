"""Shares of a command's work, for machines that know nothing of each other: a Slurm array or a
Kubernetes indexed job runs the same command with another ``--shard I/N`` on each.

A share is chosen by position among all units of work, finished or not, so that every machine finds
the same cut whatever the others have done meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from maquette.errors import InputError

Unit = TypeVar("Unit")
SHOWN = 5  # units that a complaint names


@dataclass(frozen=True)
class Share:
    """The ``number``-th of ``of`` shares; the first of one is everything."""

    number: int = 1
    of: int = 1

    @classmethod
    def read(cls, text: str | None) -> Share:
        """From "I/N"; None is everything. InputError for anything else."""
        if text is None:
            return cls()
        found = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
        number, of = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= of:
            raise InputError(
                f"--shard {text}: expected I/N with I from 1 to N, such as 2/8 for the second of "
                "eight machines"
            )
        return cls(number, of)

    @property
    def is_all(self) -> bool:
        """Whether nobody else does anything."""
        return self.of == 1

    def part(self, units: Sequence[Unit]) -> list[Unit]:
        """Every ``of``-th unit, beginning with the ``number``-th."""
        return list(units[self.number - 1 :: self.of])

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


ALL = Share()


def require_all(missing: Sequence[str], count: int, what: str) -> None:
    """InputError when some of ``count`` units are missing, for ``--merge``."""
    if not missing:
        return
    named = ", ".join(missing[:SHOWN]) + (" ..." if len(missing) > SHOWN else "")
    raise InputError(
        f"{len(missing)} of {count} {what} are missing: {named}; repeat the command for the shards "
        "that did not finish, or without --shard for all that is missing"
    )
