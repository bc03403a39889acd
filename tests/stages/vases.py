"""Vases and other things photographed by the renderer, with their exact depth: what the stages of
bodies of revolution are tested with.
"""

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation

from maquette.geometry.cameras import intrinsics_from_fov, look_at
from maquette.geometry.transforms import similarity
from maquette.models.conditioning import letterbox
from maquette.render.rasterize import rasterize
from maquette.stages.frame import BACKGROUND_DEPTH, DepthPicture
from maquette.types import Camera

SIZE = 256
PHOTO = np.zeros((SIZE, SIZE, 3), np.uint8)
EYE = np.array([0.1, 0.55, 1.4])
CAMERA = Camera(intrinsics_from_fov(0.7, SIZE, SIZE), look_at(EYE, np.zeros(3)), SIZE, SIZE)
# radius and height, from below
# from the middle of its bottom over the rim to the bottom inside
CUP = np.array([[0.0, -0.2], [0.12, -0.2], [0.15, 0.2], [0.14, 0.2], [0.11, -0.18], [0.0, -0.18]])
VASE = np.array([[0.0, -0.2], [0.09, -0.2], [0.14, -0.05], [0.06, 0.12], [0.08, 0.2], [0.0, 0.2]])


def vase(lean=None, profile=VASE):
    mesh = trimesh.creation.revolve(profile, sections=96)  # about z
    upright = np.eye(4)
    upright[:3, :3] = Rotation.from_euler("x", -90, degrees=True).as_matrix()
    return mesh.apply_transform(upright if lean is None else lean @ upright)


def photographed(*meshes):
    """Depth picture and labels (H, W) of meshes; label k + 1 = the k-th."""
    whole = trimesh.util.concatenate(meshes)
    owner = np.repeat(np.arange(len(meshes)), [len(mesh.faces) for mesh in meshes])
    buffers = rasterize(
        np.asarray(whole.vertices),
        np.asarray(whole.faces),
        CAMERA,
        face_instance=owner.astype(np.int32) + 1,
    )
    labels = np.where(buffers.face >= 0, buffers.instance, 0).astype(np.int32)
    depth = np.where(labels > 0, buffers.depth, BACKGROUND_DEPTH)
    return DepthPicture(CAMERA, letterbox(PHOTO, labels, SIZE), depth), labels


def leaning(degrees):
    """To the left, in the picture."""
    return similarity(1.0, Rotation.from_euler("z", degrees, degrees=True).as_matrix())
