"""Rendered views as a source of training samples: random access into the shards that ``maquette
data build`` writes, in a folder or at a URL.

Rendering costs more than a training step on two cores, so views are rendered once and trained on
many times. Where sixteen cores feed one accelerator, composing on the fly (runs.RandomViews) never
shows a picture twice; both are sources of the same kind. Of a shard only the bytes of the view are
read, so shards of an object store stay there.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from numpy.random import Generator

from maquette.data.shards import decode_view, index_name, index_of, shards_of
from maquette.data.views import View
from maquette.errors import InputError
from maquette.execute.store import brought_here, span
from maquette.types import JsonObject, StrPath


@dataclass(frozen=True)
class _StoredScene:
    """Where a scene lies."""

    shard: Path
    members: Mapping[str, tuple[int, int]]  # name -> first byte, bytes

    def read(self, names: Collection[str]) -> dict[str, bytes]:
        """Some members, of which the bytes from the first to the last are read at once."""
        ends = {name: (self.members[name][0], sum(self.members[name])) for name in names}
        start = min(first for first, _ in ends.values())
        stored = span(self.shard, start, max(end for _, end in ends.values()))
        return {name: stored[first - start : end - start] for name, (first, end) in ends.items()}


@dataclass(frozen=True)
class StoredViews:
    """A picklable source of views: a random view of a random stored scene."""

    scenes: tuple[_StoredScene, ...]
    # False: views without depth and normals (data.shards.decode_view), for who only needs pictures
    geometry: bool = True

    @classmethod
    def open(cls, folder: StrPath, kinds: Collection[str] | None = None) -> StoredViews:
        """List the scenes of all finished shards, or those of some kinds (``SceneConfig.mix``).

        InputError when there are none or a shard is damaged.
        """
        chosen = []
        for shard in shards_of(folder):
            for scene in _index(shard)["scenes"].values():
                if kinds is None or scene["kind"] in kinds:
                    chosen.append(_StoredScene(shard, scene["members"]))
        if not chosen:
            wanted = ", ".join(sorted(kinds or ()))
            raise InputError(
                f"{folder} holds no scenes of kind {wanted}; leave --views out to compose them"
            )
        return cls(tuple(chosen))

    def __len__(self) -> int:
        return len(self.scenes)

    def __call__(self, rng: Generator) -> View:
        """One stored view."""
        scene = self.scenes[int(rng.integers(len(self.scenes)))]
        document = scene.read(["scene.json"])
        number = int(rng.integers(len(json.loads(document["scene.json"])["views"])))
        skipped = () if self.geometry else (f"{number}.depth.png", f"{number}.normal.png")
        own = [name for name in scene.members if name.startswith(f"{number}.")]
        pictures = scene.read([name for name in own if name not in skipped])
        return decode_view(document | pictures, number)


def _index(shard: Path) -> JsonObject:
    """What lies where in a shard, from the file beside it, or from the shard where that is missing
    or of another one. InputError when it is damaged.
    """
    beside = shard.with_name(index_name(shard.name))
    try:
        if beside.exists():
            index = json.loads(beside.read_text(encoding="utf-8"))
            if index["size"] == shard.stat().st_size:
                return index
        with brought_here(shard) as here, here.open("rb") as file:
            return index_of(file)
    except (tarfile.TarError, KeyError, ValueError) as error:
        raise InputError(
            f"{shard} is damaged ({error}); delete it and run maquette data build again"
        ) from error
