"""A scene that others made, before it is read: where it lies and who reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from maquette.evaluate.cases import Case
from maquette.evaluate.files import damage_named


@dataclass(frozen=True)
class FileSource:
    """One file or folder; plain data, so that it can travel to another process."""

    name: str  # of the case: "<set>/<scene>"
    identity: str  # what it is made of
    place: str  # file or folder, for messages
    read: Callable[[], Case]  # a partial of a function of a module

    def load(self) -> Case:
        """Read the case. InputError, and no other error, when it cannot be used."""
        with damage_named(self.place):
            return self.read()
