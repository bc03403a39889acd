"""A floor with two boxes seen by a known camera: depth and labels by ray casting, in metres."""

from dataclasses import dataclass

import numpy as np
import trimesh

from maquette.geometry.cameras import intrinsics_from_focal, look_at
from maquette.render.rasterize import rasterize
from maquette.types import Camera, InstanceMask, SceneInput

WIDTH, HEIGHT = 160, 120


@dataclass(frozen=True, eq=False)
class Scenery:
    """What a sensor would see, and the truth."""

    camera: Camera
    depth: np.ndarray  # (H, W) z-depth, metres; inf = nothing
    labels: np.ndarray  # (H, W) int
    boxes: dict  # label -> (2, 3), world

    @property
    def given(self) -> SceneInput:
        image = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        masks = tuple(InstanceMask(k, self.labels == k) for k in (1, 2))
        return SceneInput(image, masks)


def scenery(roll: float = 0.0, centre=(80.0, 60.0)) -> Scenery:
    """Two boxes on the floor y = 0; roll: of the camera, in radians; centre: principal point."""
    pose = look_at(np.array([0.3, 1.4, 2.6]), np.array([0.0, 0.2, 0.0]))
    c, s = np.cos(roll), np.sin(roll)
    pose[:3, :3] = pose[:3, :3] @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    intrinsics = intrinsics_from_focal(150.0, WIDTH, HEIGHT)
    intrinsics[:2, 2] = centre
    camera = Camera(intrinsics, pose, WIDTH, HEIGHT)
    boxes = {
        1: np.array([[-0.6, 0.0, -0.3], [-0.1, 0.5, 0.1]]),
        2: np.array([[0.15, 0.0, -0.2], [0.55, 0.3, 0.3]]),
    }
    floor = np.array([[-20, 0, -20], [20, 0, -20], [20, 0, 2.5], [-20, 0, 2.5]], float)
    vertices = [floor]
    faces = [np.array([[0, 2, 1], [0, 3, 2], [0, 1, 2], [0, 2, 3]])]
    owner = [np.zeros(4, int)]
    for label, box in boxes.items():
        mesh = trimesh.creation.box(bounds=box)
        faces.append(mesh.faces + sum(map(len, vertices)))
        vertices.append(mesh.vertices)
        owner.append(np.full(len(mesh.faces), label))
    seen = rasterize(np.concatenate(vertices), np.concatenate(faces), camera)
    face = seen.face
    labels = np.where(face >= 0, np.concatenate(owner)[np.maximum(face, 0)], 0)
    return Scenery(camera, seen.depth, labels, boxes)
