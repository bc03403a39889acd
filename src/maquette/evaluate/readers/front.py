"""MIDI's public 3D-FRONT: rooms, surfaces and renders as in the data set huanngzh/3D-Front, with
the rules of MIDI's test.

    midi_room_ids.json         ["<house>/<room>", ...]; the LAST 1,000 are the test set
    midi_furniture_ids.json    [["Table_<id>_1", ...], ...], one list per room
    3D-FRONT-RENDER/<house>/<room>/render_0000.webp, semantic_0000.png
                               the first view; id k + 1 is the k-th object of the list
    3D-FRONT-SCENE/<house>/<room>/<object>.glb
                               meshes, used when they are there
    3D-FRONT-SURFACE/<house>/<room>/<object>.npy
                               {"surface_points", "surface_normals"}, used otherwise

Rules (MIDI, arXiv 2412.03558, configs/test/3dfront.yaml and its data module): 512 x 512,
transparent parts white, objects with at most 0.1 % of the pixels dropped, at most seven objects.
MIDI draws these seven at random; here they are drawn from the room's name, so that everybody scores
the same ones. The data tell no camera: the truth keeps the room's axes, and numbers without
alignment mean little.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import trimesh
from PIL import Image

from maquette.errors import InputError
from maquette.evaluate.cases import Case, measured_case, node_name, view_centric
from maquette.evaluate.files import damage_named, read_record
from maquette.evaluate.readers.pickled import read_pickled_arrays
from maquette.evaluate.readers.source import FileSource
from maquette.export.read import load_named_meshes
from maquette.geometry.boxes import longest_side
from maquette.geometry.transforms import unit_vectors
from maquette.photos.read import open_image, read_image
from maquette.types import InstanceMask, SceneInput

ROOMS = "midi_room_ids.json"
OBJECTS = "midi_furniture_ids.json"
RENDERS = "3D-FRONT-RENDER"
MESHES = "3D-FRONT-SCENE"
SURFACES = "3D-FRONT-SURFACE"
ADVICE = "give the folder of MIDI's 3D-FRONT data (docs/evaluation-data.md)"
TEST_ROOMS = 1000  # the last ones
SIZE = (512, 512)  # pixels
LEAST_SHARE = 0.001  # of the picture; an object with no more is dropped
MOST_OBJECTS = 7
MOST_POINTS = 20_480  # of a surface that stands in for a mesh
SURFEL = 1e-3  # side of the triangle that stands for a point, of the object's longest side
CORNERS = 2.0 * np.pi * np.arange(3) / 3.0  # angles of an equilateral triangle's corners


def front_sources(root: Path, last: int = TEST_ROOMS) -> Iterator[FileSource]:
    """The test rooms, in the list's order. InputError when the lists are missing or do not belong
    together.
    """
    rooms, objects = (_list(root / name) for name in (ROOMS, OBJECTS))
    if len(rooms) != len(objects):
        raise InputError(
            f"{root}: {ROOMS} lists {len(rooms)} rooms and {OBJECTS} {len(objects)}; "
            "take both from one release"
        )
    for k in range(len(rooms))[-last:]:
        room = str(rooms[k])
        names = tuple(map(str, objects[k])) if isinstance(objects[k], list) else ()
        name = f"3d-front/{room if _is_inside(room) else k}"  # a folder of the run gets this name
        read = partial(read_room, root, room, names)
        place = str(root / RENDERS / room)
        yield FileSource(name, f"3D-FRONT {room}: {', '.join(names)}", place, read)


def _list(path: Path) -> list[Any]:
    """The list in a JSON file; InputError for anything else, and for an empty one."""
    content = read_record(path, ADVICE)
    if not isinstance(content, list) or not content:
        raise InputError(
            f"{path}: expected a list with at least one entry, got {type(content).__name__}; "
            "get it again"
        )
    return content


def _is_inside(name: str) -> bool:
    """Whether a name from the data stays within the folder that it is looked up in."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def read_room(root: Path, room: str, objects: tuple[str, ...]) -> Case:
    """Read a room by the rules above. InputError when files are missing or no object is visible
    enough.
    """
    if not all(map(_is_inside, (room, *objects))):
        raise InputError(f"{room}: a name leads out of the data's folder; get the lists again")
    folder = root / RENDERS / room
    photo = Image.fromarray(read_image(folder / "render_0000.webp")).resize(SIZE)
    picture = open_image(folder / "semantic_0000.png")
    ids = np.asarray(picture.resize(SIZE, Image.Resampling.NEAREST))
    ids = ids[..., 0] if ids.ndim == 3 else ids
    masks = {k: ids == k + 1 for k in range(len(objects))}
    least = LEAST_SHARE * ids.size
    visible = _drawn([k for k, mask in masks.items() if mask.sum() > least], room)
    labelled = [InstanceMask(k + 1, masks[k], _class_of(objects[k])) for k in visible]
    truth = {node_name(k + 1): _object(root, room, objects[k]) for k in visible}
    scene_input = SceneInput(np.asarray(photo), tuple(labelled), room)
    meshes = view_centric(truth, None)[0]
    return measured_case(f"3d-front/{room}", scene_input, meshes, None, {"room": room})


