"""Textures on what was drawn, and pictures without light.

Beside rasterize.py, which knows colours of vertices only: from the face that a pixel sees follow
its barycentric weights, its place in the texture, and the colour there.
"""

from __future__ import annotations

import cv2
import numpy as np

from maquette.render.assemble import SceneMesh, assemble
from maquette.render.rasterize import RenderBuffers, picked, pixel_from_world, rasterize
from maquette.types import Camera, Scene

ROW = 4096  # samples that are taken together; remap has less than 32768 columns


def textured(buffers: RenderBuffers, mesh: SceneMesh, camera: Camera) -> np.ndarray:
    """(H, W, 3) float32 in 0..1: the albedo of what ``camera`` sees of a mesh, from its textures
    where it has some, else the buffers' own.
    """
    albedo = buffers.albedo
    owner = picked(mesh.face_instance, buffers.face)
    for index, texture in enumerate(mesh.textures):
        here = owner == index
        if texture is None or not here.any():
            continue
        albedo = albedo.copy() if albedo is buffers.albedo else albedo
        faces = mesh.faces[buffers.face[here]]
        weights = barycentric(mesh.vertices[faces], camera, here)
        uv = np.einsum("nk,nkc->nc", weights, mesh.uv[faces])
        albedo[here] = _sampled(texture, uv)
    return albedo


def barycentric(corners: np.ndarray, camera: Camera, here: np.ndarray) -> np.ndarray:
    """(N, 3) weights of triangles (N, 3, 3) of the world at the centres of the N pixels of
    ``here`` (H, W) bool, perspective-correct (see rasterize.py).
    """
    y, x = np.nonzero(here)
    centres = np.stack([x + 0.5, y + 0.5, np.ones(len(x))], axis=1)
    matrix = pixel_from_world(camera)
    homogeneous = corners.astype(np.float64) @ matrix[:, :3].T + matrix[:, 3]
    edges = np.cross(np.roll(homogeneous, -1, axis=1), np.roll(homogeneous, -2, axis=1))
    weights = np.einsum("nc,nkc->nk", centres, edges)
    return weights / weights.sum(1, keepdims=True)


def _sampled(texture: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """(N, 3) float32 in 0..1 of a texture (H, W, 3) uint8 at uv (N, 2), origin at the lower left;
    between the centres of its pixels linearly.
    """
    height, width = texture.shape[:2]
    at = np.zeros((-(-len(uv) // ROW) * ROW, 2), np.float32)
    at[: len(uv)] = uv * (1, -1) * (width, height) + (-0.5, height - 0.5)
    x, y = at.reshape(-1, ROW, 2).transpose(2, 0, 1).copy()
    found = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found).reshape(-1, 3)[: len(uv)].astype(np.float32) / 255


def unlit(scene: Scene, camera: Camera | None = None) -> tuple[np.ndarray, np.ndarray]:
    """What a camera, by default the scene's own, sees without light: colours (H, W, 3) uint8 and
    the labels of the instances (H, W) int32, both 0 where there is nothing.
    """
    scene = scene.visible()
    camera = scene.camera if camera is None else camera
    mesh = assemble(scene.instances)
    buffers = rasterize(
        mesh.vertices,
        mesh.faces,
        camera,
        vertex_colors=mesh.colors,
        face_instance=mesh.face_instance,
    )
    labels = np.array([i.label for i in scene.instances] + [0], np.int32)
    colours = textured(buffers, mesh, camera)
    return np.rint(255 * colours).astype(np.uint8), labels[buffers.instance]
