"""Every option of a command that Python and the app have, too, declared once: here those of scenes
and files, beside this file those of data, training and benchmarks.

Stands at the very start of the flow, so that the command line can show its help without loading
anything: no arrays, no networks. What an option does is said where it is used.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from maquette.declare import check_bounds, option
from maquette.errors import InputError

METRES = {
    "mm": 0.001,
    "cm": 0.01,
    "m": 1.0,
    "in": 0.0254,
    "ft": 0.3048,
}  # of units of length
BYTES = {
    "": 2**20,
    "K": 2**10,
    "M": 2**20,
    "G": 2**30,
    "T": 2**40,
}  # of units of memory
COLLISIONS = ("parts", "hull", "box")  # shapes that a simulator lets collide
GROUNDS = ("plane", "disc")
MJCF_STYLES = ("menagerie", "robosuite")
# suffixes of what a scene is written as besides its document, and those that say no unit
MESH_FORMATS = ("glb", "obj", "ply", "stl", "html")
SPACELESS = ("obj", "ply", "stl")
PRECISIONS = ("auto", "fp32", "tf32", "bf16")
EMBEDDED = "embedded"  # the model that ships with the package
AUTO, NONE = "auto", "none"  # instead of a number of pixels of a texture
ESTIMATE = "estimate"  # instead of a field of view: do not believe the photo's file
TUNING = ("prompt", "iterations", "layout", "prior")  # options of methods that arrange
ARRANGING = "--method comboverse"
DEVICE_HELP = "auto (cuda, else cpu), cpu, cuda, cuda:1 or mps"


def parse_memory(text: str) -> int:
    """``8GB``, ``8G``, ``7.5 GiB``, ``600MB`` -> bytes (a giga is 2^30); InputError otherwise."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:I?B)?\s*", text.upper())
    if match is None or float(match[1]) <= 0:
        raise InputError(f"memory is a size such as 8GB or 600MB, got {text!r}")
    return int(float(match[1]) * BYTES[match[2]])


@dataclass(frozen=True)
class SceneOptions:
    """Everything that decides a scene besides the photo, the masks and the weights."""

    method: Any = option(
        "iscene",
        kind=object,
        read=str,
        metavar="NAME",
        help="iscene (default), midi, coherent, comboverse, independent, or FILE.py:NAME",
    )
    seed: int = option(
        0,
        least=0,
        most=2**32 - 1,
        metavar="N",
        help="same seed, same machine, same result (default 0)",
    )
    samples: int = option(
        1,
        least=1,
        metavar="K",
        help="tries per photo, the best by the self-check is kept",
    )
    steps: int | None = option(
        None,
        kind=int,
        least=1,
        metavar="N",
        help="sampling steps of each pass",
    )
    guidance: float | None = option(
        None,
        kind=float,
        metavar="W",
        help="strength of classifier-free guidance; 1 is off",
    )
    device: str = option("auto", metavar="DEVICE", help=f"{DEVICE_HELP} (default: auto)")
    fit: bool = option(
        True,
        flags=("--no-fit",),
        help="the generator alone: volumes are not held to mask and visible surface",
    )
    texture: int | str = option(
        AUTO,
        kind=int,
        least=16,
        most=8192,
        words=(AUTO, NONE),
        metavar="PIXELS",
        help="longer side of each object's texture, auto (as sharp as the photo, 1024 at most; "
        "the default) or none: colours per vertex",
    )
    triangles: int | None = option(
        None,
        kind=int,
        least=100,
        metavar="N",
        help="at most so many triangles per object (default: about 8,000 for large ones)",
    )
    model: str = option(EMBEDDED, metavar="NAME", help="a published model (see `maquette models`)")
    perception: Any = option(
        EMBEDDED,
        kind=object,
        read=str,
        metavar="NAME",
        help="what sees depth and camera: embedded (default), moge-2-vits, depth-pro, "
        "depth-anything-v2, any depth model OWNER/NAME of transformers, or a folder; "
        "fetch it with `maquette models fetch NAME`",
    )
    memory: int | None = option(
        None,
        kind=int,
        least=1,
        read=parse_memory,
        metavar="SIZE",
        help="memory that a published model may take on the device, such as 8GB",
    )
    fov: float | str | None = option(
        None,
        kind=float,
        least=0.1,
        most=179.9,
        words=(ESTIMATE,),
        metavar="DEGREES",
        help="vertical field of view of the photo, or `estimate` "
        "(default: as its EXIF data tell, else estimated)",
    )
    prompt: str | None = option(
        None,
        kind=str,
        metavar="TEXT",
        group=ARRANGING,
        help="what the photo shows, such as 'a lamp on a box' (default: says it itself)",
    )
    iterations: int | None = option(
        None,
        kind=int,
        metavar="N",
        group=ARRANGING,
        help="of arranging the objects (default 300)",
    )
    layout: str | None = option(
        None,
        kind=str,
        metavar="HOW",
        group=ARRANGING,
        help="none, depth, sds or ssds (default): what arranges the objects",
    )
    prior: str | None = option(
        None,
        kind=object,
        read=str,
        metavar="DIR",
        group=ARRANGING,
        help="folder of a Stable Diffusion pipeline instead of the embedded model",
    )
    settle: bool = option(
        False,
        help="let the objects come to rest, as `maquette settle` does (needs "
        "`pip install 'maquette[sim]'`; `maquette generate` does it where that is installed, "
        "unless `--no-settle`)",
    )
    revolve: bool = option(
        True,
        help="what has the outline of a body of revolution (bottles, cups, bowls) or of a box gets "
        "the shape of one, unless a measured depth says otherwise (on by default)",
    )
    precision: str = option(
        "auto", choices=PRECISIONS, help="of the networks (default: auto, fp32 on the processor)"
    )

    def __post_init__(self) -> None:
        check_bounds(self)


