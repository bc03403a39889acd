"""Scene -> MJCF, the files of MuJoCo: bodies with free joints, convex collision meshes, textured
visual meshes, and inertial properties written in full, so that nothing is derived from meshes.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from maquette.errors import present
from maquette.simulation.assets import (
    GRAVITY,
    BodyFiles,
    mesh_assets,
    mesh_folder,
    node,
    numbers,
    said_of,
    wxyz,
    xml_bytes,
)
from maquette.simulation.bodies import FRICTION, Bodies, RigidBody
from maquette.simulation.selection import unique_names, xml_name

GROUPS = {"menagerie": (2, 3), "robosuite": (1, 0)}  # of what is seen and what collides
# sliding, torsional and rolling; the last keeps round things from rolling for ever
CONTACT = (FRICTION, 0.005, 0.001)
SMALLEST_INERTIA = 1e-12  # m^5, of a mesh that MuJoCo takes for a solid
RESERVED = ("world", "ground")


def mjcf_files(bodies: Bodies, path: Path, style: str = "menagerie") -> dict[Path, bytes]:
    """The scene file and its meshes and textures, by path."""
    assets = mesh_assets(bodies, mesh_folder(path, "mjcf"))
    folder = assets.folder.name
    root = _root(bodies, style, {"meshdir": folder, "texturedir": folder})
    world = present(root.find("worldbody"), "worldbody")
    asset = present(root.find("asset"), "asset")
    names = unique_names((body.node for body in bodies.bodies), xml_name, RESERVED)
    for name, body, files in zip(names, bodies.bodies, assets.files):
        made = _add_body(world, name, body)
        _add_looks(asset, made, name, files)
        _add_parts(asset, made, name, body, files.parts)
    return {path: xml_bytes(root, bodies), **assets.contents}


def collision_mjcf(bodies: Bodies, files: Sequence[BodyFiles]) -> bytes:
    """A scene file without looks, for the same scene in memory; bodies are called by number."""
    root = _root(bodies, "menagerie", {"balanceinertia": "true"})  # of what is nearly flat
    world = present(root.find("worldbody"), "worldbody")
    asset = present(root.find("asset"), "asset")
    for k, (body, own) in enumerate(zip(bodies.bodies, files)):
        made = _add_body(world, f"body_{k}", body)
        _add_parts(asset, made, f"body_{k}", body, own.parts)
    return xml_bytes(root, bodies)


def _root(bodies: Bodies, style: str, directories: Mapping[str, str]) -> ElementTree.Element:
    """A scene with a ground and no bodies."""
    visual_group, collision_group = GROUPS[style]
    root = node(None, "mujoco", model="scene")
    node(root, "compiler", angle="radian", **directories)
    gravity = -GRAVITY * bodies.upward
    node(
        root,
        "option",
        gravity=gravity,
        timestep=0.002,
        integrator="implicitfast",
    )
    node(root, "statistic", extent=bodies.span)
    custom = node(root, "custom")
    node(custom, "text", name="maquette", data="; ".join(said_of(bodies)))
    node(custom, "numeric", name="metres_per_unit", data=bodies.metres_per_unit)
    known = float(bodies.scale_is_known)
    node(custom, "numeric", name="scale_is_known", data=known)
    defaults = node(root, "default")
    seen = node(defaults, "default", class_="visual")
    node(
        seen,
        "geom",
        group=visual_group,
        contype=0,
        conaffinity=0,
        mass=0,
    )
    collides = node(defaults, "default", class_="collision")
    node(
        collides,
        "geom",
        group=collision_group,
        friction=CONTACT,
        condim=6,
        rgba=(1, 1, 1, 0.5),
    )
    node(root, "asset")
    _add_ground(node(root, "worldbody"), bodies)
    return root


def _add_ground(world: ElementTree.Element, bodies: Bodies) -> None:
    light = 3 * bodies.span * bodies.upward
    node(
        world,
        "light",
        pos=light,
        dir=-bodies.upward,
        type="directional",
    )
    place = {"pos": bodies.ground * bodies.upward, "zaxis": bodies.upward}
    size = (0, 0, bodies.span)  # without end; drawn in squares
    plane = node(
        world,
        "geom",
        name="ground",
        type="plane",
        size=size,
        **place,
    )
    plane.attrib |= {
        "friction": numbers(CONTACT),
        "condim": "6",
        "rgba": "0.8 0.8 0.8 1",
    }


def _add_body(world: ElementTree.Element, name: str, body: RigidBody) -> ElementTree.Element:
    pose = body.file_from_body
    turn = wxyz(pose[:3, :3])
    made = node(
        world,
        "body",
        name=name,
        pos=pose[:3, 3],
        quat=turn,
    )
    if not body.is_static:
        node(made, "freejoint", name=f"{name}_joint")
    tensor = body.mass.inertia
    full = tensor[[0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]]  # the diagonal first
    mass = numbers(body.mass.mass)
    node(
        made,
        "inertial",
        pos=body.mass.centre,
        mass=mass,
        fullinertia=full,
    )
    return made


def _add_looks(
    asset: ElementTree.Element,
    body: ElementTree.Element,
    name: str,
    files: BodyFiles,
) -> None:
    node(
        asset,
        "texture",
        name=name,
        type="2d",
        file=files.texture,
    )
    node(
        asset,
        "material",
        name=name,
        texture=name,
        specular=0,
        shininess=0,
    )
    # as a shell, for a mesh that is seen may enclose nothing
    node(
        asset,
        "mesh",
        name=name,
        file=files.visual,
        inertia="shell",
    )
    seen = {
        "name": f"{name}_visual",
        "class_": "visual",
        "material": name,
    }
    node(
        body,
        "geom",
        type="mesh",
        mesh=name,
        **seen,
    )


def _add_parts(
    asset: ElementTree.Element,
    made: ElementTree.Element,
    name: str,
    body: RigidBody,
    files: Sequence[str],
) -> None:
    for k, (file, part) in enumerate(zip(files, body.parts)):
        own = f"{name}_part_{k}"
        made_of = "convex" if _is_solid(part.vertices, part.volume) else "shell"
        node(
            asset,
            "mesh",
            name=own,
            file=file,
            inertia=made_of,
        )
        node(
            made,
            "geom",
            name=own,
            class_="collision",
            type="mesh",
            mesh=own,
        )


def _is_solid(vertices: np.ndarray, volume: float) -> bool:
    """Whether the smallest moment of inertia is above what MuJoCo calls too small."""
    thinnest = float(np.sort(np.ptp(vertices, axis=0))[:2].max())
    return volume * thinnest**2 / 12 > SMALLEST_INERTIA
