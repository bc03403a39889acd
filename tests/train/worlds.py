"""A library of three coloured solids and a VAE for it, for the tests of all runs."""

import numpy as np
import trimesh
from torch.utils.data import Dataset

from maquette.data.assets import Asset
from maquette.data.library import build_library


def solid(name: str, mesh: trimesh.Trimesh, colour: tuple[int, int, int]) -> Asset:
    """An asset of one colour: centred, longest side 1."""
    vertices = mesh.vertices - mesh.bounds.mean(0)
    vertices = (vertices / np.ptp(vertices, axis=0).max()).astype(np.float32)
    return Asset(
        name,
        vertices,
        mesh.faces.astype(np.int32),
        np.broadcast_to(np.uint8(colour), vertices.shape).copy(),
    )


def solids() -> list[Asset]:
    """A box, a ball and an upright can."""
    make = trimesh.creation
    upright = trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0])
    return [
        solid("box", make.box((0.6, 1, 0.5)), (200, 60, 40)),
        solid("ball", make.icosphere(2), (40, 90, 200)),
        solid("can", make.cylinder(0.4, 1).apply_transform(upright), (60, 170, 80)),
    ]


def build_solids(folder) -> str:
    """The library of these, as a folder."""
    build_library(solids(), folder)
    return str(folder)


class Few(Dataset):
    """The first ``count`` samples of a data set again and again, each made once: a run learns from
    them as from many, and most of a short run's time is making samples.
    """

    def __init__(self, samples, count=4):
        self.samples = samples
        self.count = count
        self.made = {}

    def __getitem__(self, index):
        index %= self.count
        if index not in self.made:
            self.made[index] = self.samples[index]
        return self.made[index]

    def __getattr__(self, name):
        return getattr(self.samples, name)
