"""MIDI's public 3D-FRONT: rooms, surfaces and renders as in the data set huanngzh/3D-Front, with
the rules of MIDI's test.

    midi_room_ids.json         ["<house>/<room>", ...]; the LAST 1,000 are the test set
    midi_furniture_ids.json    [["Table_<id>_1", ...], ...], one list per room
    3D-FRONT-RENDER/<house>/<room>/render_0000.webp, semantic_0000.png   the first view; id k + 1 is
    the k-th object of the list 3D-FRONT-SCENE/<house>/<room>/<object>.glb        meshes, used when
    they are there 3D-FRONT-SURFACE/<house>/<room>/<object>.npy      {"surface_points",
    "surface_normals"}, used otherwise

Rules (MIDI, arXiv 2412.03558, configs/test/3dfront.yaml and its data module): 512 x 512,
transparent parts white, objects with at most
0.1 % of the pixels dropped, at most seven objects. MIDI draws these seven at random; here they are
  drawn from the room's name, so that
everybody scores the same ones. The data tell no camera: the truth keeps the room's axes, and
numbers without alignment mean little.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image

from maquette.errors import InputError
from maquette.evaluate.cases import Case, Meshes, measured, node_name, view_centric
from maquette.export.read import load_named_meshes
from maquette.images.read import open_image, read_image
from maquette.types import InstanceMask, SceneInput

ROOMS = "midi_room_ids.json"
OBJECTS = "midi_furniture_ids.json"
RENDERS = "3D-FRONT-RENDER"
MESHES = "3D-FRONT-SCENE"
SURFACES = "3D-FRONT-SURFACE"
TEST_ROOMS = 1000  # the last ones
SIZE = 512  # pixels
LEAST_SHARE = 0.001  # of the picture; an object with no more is dropped
MOST_OBJECTS = 7
MOST_POINTS = 20_480  # of a surface that stands in for a mesh
SURFEL = 1e-3  # side of the triangle that stands for a point, of the object's longest side


@dataclass(frozen=True)
class FrontSource:
    """One room."""

    root: str
    room: str  # "<house>/<room>"
    objects: tuple[str, ...]

    @property
    def name(self) -> str:
        """Such as "3d-front/<house>/<room>"."""
        return f"3d-front/{self.room}"

    @property
    def identity(self) -> str:
        """The room and its objects."""
        return f"3D-FRONT {self.room}: {', '.join(self.objects)}"

    def load(self) -> Case:
        """Read it; see ``read_room``."""
        return read_room(Path(self.root), self.room, self.objects)


def front_sources(root: Path, last: int = TEST_ROOMS) -> list[FrontSource]:
    """The test rooms, in the list's order. InputError when the lists are missing or do not belong
    together.
    """
    rooms, objects = (_list(root / name) for name in (ROOMS, OBJECTS))
    if len(rooms) != len(objects):
        raise InputError(
            f"{root}: {ROOMS} lists {len(rooms)} rooms and {OBJECTS} {len(objects)}; take both from one release"
        )
    return [
        FrontSource(str(root), str(room), tuple(map(str, names)))
        for room, names in list(zip(rooms, objects))[-last:]
    ]


def _list(path: Path) -> list[Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"{path}: no such file; give the folder of MIDI's 3D-FRONT data (docs/evaluation-data.md)"
        ) from error
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); download it again") from error
    if not isinstance(content, list) or not content:
        raise InputError(
            f"{path}: expected a list with at least one entry, got {type(content).__name__}; download it again"
        )
    return content


def read_room(root: Path, room: str, objects: tuple[str, ...]) -> Case:
    """Read a room by the rules above. InputError when files are missing or no object is visible
    enough.
    """
    folder = root / RENDERS / room
    photo = Image.fromarray(read_image(folder / "render_0000.webp")).resize((SIZE, SIZE))
    ids = np.asarray(
        open_image(folder / "semantic_0000.png").resize((SIZE, SIZE), Image.Resampling.NEAREST)
    )
    ids = ids[..., 0] if ids.ndim == 3 else ids
    visible = [k for k in range(len(objects)) if (ids == k + 1).sum() > LEAST_SHARE * ids.size]
    if not visible:
        raise InputError(
            f"{room}: no object has more than {LEAST_SHARE:.1%} of the picture; leave this room out"
        )
    if len(visible) > MOST_OBJECTS:
        drawn = np.random.default_rng(zlib.crc32(room.encode())).permutation(len(visible))[
            :MOST_OBJECTS
        ]
        visible = [visible[k] for k in sorted(drawn)]
    masks = tuple(
        InstanceMask(k + 1, ids == k + 1, objects[k].partition("_")[0].lower()) for k in visible
    )
    truth: Meshes = {node_name(k + 1): _object(root, room, objects[k]) for k in visible}
    return measured(
        f"3d-front/{room}",
        SceneInput(np.asarray(photo), masks, room),
        view_centric(truth, None)[0],
        None,
        {"room": room},
    )


def _object(root: Path, room: str, name: str) -> trimesh.Trimesh:
    mesh = root / MESHES / room / f"{name}.glb"
    surface = root / SURFACES / room / f"{name}.npy"
    if mesh.exists():
        parts = list(load_named_meshes(mesh).values())
        return parts[0] if len(parts) == 1 else trimesh.util.concatenate(parts)
    if not surface.exists():
        raise InputError(f"{mesh}: no such file, nor {surface}; give {MESHES} or {SURFACES}")
    return surfels(*_surface(surface))


def _surface(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Points and normals (N, 3) of a .npy file, which holds a pickled dictionary: only ever read
    such files from a source you trust.
    """
    try:
        data = np.load(path, allow_pickle=True).item()
        points, normals = (
            np.asarray(data[key], np.float64).reshape(-1, 3)
            for key in ("surface_points", "surface_normals")
        )
    except (KeyError, ValueError, TypeError, AttributeError, OSError) as error:
        raise InputError(
            f"{path}: not a surface of the data set ({error}); download it again"
        ) from error
    step = -(-len(points) // MOST_POINTS)
    return points[::step], normals[::step]


def surfels(points: np.ndarray, normals: np.ndarray) -> trimesh.Trimesh:
    """Points (N, 3) with unit normals (N, 3) as a mesh of one tiny equilateral triangle each, all
    of one area.

    Sampling such a mesh by area draws the points again, so every point-based metric works; volumes
    and contacts do not.
    """
    side = SURFEL * max(float(np.ptp(points, axis=0).max()), 1e-12)
    helper = np.where(np.abs(normals[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    u = np.cross(normals, helper)
    u /= np.maximum(np.linalg.norm(u, axis=1, keepdims=True), 1e-12)
    v = np.cross(normals, u)
    angles = 2.0 * np.pi * np.arange(3) / 3.0
    corners = points[:, None] + side / np.sqrt(3.0) * (
        np.cos(angles)[:, None] * u[:, None] + np.sin(angles)[:, None] * v[:, None]
    )
    return trimesh.Trimesh(
        corners.reshape(-1, 3), np.arange(3 * len(points)).reshape(-1, 3), process=False
    )
