"""Rendered views as a source of training samples: random access into the shards that ``maquette
data build`` writes.

Rendering costs more than a training step on two cores, so views are rendered once and trained on
many times. Where sixteen cores feed one accelerator, composing on the fly (runs.RandomViews) never
shows a picture twice; both are sources of the same kind.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maquette.data.shards import decode_view
from maquette.data.views import View
from maquette.errors import InputError


@dataclass(frozen=True)
class StoredViews:
    """A picklable source of views: a random view of a random stored scene."""

    scenes: tuple[
        tuple[Path, tuple[tuple[str, int, int], ...]], ...
    ]  # shard, and name, offset and size of the scene's members
    # False: views without depth and normals (data.shards.decode_view), for who only needs pictures
    geometry: bool = True

    @classmethod
    def open(cls, folder: str | Path, kinds: Collection[str] | None = None) -> StoredViews:
        """List the scenes of all finished shards, or those of some kinds (``SceneConfig.mix``).

        InputError when there are none or a shard is damaged.
        """
        scenes: dict[tuple[Path, str], list[tuple[str, int, int]]] = {}
        for path in sorted(Path(folder).glob("scenes-*.tar")):
            try:
                with tarfile.open(path) as tar:
                    for member in tar:
                        key, _, name = member.name.partition(".")
                        stored = (name, member.offset_data, member.size)
                        scenes.setdefault((path, key), []).append(stored)
            except tarfile.TarError as error:
                raise InputError(
                    f"{path} is damaged ({error}); delete it and run maquette data build again"
                ) from error
        if not scenes:
            raise InputError(
                f"{folder} holds no shards (scenes-*.tar); build some with: maquette data build"
            )
        chosen = tuple(
            (path, tuple(members))
            for (path, _), members in scenes.items()
            if kinds is None or _kind(path, members) in kinds
        )
        if not chosen:
            wanted = ", ".join(sorted(kinds or ()))
            raise InputError(
                f"{folder} holds no scenes of kind {wanted}; leave --views out to compose them"
            )
        return cls(chosen)

    def __len__(self) -> int:
        return len(self.scenes)

    def __call__(self, rng: np.random.Generator) -> View:
        """One stored view."""
        path, members = self.scenes[int(rng.integers(len(self.scenes)))]
        spans = {name: (offset, size) for name, offset, size in members}
        with path.open("rb") as file:

            def read(name: str) -> bytes:
                offset, size = spans[name]
                file.seek(offset)
                return file.read(size)

            number = int(rng.integers(len(json.loads(read("scene.json"))["views"])))
            skipped = () if self.geometry else (f"{number}.depth.png", f"{number}.normal.png")
            wanted = [
                "scene.json",
                *(name for name in spans if name.startswith(f"{number}.") and name not in skipped),
            ]
            return decode_view({name: read(name) for name in wanted}, number)


def _kind(path: Path, members: Sequence[tuple[str, int, int]]) -> str:
    """The kind of a stored scene."""
    offset, size = next((offset, size) for name, offset, size in members if name == "scene.json")
    with path.open("rb") as file:
        file.seek(offset)
        return json.loads(file.read(size))["kind"]