DEPTH_UNITS = ("auto", *METRES, "relative")
DEPTH_KINDS = ("z", "ray", "inverse")
KNOWN = "known geometry"


def _vector(text: str) -> tuple[float, float, float]:
    """``0,1,0`` -> three numbers; InputError otherwise."""
    parts = text.replace(",", " ").split()
    try:
        x, y, z = (float(part) for part in parts)
    except ValueError:
        raise InputError(f"a direction is three numbers such as 0,1,0, got {text!r}") from None
    return x, y, z


def parse_depth_unit(unit: str | float) -> str | float:
    """A word of DEPTH_UNITS, or metres per step as a number; InputError otherwise."""
    if unit in DEPTH_UNITS:
        return unit
    try:
        metres = float(unit)
    except ValueError:
        metres = 0.0
    if not 0.0 < metres < math.inf:
        raise InputError(
            f"a unit of depth is {', '.join(DEPTH_UNITS)} or metres per step such as 0.0002, "
            f"got {unit!r}"
        )
    return metres


@dataclass(frozen=True, kw_only=True)
class GeometryOptions:
    """What is known of a photo's depth and camera, as files and words."""

    depth: str | None = option(
        None,
        kind=str,
        metavar="FILE",
        group=KNOWN,
        help="depth map of the photo: PNG or TIFF of 16 bits, .npy, .npz, .exr or .r3d; 0, nan, "
        "inf = not known. Several photos: a folder of X_depth.*, or a pattern with {stem} or "
        "{name}",
    )
    depth_unit: Any = option(
        "auto",
        kind=object,
        read=parse_depth_unit,
        metavar="UNIT",
        group=KNOWN,
        help="auto (default: whole numbers are mm, fractions m), mm, cm, m, in, ft, relative, or "
        "metres per step such as 0.0002",
    )
    depth_kind: str = option(
        "z",
        choices=DEPTH_KINDS,
        group=KNOWN,
        help="z (default: along the optical axis), ray (distance from the camera), inverse (1 / z)",
    )
    points: str | None = option(
        None,
        kind=str,
        metavar="FILE",
        group=KNOWN,
        help="instead of a depth map: .npy, .npz or .exr of points (H, W, 3), x right, y down, "
        "z forward",
    )
    intrinsics: str | None = option(
        None,
        kind=str,
        metavar="CAMERA",
        group=KNOWN,
        help="FX,FY,CX,CY in pixels, or a file: .txt .npy .npz .json .yaml, COLMAP's cameras.txt, "
        "nerfstudio's transforms.json",
    )
    gravity: tuple[float, float, float] | None = option(
        None,
        kind=object,
        read=_vector,
        metavar="X,Y,Z",
        group=KNOWN,
        help="where gravity pulls, in the camera's axes: 0,1,0 for a level camera (default: from "
        "the ground in the depth map, else estimated)",
    )

    def __post_init__(self) -> None:
        check_bounds(self)

    @property
    def is_there(self) -> bool:
        """Whether anything is given."""
        files = (self.depth, self.points, self.intrinsics)
        return any(name is not None for name in (*files, self.gravity))


