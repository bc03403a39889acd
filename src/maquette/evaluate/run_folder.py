"""The folder of a run: where everything lies in it, and what is read back from it.

scenes/<scene>/                             photo, masks, truth, camera (cases.py)
scenes/<scene>.unusable.json                why a scene cannot be used
predictions/<method>/<scene>.glb, .json     what was made, and how
scores/<protocol>/<method>/<scene>.json     every score, with what it was made of
rows.csv, objects.csv, run.json             what all tables and pages are made of
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maquette.errors import InputError
from maquette.evaluate.files import Record, read_record
from maquette.evaluate.protocols import protocol_named
from maquette.evaluate.rows import ResultRow, read_rows

ADVICE = "give the --out folder of maquette benchmark, or repeat the benchmark"


@dataclass(frozen=True)
class RunFolder:
    """Plain data, so that it can travel to another process."""

    path: Path

    @property
    def record_file(self) -> Path:
        """What was asked: run.json."""
        return self.path / "run.json"

    @property
    def rows_file(self) -> Path:
        """A row per scene, method and protocol."""
        return self.path / "rows.csv"

    @property
    def objects_file(self) -> Path:
        """A row per object."""
        return self.path / "objects.csv"

    def scene(self, name: str) -> Path:
        """Where photo, masks and truth of a scene are."""
        return self.path / "scenes" / name

    def unusable(self, name: str) -> Path:
        """Why a scene cannot be used; there is no such file for a good one."""
        return self.path / "scenes" / f"{name}.unusable.json"

    def prediction(self, method: str, scene: str) -> Path:
        """The GLB; it is not there when the method made nothing."""
        return self.path / "predictions" / method / f"{scene}.glb"

    def making(self, method: str, scene: str) -> Path:
        """How it was made: request, camera, seconds, failures."""
        return self.path / "predictions" / method / f"{scene}.json"

    def score(
        self,
        protocol: str,
        method: str,
        scene: str,
    ) -> Path:
        """The score under a protocol, by its name or id."""
        return self.path / "scores" / protocol_named(protocol).name / method / f"{scene}.json"

    def record(self) -> Record:
        """What run.json holds. InputError when it is missing or damaged."""
        return read_record(self.record_file, ADVICE)

    def scored_rows(self) -> list[ResultRow]:
        """All rows. InputError when there are none."""
        rows = read_rows(self.rows_file)
        if not rows:
            raise InputError(f"{self.path}: nothing was scored yet; finish the benchmark")
        return rows


def finished_record(path: Path) -> Any:
    """What a JSON file of a run holds; None when there is none or it is damaged, which means: not
    done yet.
    """
    try:
        return read_record(path, ADVICE)
    except InputError:
        return None
