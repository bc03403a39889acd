"""Views rendered once and trained on many times: where rendering is dearer than a training step (two cores), this is what pays.

In the flow: RandomViews -> a folder of small .npz files, one per scene -> StoredViews, a source of views like any other.
Each file depends only on (seed, scene index), so a pool can be interrupted, resumed and grown, by several processes at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maquette.data.layout import Catalogue, Placement
from maquette.data.scenes import SceneConfig, compose
from maquette.data.views import View, ViewConfig, sample_views
from maquette.errors import InputError
from maquette.output import atomic_write, writable_folder
from maquette.types import Camera


def scene_views(catalogue: Catalogue, seed: int, index: int, count: int, scenes: SceneConfig, views: ViewConfig) -> tuple[View, ...]:
    """The views of scene ``index``: a function of its arguments only."""
    rng = np.random.default_rng((seed, index, 4))
    return sample_views(compose(catalogue, rng, scenes), catalogue, rng, count, views)


def fill_pool(folder: str | Path, catalogue: Catalogue, indices: range, count: int, seed: int, scenes: SceneConfig, views: ViewConfig,
              progress: Callable[[int], None] = lambda done: None) -> None:  # fmt: skip
    """Render the scenes that the folder does not hold yet, ``count`` views each."""
    root = writable_folder(folder)
    for done, index in enumerate(indices):
        path = root / f"scene_{index:07d}.npz"
        if not path.exists():
            arrays: dict[str, np.ndarray] = {}
            for k, view in enumerate(scene_views(catalogue, seed, index, count, scenes, views)):
                arrays |= {f"{name}_{k}": value for name, value in _packed(view).items()}
            with atomic_write(path) as temporary:
                np.savez(temporary, **arrays)
        progress(done + 1)


def _packed(view: View) -> dict[str, np.ndarray]:
    return {
        "image": view.image, "depth": view.depth.astype(np.float16), "normal": np.round(view.normal * 127).astype(np.int8),
        "instance": view.instance.astype(np.uint8), "intrinsics": view.camera.intrinsics, "pose": view.camera.world_from_camera,
        "scene_from_world": view.scene_from_world, "assets": np.array([p.asset for p in view.placements]),
        "world_from_asset": np.stack([p.world_from_asset for p in view.placements]), "ground": np.array(view.ground_height),
    }  # fmt: skip


def _unpacked(file: np.lib.npyio.NpzFile, k: int) -> View:
    image = file[f"image_{k}"]
    camera = Camera(file[f"intrinsics_{k}"], file[f"pose_{k}"], image.shape[1], image.shape[0])
    placements = tuple(Placement(int(a), m) for a, m in zip(file[f"assets_{k}"], file[f"world_from_asset_{k}"]))
    depth, normal = file[f"depth_{k}"].astype(np.float32), file[f"normal_{k}"].astype(np.float32) / 127
    instance, ground = file[f"instance_{k}"].astype(np.int32), float(file[f"ground_{k}"])
    return View(image, depth, normal, instance, camera, file[f"scene_from_world_{k}"], placements, ground)


@dataclass(frozen=True)
class StoredViews:
    """A source of views: a random view of the pool. The files are listed once, so a growing pool does not change a running run."""

    files: tuple[Path, ...]
    count: int  # views per file

    @classmethod
    def open(cls, folder: str | Path) -> StoredViews:
        """All finished scenes of a pool; InputError when there is none."""
        files = tuple(sorted(Path(folder).glob("scene_*.npz")))
        if not files:
            raise InputError(f"{folder} holds no rendered scenes; make some with: maquette data pool")
        with np.load(files[0]) as first:
            return cls(files, sum(name.startswith("image_") for name in first.files))

    def __call__(self, rng: np.random.Generator) -> View:
        """One stored view."""
        with np.load(self.files[int(rng.integers(len(self.files)))], allow_pickle=False) as file:
            return _unpacked(file, int(rng.integers(self.count)))