@dataclass(frozen=True, kw_only=True)
class FileSpace:
    """How coordinates of OBJ, PLY and STL files are to be read."""

    unit: str | None = option(
        None,
        kind=str,
        choices=tuple(METRES),
        metavar="UNIT",
        help="of OBJ, PLY and STL: mm, cm, m, in or ft (default: m when the scale is known)",
    )
    size: float | None = option(
        None,
        kind=float,
        least=1e-6,
        most=1e9,
        metavar="LENGTH",
        help="longest side of the whole scene in OBJ, PLY and STL, in their unit",
    )
    up: str = option(
        "y", choices=("y", "z"), help="upward axis of OBJ, PLY and STL (default: y; slicers: z)"
    )

    def __post_init__(self) -> None:
        check_bounds(self)

    @property
    def is_asked_for(self) -> bool:
        """Whether anything differs from what a scene has anyway."""
        return self != FileSpace()


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What is written around the objects of a scene."""

    ground: str | None = option(
        None,
        kind=str,
        choices=GROUNDS,
        help="also a surface under the objects, as a node `ground`: a square plane or a disc "
        "(default: none)",
    )
    room: bool = option(
        False,
        help="also the floor and up to two walls as nodes `floor` and `wall`, where a measured "
        "depth shows them (default: none)",
    )

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, kw_only=True)
class SimulationOptions:
    """What a simulator needs to know besides the shapes of a scene."""

    collision: str = option(
        "parts",
        choices=COLLISIONS,
        help="what collides: convex parts (default, needs `pip install 'maquette[sim]'`), "
        "a hull or a box per object",
    )
    density: float = option(
        600.0,
        least=1e-3,
        most=1e5,
        metavar="KG_M3",
        help="of everything whose mass is not given, in kg per cubic metre (default 600, as wood)",
    )
    mass: Any = option(
        (),
        repeated=True,
        metavar="NAME=KG",
        help="mass of one object, by node, name or label; may be repeated",
    )
    static: Any = option(
        (),
        repeated=True,
        metavar="NAMES",
        help="objects that never move: nodes, names or labels, separated by commas",
    )
    up: str = option("z", choices=("z", "y"), help="upward axis of MJCF, URDF and SDF (default: z)")
    mjcf_style: str = option(
        "menagerie",
        choices=MJCF_STYLES,
        help="whose numbers for groups: visual 2 and collision 3 (menagerie, default), "
        "or 1 and 0 (robosuite)",
    )

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, kw_only=True)
class ScaleOptions:
    """How long a scene unit is."""

    metres_per_unit: float | None = option(
        None,
        kind=float,
        least=1e-6,
        most=1e6,
        metavar="X",
        help="metres in one unit of the scene, whose longest side is about 1",
    )
    size: Any = option(
        (),
        repeated=True,
        metavar="LABEL=LENGTH",
        help="height of one object, such as chair=0.9m or 3=40cm, which sets the scale; "
        "may be repeated, several are reconciled",
    )

    def __post_init__(self) -> None:
        check_bounds(self)

    @property
    def is_asked_for(self) -> bool:
        """Whether anything is given."""
        return self.metres_per_unit is not None or bool(self.size)
