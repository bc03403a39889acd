"""Intrinsics of a camera in the files that people have -> a matrix in maquette's convention.

In the flow: numbers, an array or a path -> StoredCamera; ``fit`` scales it to the photo. Most tools
put the centre of the first pixel at 0 (OpenCV), maquette, COLMAP and nerfstudio at 0.5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, TypeAlias

import numpy as np

from maquette.containers import MemoryBudget, read_bytes, read_json, read_npy, read_npz
from maquette.errors import InputError, MissingExtraError, contained
from maquette.types import StrPath

CameraDocument = Mapping[str, Any]

CameraSource: TypeAlias = StrPath | np.ndarray | Sequence[float]

LARGEST = 64 << 20  # bytes of a file of cameras
REMEDY = "give FX,FY,CX,CY, a 3 x 3 matrix, or a file that holds one (.txt .npy .npz .json .yaml)"
NAMES = {  # of the four numbers, in the order in which they are looked for
    "fx": ("fx", "fl_x", "fu", "focal_x"),
    "fy": ("fy", "fl_y", "fv", "focal_y"),
    "cx": ("cx", "ppx", "pu", "principal_x"),
    "cy": ("cy", "ppy", "pv", "principal_y"),
}
MATRICES = ("intrinsics", "intrinsic", "intrinsic_matrix", "K", "camera_matrix", "cam_K")
WIDTHS = ("width", "w", "image_width")
HEIGHTS = ("height", "h", "image_height")
# models of COLMAP: how many numbers, and whether fx and fy are apart
COLMAP = {
    "SIMPLE_PINHOLE": (3, False),
    "PINHOLE": (4, True),
    "SIMPLE_RADIAL": (4, False),
    "RADIAL": (5, False),
    "OPENCV": (8, True),
}
NORMALISED = 4.0  # a focal length below is in shares of the picture's sides, not in pixels


@dataclass(frozen=True, eq=False)
class StoredCamera:
    """Intrinsics as given, pixel centres at +0.5."""

    matrix: np.ndarray  # (3, 3); in shares of the picture's sides when ``normalised``
    width: int | None = None  # of the picture that it belongs to; None = not said
    height: int | None = None
    name: str = "the intrinsics"
    warnings: tuple[str, ...] = ()

    @property
    def normalised(self) -> bool:
        """Whether lengths are in shares of the picture's width and height, as MoGe has them."""
        return bool(self.matrix[0, 0] < NORMALISED)


def read_camera(source: CameraSource, photo: str = "") -> StoredCamera:
    """Intrinsics from numbers ``FX,FY,CX,CY``, an array (3, 3) or (4,), or a file; photo: the name
    of the picture, where a file has several cameras. Raises InputError.
    """
    if isinstance(source, str) and re.fullmatch(r"[-+0-9.eE\s,;]+", source):
        numbers = [float(part) for part in _numbers(source, "the intrinsics")]
        return _of_numbers(numbers, f"the intrinsics {source.strip()!r}")
    if not isinstance(source, StrPath):
        with contained("the intrinsics are no numbers", REMEDY):
            return _of_numbers(np.asarray(source, np.float64).ravel(), "the intrinsics")
    path = Path(source)
    budget = MemoryBudget(LARGEST)
    name = str(path)
    match path.suffix.lower():
        case ".npy":
            with contained(f"{name}: holds no numbers", REMEDY):
                values = np.asarray(read_npy(path, budget), np.float64).ravel()
            return _of_numbers(values, name)
        case ".npz":
            return _of_mapping(read_npz(path, name, budget), name, photo)
        case ".json":
            return _of_mapping(_mapping(read_json(path, REMEDY, budget), name), name, photo)
        case ".yaml" | ".yml":
            text = read_bytes(path, REMEDY, budget).decode("utf-8", "replace")
            return _of_mapping(_mapping(_yaml(text, name), name), name, photo)
    text = read_bytes(path, REMEDY, budget).decode("utf-8", "replace")
    if re.search(r"^\s*\d+\s+[A-Z_]+\s+\d+\s+\d+\s", text, re.MULTILINE):
        return _of_colmap(text, name)
    return _of_numbers([float(part) for part in _numbers(text, name)], name)