def _drawn(visible: list[int], room: str) -> list[int]:
    """At most seven of the visible objects, by the room's name."""
    if not visible:
        raise InputError(
            f"{room}: no object has more than {LEAST_SHARE:.1%} of the picture; leave this room out"
        )
    if len(visible) <= MOST_OBJECTS:
        return visible
    order = np.random.default_rng(zlib.crc32(room.encode())).permutation(len(visible))
    return [visible[k] for k in sorted(order[:MOST_OBJECTS])]


def _class_of(name: str) -> str:
    """``Chair_12`` -> ``chair``."""
    return name.partition("_")[0].lower()


def _object(root: Path, room: str, name: str) -> trimesh.Trimesh:
    """An object as a mesh, or as a surface of points made to small triangles."""
    mesh = root / MESHES / room / f"{name}.glb"
    surface = root / SURFACES / room / f"{name}.npy"
    if mesh.exists():
        parts = list(load_named_meshes(mesh).values())
        if len(parts) == 1:
            return parts[0]
        joined = trimesh.util.concatenate(parts)
        if not isinstance(joined, trimesh.Trimesh):
            raise InputError(f"{mesh}: holds no mesh; get it again")
        return joined
    if not surface.exists():
        raise InputError(f"{mesh}: no such file, nor {surface}; give {MESHES} or {SURFACES}")
    arrays = read_pickled_arrays(surface)
    with damage_named(surface):
        points = np.asarray(arrays["surface_points"], np.float64).reshape(-1, 3)
        normals = np.asarray(arrays["surface_normals"], np.float64).reshape(-1, 3)
        if points.shape != normals.shape or not np.isfinite([points, normals]).all():
            raise ValueError(f"{len(points)} points and {len(normals)} normals, some not finite")
        step = -(-len(points) // MOST_POINTS)
        return surfels(points[::step], normals[::step])


def surfels(points: np.ndarray, normals: np.ndarray) -> trimesh.Trimesh:
    """Points (N, 3) with unit normals (N, 3) as a mesh of one tiny equilateral triangle each, all
    of one area.

    Sampling such a mesh by area draws the points again, so every point-based metric works; volumes
    and contacts do not.
    """
    side = SURFEL * max(longest_side(points), 1e-12)
    helper = np.where(np.abs(normals[:, :1]) < 0.9, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    u = unit_vectors(np.cross(normals, helper), 1e-12)
    v = np.cross(normals, u)
    across = np.cos(CORNERS)[:, None] * u[:, None]
    along = np.sin(CORNERS)[:, None] * v[:, None]
    corners = points[:, None] + side / np.sqrt(3.0) * (across + along)
    faces = np.arange(corners.size // 3).reshape(-1, 3)
    return trimesh.Trimesh(corners.reshape(-1, 3), faces, process=False)
