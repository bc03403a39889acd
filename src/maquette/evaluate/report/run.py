"""A run folder as one object: what the page shows, read and checked. No pictures yet."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maquette.errors import InputError
from maquette.evaluate.benchmark import OBJECT_ROWS, PREDICTIONS, ROWS, RUN, SCENES, SCORES
from maquette.evaluate.cases import TRUTH
from maquette.evaluate.contestants import ORACLES
from maquette.evaluate.protocols import protocol_named
from maquette.evaluate.rows import Row, read_rows, read_table
from maquette.export.read import load_named_meshes
from maquette.geometry.boxes import bounding_box, scene_from_world
from maquette.geometry.transforms import similarity


@dataclass(frozen=True, eq=False)
class Run:
    """Everything that was scored under one or more protocols; the first is the one that pictures
    are sorted by.
    """

    folder: Path
    record: dict[str, Any]  # run.json
    rows: list[Row]
    objects: list[dict[str, str]]  # of objects.csv

    @property
    def protocol(self) -> str:
        """Id of the protocol that the gallery and the plots use."""
        return self.rows[0].protocol

    @property
    def methods(self) -> list[str]:
        """Names; those that do not look at the truth first."""
        names = list(dict.fromkeys(row.method for row in self.rows))
        return sorted(names, key=lambda name: name in ORACLES)

    @property
    def scenes(self) -> list[str]:
        """Names, in the order of the rows."""
        return list(dict.fromkeys(row.scene for row in self.rows))

    def scene_folder(self, scene: str) -> Path:
        """Where photo and truth are."""
        return self.folder / SCENES / scene

    def prediction(self, method: str, scene: str) -> Path:
        """The GLB; it is not there when the method made nothing."""
        return self.folder / PREDICTIONS / method / f"{scene}.glb"

    def made(self, method: str, scene: str) -> dict[str, Any]:
        """How it was made: camera, seconds, failures."""
        path = self.prediction(method, scene).with_suffix(".json")
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

    def score(self, method: str, scene: str) -> dict[str, Any]:
        """The stored score under the first protocol: scene, objects, alignment."""
        path = self.folder / SCORES / self.protocol.partition("/")[0] / method / f"{scene}.json"
        return json.loads(path.read_text(encoding="utf-8"))["score"]


def read_run(folder: Path) -> Run:
    """Read a finished or unfinished run. InputError when the folder holds none, or nothing that was
    scored.
    """
    if not (folder / RUN).is_file():
        raise InputError(f"{folder}: no {RUN}; give the --out folder of maquette benchmark")
    try:
        record = json.loads((folder / RUN).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{folder / RUN}: damaged ({error}); repeat the benchmark") from error
    rows = read_rows(folder / ROWS)
    if not rows:
        raise InputError(f"{folder}: nothing was scored yet; finish the benchmark")
    missing = next(
        (
            name
            for name in dict.fromkeys(row.scene for row in rows)
            if not (folder / SCENES / name / TRUTH).exists()
        ),
        None,
    )
    if missing is not None:
        raise InputError(
            f"{folder / SCENES / missing}: no {TRUTH}; the folder is incomplete, repeat the benchmark"
        )
    return Run(folder, record, rows, read_table(folder / OBJECT_ROWS))


def number(text: str) -> float:
    """A cell of a CSV file; nan when it is empty."""
    return float(text) if text else math.nan


def aligned_from_predicted(run: Run, method: str, scene: str) -> list[list[float]] | None:
    """The scene alignment of the score, (4, 4) nested rows in the frame of the files; None when it
    is the identity.

    Scores are in units in which the true scene's longest side is 2, centred ("truth-box"); here
    that is undone.
    """
    unit_from_score = np.array(run.score(method, scene)["truth_from_predicted"], dtype=np.float64)
    corners = [
        np.asarray(mesh.vertices)
        for mesh in load_named_meshes(run.scene_folder(scene) / TRUTH).values()
    ]
    given = protocol_named(run.protocol).scene_unit == "given"
    unit = (
        np.eye(4)
        if given
        else similarity(2.0) @ scene_from_world(bounding_box(np.concatenate(corners)))
    )
    matrix = np.linalg.inv(unit) @ unit_from_score @ unit
    return None if np.allclose(matrix, np.eye(4), atol=1e-6) else np.round(matrix, 6).tolist()
