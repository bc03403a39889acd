"""A run folder as one object: what the page shows, read and checked. No pictures yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maquette.errors import InputError
from maquette.evaluate.cases import TRUTH
from maquette.evaluate.contestants import ORACLES
from maquette.evaluate.files import Record
from maquette.evaluate.protocols import protocol_named
from maquette.evaluate.rows import ResultRow, distinct, read_table
from maquette.evaluate.run_folder import RunFolder, finished_record
from maquette.export.read import load_named_meshes
from maquette.geometry.boxes import bounding_box, scene_from_world
from maquette.geometry.transforms import similarity


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """Everything that was scored under one or more protocols; the first is the one that pictures
    are sorted by.
    """

    folder: RunFolder
    record: Record  # run.json
    rows: list[ResultRow]
    objects: list[dict[str, str]]  # of objects.csv

    @property
    def protocol(self) -> str:
        """Id of the protocol that the gallery and the plots use."""
        return self.rows[0].protocol

    @property
    def methods(self) -> list[str]:
        """Names; those that do not look at the truth first."""
        return sorted(distinct(self.rows, "method"), key=lambda name: name in ORACLES)

    @property
    def scenes(self) -> list[str]:
        """Names, in the order of the rows."""
        return distinct(self.rows, "scene")

    def made(self, method: str, scene: str) -> Record:
        """How it was made: camera, seconds, failures."""
        return finished_record(self.folder.making(method, scene)) or {}

    def score(self, method: str, scene: str) -> Record:
        """The stored score under the first protocol: scene, objects, alignment."""
        return finished_record(self.folder.score(self.protocol.partition("/")[0], method, scene))[
            "score"
        ]


def read_run(path: Path) -> FinishedRun:
    """Read a finished or unfinished run. InputError when the folder holds none, or nothing that was
    scored.
    """
    folder = RunFolder(path)
    run = FinishedRun(
        folder, folder.record(), folder.scored_rows(), read_table(folder.objects_file)
    )
    for scene in run.scenes:
        truth = folder.scene(scene) / TRUTH
        if not truth.exists():
            raise InputError(
                f"{truth}: no such file; the folder is incomplete, repeat the benchmark"
            )
    return run


def aligned_from_predicted(run: FinishedRun, method: str, scene: str) -> list[list[float]] | None:
    """The scene alignment of the score, (4, 4) nested rows in the frame of the files; None when it
    is the identity.

    Scores are in units in which the true scene's longest side is 2, centred ("truth-box"); here
    that is undone.
    """
    matrix = np.array(run.score(method, scene)["truth_from_predicted"], dtype=np.float64)
    if protocol_named(run.protocol).scene_unit != "given":
        truth = load_named_meshes(run.folder.scene(scene) / TRUTH)
        corners = np.concatenate([mesh.vertices for mesh in truth.values()])
        unit_from_world = similarity(2.0) @ scene_from_world(bounding_box(corners))
        matrix = np.linalg.inv(unit_from_world) @ matrix @ unit_from_world
    return None if np.allclose(matrix, np.eye(4), atol=1e-6) else np.round(matrix, 6).tolist()
