"""Scene -> URDF, the robot description of ROS: a link per object below a link "world", with a
floating joint for what can move and a fixed one for what cannot.

Paths are relative to the file. URDF knows no planes: the ground is a wide box. What MuJoCo needs to
read the file as it is meant stands in an element of its own, which others skip.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from maquette.simulation.assets import (
    GROUND_SIDE,
    inertia_terms,
    mesh_assets,
    mesh_folder,
    node,
    roll_pitch_yaw,
    xml_bytes,
)
from maquette.simulation.bodies import Bodies, RigidBody
from maquette.simulation.selection import unique_names, xml_name

GROUND_DEPTH = 0.1  # of the box that is the ground, in spans of the scene
ROOT = "world"


def urdf_files(bodies: Bodies, path: Path) -> dict[Path, bytes]:
    """The robot file and its meshes and textures, by path."""
    assets = mesh_assets(bodies, mesh_folder(path, "urdf"))
    robot = node(None, "robot", name="scene")
    reader = node(robot, "mujoco")
    node(
        reader,
        "compiler",
        strippath="false",
        discardvisual="false",
        fusestatic="false",
    )
    node(robot, "link", name=ROOT)
    _add_ground(robot, bodies)
    names = unique_names((body.node for body in bodies.bodies), xml_name, (ROOT, "ground"))
    for name, body, files in zip(names, bodies.bodies, assets.files):
        link = node(robot, "link", name=name)
        _add_inertial(link, body)
        _add_mesh(link, "visual", f"{assets.folder.name}/{files.visual}")
        for part in files.parts:
            _add_mesh(link, "collision", f"{assets.folder.name}/{part}")
        _add_joint(robot, name, body.file_from_body, "fixed" if body.is_static else "floating")
    return {path: xml_bytes(robot, bodies), **assets.contents}


def _add_ground(robot: ElementTree.Element, bodies: Bodies) -> None:
    link = node(robot, "link", name="ground")
    depth = GROUND_DEPTH * bodies.span
    wide = GROUND_SIDE * bodies.span
    size = np.where(bodies.upward > 0, depth, wide)
    for kind in ("visual", "collision"):
        part = node(link, kind)
        node(part, "origin", xyz=(bodies.ground - depth / 2) * bodies.upward, rpy=np.zeros(3))
        node(node(part, "geometry"), "box", size=size)
    _add_joint(robot, "ground", np.eye(4), "fixed")


def _add_inertial(link: ElementTree.Element, body: RigidBody) -> None:
    inertial = node(link, "inertial")
    node(inertial, "origin", xyz=body.mass.centre, rpy=np.zeros(3))
    node(inertial, "mass", value=body.mass.mass)
    node(inertial, "inertia", **inertia_terms(body.mass.inertia))


def _add_mesh(link: ElementTree.Element, kind: str, file: str) -> None:
    part = node(link, kind)
    node(part, "origin", xyz=np.zeros(3), rpy=np.zeros(3))
    node(node(part, "geometry"), "mesh", filename=file)


def _add_joint(
    robot: ElementTree.Element,
    name: str,
    pose: np.ndarray,
    kind: str,
) -> None:
    joint = node(robot, "joint", name=f"{name}_joint", type=kind)
    node(joint, "origin", xyz=pose[:3, 3], rpy=roll_pitch_yaw(pose[:3, :3]))
    node(joint, "parent", link=ROOT)
    node(joint, "child", link=name)
