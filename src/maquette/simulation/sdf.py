"""Scene -> SDF, the world files of Gazebo: a model per object and a static plane for the ground.
Format: SDFormat 1.9.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from maquette.simulation.assets import (
    GRAVITY,
    GROUND_SIDE,
    inertia_terms,
    mesh_assets,
    mesh_folder,
    node,
    numbers,
    roll_pitch_yaw,
    text_node,
    xml_bytes,
)
from maquette.simulation.bodies import FRICTION, Bodies, RigidBody
from maquette.simulation.selection import unique_names, xml_name


def sdf_files(bodies: Bodies, path: Path) -> dict[Path, bytes]:
    """The world file and its meshes and textures, by path."""
    assets = mesh_assets(bodies, mesh_folder(path, "sdf"))
    root = node(None, "sdf", version="1.9")
    world = node(root, "world", name="scene")
    text_node(world, "gravity", -GRAVITY * bodies.upward)
    light = node(world, "light", name="sun", type="directional")
    text_node(light, "direction", -bodies.upward)
    _add_ground(world, bodies)
    names = unique_names((body.node for body in bodies.bodies), xml_name, ("ground", "sun"))
    for name, body, files in zip(names, bodies.bodies, assets.files):
        model = node(world, "model", name=name)
        text_node(model, "static", str(body.is_static).lower())
        text_node(model, "pose", _pose(body.file_from_body))
        link = node(model, "link", name=name)
        _add_inertial(link, body)
        _add_mesh(link, "visual", "visual", f"{assets.folder.name}/{files.visual}")
        for k, part in enumerate(files.parts):
            _add_mesh(link, "collision", f"part_{k}", f"{assets.folder.name}/{part}")
    return {path: xml_bytes(root, bodies), **assets.contents}


def _pose(pose: np.ndarray) -> str:
    angles = roll_pitch_yaw(pose[:3, :3])
    return numbers([*pose[:3, 3], *angles])


def _add_ground(world: ElementTree.Element, bodies: Bodies) -> None:
    model = node(world, "model", name="ground")
    text_node(model, "static", "true")
    text_node(model, "pose", [*(bodies.ground * bodies.upward), 0, 0, 0])
    link = node(model, "link", name="ground")
    side = GROUND_SIDE * bodies.span
    for kind in ("visual", "collision"):
        part = node(link, kind, name=kind)
        plane = node(node(part, "geometry"), "plane")
        text_node(plane, "normal", bodies.upward)
        text_node(plane, "size", [side, side])
        if kind == "collision":
            _add_friction(part)


def _add_inertial(link: ElementTree.Element, body: RigidBody) -> None:
    inertial = node(link, "inertial")
    text_node(inertial, "pose", [*body.mass.centre, 0, 0, 0])
    text_node(inertial, "mass", body.mass.mass)
    inertia = node(inertial, "inertia")
    for term, value in inertia_terms(body.mass.inertia).items():
        text_node(inertia, term, value)


def _add_mesh(
    link: ElementTree.Element,
    kind: str,
    name: str,
    file: str,
) -> None:
    part = node(link, kind, name=name)
    text_node(node(node(part, "geometry"), "mesh"), "uri", file)
    if kind == "collision":
        _add_friction(part)


def _add_friction(collision: ElementTree.Element) -> None:
    friction = node(node(node(collision, "surface"), "friction"), "ode")
    text_node(friction, "mu", FRICTION)
    text_node(friction, "mu2", FRICTION)