def _numbers(text: str, name: str) -> list[str]:
    parts = [part for part in re.split(r"[\s,;\[\]]+", text) if part]
    with contained(f"{name}: holds something else than numbers", REMEDY):
        for part in parts:
            float(part)
    return parts


def _of_numbers(numbers: Sequence[float] | np.ndarray, name: str) -> StoredCamera:
    """fx, fy, cx, cy, or nine numbers of a matrix, row by row or column by column."""
    values = np.asarray(numbers, np.float64)
    if values.size == 4:
        matrix = _pinhole(*values.tolist())
    elif values.size in (9, 12, 16):
        rows = 4 if values.size == 16 else 3
        matrix = values.reshape(rows, -1)[:3, :3]
        if matrix[2, 0] and not matrix[0, 2]:
            matrix = matrix.T  # column by column, as ARKit stores it
    else:
        raise InputError(f"{name}: has {values.size} numbers; {REMEDY}")
    return _checked(matrix, name)


def _pinhole(
    fx: float,
    fy: float,
    cx: float,
    cy: float,
) -> np.ndarray:
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])


def _checked(
    matrix: np.ndarray,
    name: str,
    size: tuple[int, int] | None = None,
    shift: float = 0.5,
) -> StoredCamera:
    """A camera whose numbers can be those of one; shift: of the principal point, to centres at
    +0.5. size: width and height.
    """
    sound = np.isfinite(matrix).all() and (np.diag(matrix) > 0).all()
    if not sound or abs(matrix[2, 2] - 1) > 1e-6:
        raise InputError(f"{name}: focal lengths must be above 0 and the last number 1; {REMEDY}")
    moved = matrix.copy()
    if matrix[0, 0] >= NORMALISED:
        moved[:2, 2] += shift
    width, height = size or (None, None)
    return StoredCamera(moved, width, height, name)


def _mapping(value: Any, name: str) -> CameraDocument:
    if not isinstance(value, Mapping):
        raise InputError(f"{name}: expected named numbers such as fx, fy, cx, cy; {REMEDY}")
    return value


def _yaml(text: str, name: str) -> Any:
    try:
        import yaml
    except ImportError as error:
        line = "pip install pyyaml"
        raise MissingExtraError(f"{name}: reading YAML needs pyyaml: {line}") from error
    with contained(f"{name}: not YAML", REMEDY):
        return yaml.safe_load(text)


def _of_mapping(fields: CameraDocument, name: str, photo: str) -> StoredCamera:
    """JSON, YAML or an archive: four names, a matrix, or nerfstudio's transforms.json."""
    shift = 0.5
    if "frames" in fields or "camera_angle_x" in fields or "fl_x" in fields:
        shift = 0.0
        fields = {**fields, **_frame_of(fields, photo)}
    if "fov_x" in fields and "fov_y" in fields:
        return _of_angles(fields, name)
    size = _size(fields, name)
    matrix = _first(fields, MATRICES)
    if isinstance(matrix, Mapping):  # {data: [...]} of ROS, or names once more
        if "data" not in matrix:
            return _of_mapping({**fields, **matrix}, name, photo)
        matrix = matrix["data"]
    if matrix is not None:
        with contained(f"{name}: its matrix holds no numbers", REMEDY):
            values = np.asarray(matrix, np.float64).ravel()
        stored = _of_numbers(values, name)
        width, height = size or (None, None)
        return StoredCamera(stored.matrix, width, height, name)
    return _checked(_named_matrix(fields, name, size), name, size, shift)


def _first(fields: CameraDocument, keys: tuple[str, ...]) -> Any:
    """What stands under the first of these names that is there; None without any."""
    return next((fields[key] for key in keys if key in fields), None)


