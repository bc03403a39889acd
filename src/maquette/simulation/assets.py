"""The mesh files of a scene for simulators, which MJCF, URDF and SDF refer to, and what those
three write alike.
"""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from maquette.document.appearance import png_bytes
from maquette.simulation.bodies import Bodies, RigidBody
from maquette.simulation.pictures import mtl_bytes, obj_bytes, part_obj_bytes, textured_surface
from maquette.simulation.selection import file_stem, unique_names

GRAVITY = 9.81  # m/s^2
GROUND_SIDE = 20.0  # of the ground that is drawn, in spans of the scene


@dataclass(frozen=True)
class BodyFiles:
    """File names of one body, relative to the folder of assets."""

    visual: str
    texture: str
    parts: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Assets:
    """The files that a scene file refers to."""

    folder: Path
    files: tuple[BodyFiles, ...]  # one per body
    contents: dict[Path, bytes]


def mesh_assets(bodies: Bodies, folder: Path) -> Assets:
    """An OBJ with a PNG for what is seen of each body, and an OBJ for each convex part."""
    stems = unique_names((body.node for body in bodies.bodies), file_stem)
    files = tuple(_files(body, stem) for body, stem in zip(bodies.bodies, stems))
    contents: dict[Path, bytes] = {}
    for body, names in zip(bodies.bodies, files):
        surface = textured_surface(body.visual)
        library = Path(names.visual).with_suffix(".mtl").name
        visual = obj_bytes(surface, material="surface", library=library)
        contents[folder / names.visual] = visual
        contents[folder / library] = mtl_bytes("surface", names.texture)
        contents[folder / names.texture] = png_bytes(surface.image)
        for name, part in zip(names.parts, body.parts):
            contents[folder / name] = part_obj_bytes(part.vertices, part.faces)
    return Assets(folder, files, contents)


def _files(body: RigidBody, stem: str) -> BodyFiles:
    parts = tuple(f"{stem}_part_{k}.obj" for k in range(len(body.parts)))
    return BodyFiles(f"{stem}.obj", f"{stem}.png", parts)


def mesh_folder(path: Path, kind: str) -> Path:
    """Beside a scene file: its name, and the format, for the axes may differ."""
    return path.with_name(f"{file_stem(path.stem)}_{kind}")


# XML


def numbers(values: Any) -> str:
    """Numbers as an attribute."""
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    return " ".join(f"{value + 0.0:.10g}" for value in flat)


def wxyz(rotation: np.ndarray) -> np.ndarray:
    """(4,) quaternion of a rotation (3, 3), the real part first and not negative."""
    return Rotation.from_matrix(rotation).as_quat(canonical=True)[[3, 0, 1, 2]]


def roll_pitch_yaw(rotation: np.ndarray) -> np.ndarray:
    """(3,) angles about the fixed x, y and z axes, in this order, as URDF and SDF want them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Gimbal lock")  # then one of two angles is free: it is 0
        return Rotation.from_matrix(rotation).as_euler("xyz")


def node(parent: ElementTree.Element | None, tag: str, **attributes: Any) -> ElementTree.Element:
    """A new element, below ``parent`` when there is one; attributes that are None are left out."""
    texts = {}
    for key, value in attributes.items():
        if value is not None:
            texts[key.rstrip("_")] = value if isinstance(value, str) else numbers(value)
    if parent is None:
        return ElementTree.Element(tag, texts)
    return ElementTree.SubElement(parent, tag, texts)


def text_node(
    parent: ElementTree.Element,
    tag: str,
    text: Any,
    **attributes: Any,
) -> None:
    """A new element that holds a text or numbers."""
    made = node(parent, tag, **attributes)
    made.text = text if isinstance(text, str) else numbers(text)


def xml_bytes(root: ElementTree.Element, bodies: Bodies) -> bytes:
    """The file, with what is to be known of it in a comment at its beginning."""
    ElementTree.indent(root)
    told = "\n".join(f"     {line}" for line in ["made by maquette", *said_of(bodies)])
    comment = told.replace("--", "- -")  # which would end it
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n<!--\n{comment}\n-->\n{text}\n'.encode()


def said_of(bodies: Bodies) -> list[str]:
    """Unit, scale, ground and remarks, as lines."""
    lines = [
        f"lengths in metres, masses in kilograms, +{bodies.up.upper()} up",
        f"metres per unit of the scene: {bodies.metres_per_unit:.10g}",
    ]
    return lines + list(bodies.remarks)


def inertia_terms(inertia: np.ndarray) -> dict[str, float]:
    """The six numbers of a symmetric (3, 3) tensor under the names of URDF and SDF."""
    names = ("ixx", "ixy", "ixz", "iyy", "iyz", "izz")
    return dict(zip(names, inertia[np.triu_indices(3)].tolist()))
