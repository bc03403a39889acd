"""A small scene with everything in it that can be saved or exported; shared by the tests of scene
and export.
"""

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual.material import PBRMaterial
from trimesh.visual.texture import TextureVisuals

from maquette.geometry.cameras import intrinsics_from_fov, look_at
from maquette.geometry.transforms import rotation_x, rotation_y, similarity
from maquette.types import Camera, Failure, Instance, InstanceMask, Scene, SceneInput


def coloured(mesh: trimesh.Trimesh, seed: int) -> trimesh.Trimesh:
    colors = np.random.default_rng(seed).integers(0, 256, (len(mesh.vertices), 4), dtype=np.uint8)
    colors[:, 3] = 255
    vertices = (mesh.vertices - mesh.bounds.mean(0)).astype(np.float32)
    return trimesh.Trimesh(vertices, mesh.faces, vertex_colors=colors, process=False)


def textured() -> trimesh.Trimesh:
    """An open sheet with UV coordinates that float32 cannot hold exactly, and a picture."""
    vertices = np.array(
        [[-0.1, -0.2, 0], [0.1, -0.2, 0], [0.1, 0.2, 0], [-0.1, 0.2, 0]], np.float32
    )
    pixels = np.random.default_rng(5).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    uv = np.array([[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]])
    visual = TextureVisuals(uv=uv, material=PBRMaterial(baseColorTexture=Image.fromarray(pixels)))
    return trimesh.Trimesh(vertices, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False)


def make_scene(**changes) -> Scene:
    rng = np.random.default_rng(0)
    ball = coloured(trimesh.creation.icosphere(2, radius=0.2), 1)
    box = coloured(trimesh.creation.box((0.3, 0.2, 0.1)), 2)
    box.update_faces(np.arange(len(box.faces)) > 0)  # open, so drawn from both sides
    instances = (
        Instance(
            1,
            ball,
            similarity(0.7, rotation_y(0.4) @ rotation_x(0.3), np.array([0.1, -0.2, 0.3])),
            seed=2**63 - 1,
            confidence=0.83,
            name="ball",
            warnings=("touches the border",),
            state={"cube": rng.normal(size=(2, 4, 4, 4)).astype(np.float32), "box": np.eye(2)},
        ),
        Instance(
            3, box, similarity(1.0, None, np.array([-0.3, 0.0, 1 / 3])), seed=0, node="crate \u00e9"
        ),
        Instance(12, textured(), np.eye(4), seed=7),
    )
    mask = rng.random((9, 8)) > 0.5
    values = {
        "instances": instances,
        "camera": Camera(
            intrinsics_from_fov(0.8, 64, 48),
            look_at(np.array([0.3, 0.6, 1.9]), np.zeros(3)),
            64,
            48,
        ),
        "failures": (Failure(4, "decode", "no surface"),),
        "ground_height": -0.4375,
        "provenance": {
            "method": "iscene",
            "seconds": {"read": 0.25},
            "steps": (1, 2),
            "scores": [float("nan"), np.float32(0.5)],
        },
        "input": SceneInput(
            rng.integers(0, 256, (9, 8, 3), dtype=np.uint8),
            (InstanceMask(1, mask, "ball"), InstanceMask(3, ~mask)),
            "photo.jpg",
            ("dark",),
        ),
    }
    return Scene(**(values | changes))