def _of_angles(fields: CameraDocument, name: str) -> StoredCamera:
    """MoGe's fov.json: the angles of a centred camera in degrees."""
    with contained(f"{name}: its angles are no numbers", REMEDY):
        x, y = (float(fields[key]) for key in ("fov_x", "fov_y"))
    if not (0 < x < 180 and 0 < y < 180):
        raise InputError(f"{name}: its angles are {x:g} and {y:g} degrees; expected below 180")
    fx, fy = (0.5 / np.tan(0.5 * np.radians(angle)) for angle in (x, y))
    return _checked(_pinhole(fx, fy, 0.5, 0.5), name)


def _named_matrix(fields: CameraDocument, name: str, size: tuple[int, int] | None) -> np.ndarray:
    found = {short: _first(fields, keys) for short, keys in NAMES.items()}
    with contained(f"{name}: its camera holds no numbers", REMEDY):
        if found["fx"] is None and "camera_angle_x" in fields and size is not None:
            found["fx"] = 0.5 * size[0] / np.tan(0.5 * float(fields["camera_angle_x"]))
        if found["fx"] is None:
            known = ", ".join(sorted(map(str, fields))[:8])
            raise InputError(f"{name}: no focal length (fx, fl_x) among {known}; {REMEDY}")
        fx = float(found["fx"])
        fy = fx if found["fy"] is None else float(found["fy"])
        centre = [found["cx"], found["cy"]]
        if None in centre and size is None:
            raise InputError(f"{name}: has neither cx and cy nor width and height; {REMEDY}")
        middle = [side / 2 for side in size or (0, 0)]
        cx, cy = (side if value is None else float(value) for value, side in zip(centre, middle))
        return _pinhole(fx, fy, cx, cy)


def _frame_of(fields: CameraDocument, photo: str) -> CameraDocument:
    """The numbers of this photo, where transforms.json has a camera for each."""
    frames = fields.get("frames")
    wanted = PurePath(photo).stem
    for frame in frames if isinstance(frames, list) else ():
        if isinstance(frame, Mapping) and PurePath(str(frame.get("file_path"))).stem == wanted:
            return frame
    return {}


def _size(fields: CameraDocument, name: str) -> tuple[int, int] | None:
    found = [_first(fields, keys) for keys in (WIDTHS, HEIGHTS)]
    if None in found:
        return None
    with contained(f"{name}: its width and height are no numbers", REMEDY):
        width, height = (int(value) for value in found if value is not None)
    if width < 1 or height < 1:
        raise InputError(f"{name}: its picture is {width} x {height}; expected sides above 0")
    return width, height


def _of_colmap(text: str, name: str) -> StoredCamera:
    """cameras.txt: CAMERA_ID MODEL WIDTH HEIGHT PARAMS..., centres at +0.5."""
    lines = [line.split() for line in text.splitlines() if line.strip()]
    cameras = [parts for parts in lines if parts[0].isdigit() and len(parts) > 4]
    if len(cameras) != 1:
        raise InputError(
            f"{name}: holds {len(cameras)} cameras; leave the line of this photo's camera alone"
        )
    _, model, width, height, *rest = cameras[0]
    if model not in COLMAP:
        raise InputError(f"{name}: the model {model} is not one of {', '.join(COLMAP)}; undistort")
    count, apart = COLMAP[model]
    values = [float(part) for part in _numbers(" ".join(rest), name)]
    if len(values) != count:
        raise InputError(f"{name}: {model} has {count} numbers, got {len(values)}")
    if not apart:
        values = [values[0], *values]
    stored = _checked(_pinhole(*values[:4]), name, (int(width), int(height)), 0.0)
    distortion = values[4:]
    bent = f"{name}: its distortion is not used; undistort the photo first"
    told = (bent,) if any(distortion) else ()
    return StoredCamera(stored.matrix, stored.width, stored.height, name, told)
